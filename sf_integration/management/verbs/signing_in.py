"""Tokens: `token`, `refresh`, `revoke`."""

from __future__ import annotations

import argparse
from typing import Any

from ... import access, audit, tokens
from ...access import Deed
from ...salesforce.errors import InvalidInput, SalesforceError
from ...services import operations
from .verb import Output, Verb, connection_for, require_terminal, sentence


def _token(options: argparse.Namespace, output: Output) -> bool:
    connection = connection_for(options.name, options.deed, actor=options.actor)
    require_terminal(output, "token", yes=options.yes)
    token = tokens.get(connection.name, options.username)
    audit.record_use(
        "took token", connection, actor=options.actor, username=options.username or connection.username
    )
    output.raw(token.value)
    return True


def _refresh(options: argparse.Namespace, output: Output) -> bool:
    if options.username and len(options.names) != 1:
        raise InvalidInput("--username goes with the name of one connection.")
    if not options.names:
        return _refresh_due(output, actor=options.actor)
    outcomes = [_refresh_one(name, options, output) for name in dict.fromkeys(options.names)]
    if output.as_json:
        output.data(outcomes)
    return all(outcome["renewed"] for outcome in outcomes)


def _refresh_one(name: str, options: argparse.Namespace, output: Output) -> dict[str, object]:
    """One connection's failure is told and doesn't keep the others from their turn."""
    try:
        connection = connection_for(name, options.deed, actor=options.actor)
        audit.record("renewed", connection, actor=options.actor, username=options.username or "")
        token = tokens.refresh(name, options.username)
    except SalesforceError as exc:
        output.complain(f"{name}: {sentence(exc)}")
        return {"name": name, "renewed": False, "code": exc.code}
    if not output.as_json:
        output.line(f"{name}: renewed, good until about {token.expected_expiry:%Y-%m-%d %H:%M} UTC.")
    return {"name": name, "renewed": True, "expected_expiry": token.expected_expiry.isoformat()}


def _refresh_due(output: Output, *, actor: Any) -> bool:
    access.require(actor, Deed.RENEW_DUE)
    if not access.sees_all(actor):
        raise InvalidInput("Some connections are hidden from you: name those to sign in for.")
    with output.bar("Signing in", None):
        tally = tokens.refresh_due()
    if output.as_json:
        output.data({"renewed": tally.renewed, "failed": tally.failed, "put_off": tally.put_off})
    else:
        output.line(f"{tally.renewed} renewed, {tally.failed} failed, {tally.put_off} put off.")
    if tally.failed:
        output.complain("Why they failed: manage.py salesforce list")
    return tally.failed == 0


def _revoke(options: argparse.Namespace, output: Output) -> bool:
    connection = connection_for(options.name, options.deed, actor=options.actor)
    outcome = operations.revoke(connection, actor=options.actor, username=options.username)
    (output.say if outcome.done else output.complain)(outcome.sentence)
    return outcome.done


def _token_arguments(parser: argparse.ArgumentParser) -> None:
    _revoke_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="also when the output is no terminal")


def _revoke_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection")
    parser.add_argument("--username", help="another user that the connection lists")


def _refresh_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="connections to sign in for now; none: whatever is due"
    )
    parser.add_argument("--username", help="another user that the connection lists")


VERBS = (
    Verb(
        "token",
        "print an access token, on a line by itself",
        _token,
        arguments=_token_arguments,
        examples=["token acme-prod", "token acme-prod --username ops@acme.example --yes"],
        details="The token is a password for the org. Taking one is noted in the audit trail.",
        prints_data=False,
        deed=Deed.TAKE_TOKEN,
    ),
    Verb(
        "refresh",
        "sign in anew and forget the old token",
        _refresh,
        arguments=_refresh_arguments,
        examples=["refresh acme-prod globex", "refresh acme-prod --username ops@acme.example", "refresh"],
        details="A sign-in that fails leaves the old token in use; the old session is not ended in the org (see "
        "revoke). Without a name it does once what the worker does every minute: renew what is due.",
        deed=Deed.RENEW,
    ),
    Verb(
        "revoke",
        "end the session in the org and drop the token",
        _revoke,
        arguments=_revoke_arguments,
        examples=["revoke acme-prod", "revoke acme-prod --username ops@acme.example"],
        details="When the org can't be reached the token is kept, so that it can be tried again. Whoever needs a token next signs in anew; pause the connection to prevent that.",
        prints_data=False,
        deed=Deed.REVOKE,
    ),
)

"""Orgs that are another than before: `accept-org`; and `check --find-fault`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ...access import Deed
from ...models import ConnectedApp
from ...salesforce.errors import InvalidInput, SalesforceError
from ...services import corrections, fault_finder
from ...services.corrections import OtherOrg
from ...services.fault_finder import Finding
from .verb import Output, Verb, connection_for, sentence


def _accept_org(options: argparse.Namespace, output: Output) -> bool:
    results = [
        _accept_one(name, output, actor=options.actor, yes=options.yes)
        for name in dict.fromkeys(options.names)
    ]
    if output.as_json:
        output.data(results)
    return all(result["accepted"] for result in results)


def _accept_one(name: str, output: Output, *, actor: Any, yes: bool) -> dict[str, object]:
    """One connection's refusal is told and doesn't keep the others from their turn."""
    try:
        connection = connection_for(name, Deed.ACCEPT_ORG, actor=actor)
        other = corrections.other_org(connection)
        if other is None:
            raise InvalidInput(
                "There is no other org to accept: the last sign-in did not lead to one. Run: check"
            )
        if not yes:
            _require_consent(connection, other)
        outcome = corrections.accept_org(connection, actor=actor, found=other.found, is_meant=True)
    except SalesforceError as exc:
        output.complain(f"{name}: {sentence(exc)}")
        return {"name": name, "accepted": False, "code": exc.code}
    (output.say if outcome.done else output.complain)(outcome.sentence)
    return {
        "name": name,
        "accepted": outcome.done,
        "expected": other.expected,
        "found": other.found,
        "state": connection.connection_state().value,
    }


def _require_consent(connection: ConnectedApp, other: OtherOrg) -> None:
    """Ask whoever sits at the terminal. Raises InvalidInput when nobody does, or when they don't mean it."""
    if not sys.stdin.isatty():
        raise InvalidInput("Nobody can be asked here: add --yes if the new org is meant.")
    known = f" ({other.name})" if other.name else ""
    lines = [
        f"{connection.name}, {connection.known_environment}, {connection.login_url}",
        f"  expected until now: {other.expected}{known}",
        f"  found instead:      {other.found}",
        *(f"  check that {each}" for each in other.checklist),
    ]
    wanted = "yes" if other.was_refreshed else connection.name
    # To standard error, as a question is no output.
    print(*lines, f"Type “{wanted}” to accept it: ", sep="\n", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != wanted:
        raise InvalidInput("Nothing was accepted.")


def find_fault(connection: ConnectedApp, output: Output, *, actor: Any, save: bool) -> dict[str, object]:
    """Try login URLs and audiences; with `save` take the pair that worked. What was found, for --json."""
    try:
        found = fault_finder.find(connection, actor=actor)
    except SalesforceError as exc:
        output.complain(f"{connection.name}: the fault could not be looked for. {sentence(exc)}")
        return {"verdict": "undecided", "sentence": sentence(exc), "tries": []}
    if not output.as_json:
        _show(found, output)
    if found.better is not None and save:
        output.say(fault_finder.save(connection, found.better, actor=actor).sentence)
    elif found.better is not None:
        output.say(
            f"To save it: manage.py salesforce import {connection.name} --login-url {found.better.login_url} "
            f"--audience {found.better.audience}"
        )
    return found.as_json() | {"saved": bool(found.better and save)}


def _show(found: Finding, output: Output) -> None:
    output.line("")
    output.table(
        ["Login URL", "Audience", "Answer", "Took"],
        [
            [
                each.address.login_url,
                each.address.audience,
                f"{each.words}: {each.said}" if each.said else each.words,
                "" if each.milliseconds is None else f"{each.milliseconds} ms",
            ]
            for each in found.tries
        ],
    )
    output.line("")
    output.line(found.sentence, style="bold")
    if found.remedy:
        output.line(f"→ {found.remedy}")
    for word, told in (("Who", found.who), ("Where", found.where)):
        if told:
            output.line(f"{word}: {told}")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="+", help="of the connections")
    parser.add_argument("--yes", action="store_true", help="without asking, production orgs too")


VERBS = (
    Verb(
        "accept-org",
        "expect the org that the last sign-in led to, as after a sandbox's refresh",
        _accept_org,
        arguments=_arguments,
        examples=[
            "accept-org acme-uat",
            "accept-org acme-uat acme-dev globex-uat --yes",
            "accept-org acme-prod",
        ],
        details="Accepts exactly the org id that the refused sign-in showed, then checks the connection. It asks first; "
        "for an org that is no refreshed sandbox the connection's name has to be typed.",
        deed=Deed.ACCEPT_ORG,
    ),
)

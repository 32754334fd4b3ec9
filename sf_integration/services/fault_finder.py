"""Find the fault: whether login URL or audience are wrong, tried out with one sign-in after the other.

The tokens of these tries are stored nowhere and their sessions are ended.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access, audit, hosts, tokens
from ..access import Deed
from ..conf import settings
from ..models import AccessToken, ConnectedApp
from ..salesforce import oauth
from ..salesforce.errors import SalesforceError
from ..salesforce.oauth import Token
from ..salesforce.problem import Problem, problem_of
from ..salesforce.stages import Stage, stage_of, stage_of_code
from ..tokens import claims, gate, lifecycle, pin, renewal, rows
from . import corrections
from .operations import Outcome

PAUSE_SECONDS = 1.0
"""Between two sign-ins: to those of one user that come at once Salesforce answers `unknown_error`."""
LATEST_START_SECONDS = 15.0
"""No sign-in begins later. With the last one's ten seconds that is 25, and a web server gives up at 30."""


@dataclass(frozen=True)
class Address:
    login_url: str
    audience: str


@dataclass(frozen=True)
class Try:
    """One pair, and what came of it."""

    address: Address
    stage: Stage | None
    """How far it came; None when it tells nothing, or was not tried."""
    words: str
    """How far it came, or why it was not tried."""
    said: str = ""
    """The answer: Salesforce's own words, or what was seen in their place."""
    problem: Problem | None = None
    milliseconds: int | None = None
    """None: not tried."""

    @property
    def worked(self) -> bool:
        return self.stage is Stage.SIGNED_IN

    def as_json(self) -> dict[str, Any]:
        return {
            "login_url": self.address.login_url,
            "audience": self.address.audience,
            "stage": self.stage.name.lower() if self.stage is not None else None,
            "words": self.words,
            "said": self.said,
            "code": self.problem.code if self.problem else "",
            "milliseconds": self.milliseconds,
        }


@dataclass(frozen=True)
class Finding:
    tries: Sequence[Try]
    verdict: str
    """One of `works`, `wrong_audience`, `mixed_up`, `wrong_host`, `further`, `not_the_address`, `undecided`."""
    sentence: str
    remedy: str = ""
    who: str = ""
    where: str = ""
    better: Address | None = None
    """The pair that worked, when it is another than the configured one."""

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "who": self.who,
            "where": self.where,
            "tries": [each.as_json() for each in self.tries],
        }


def may_help(connection: ConnectedApp) -> bool:
    """Whether its present failure is one that a wrong login URL or audience gives."""
    error = connection.last_error or {}
    stage = stage_of_code(error.get("code", ""), error.get("words", ""))
    return error.get("step") in ("host", "sign_in") and stage is not None and stage.depends_on_address


def find(connection: ConnectedApp, *, actor: Any) -> Finding:
    """Try login URLs and audiences until one works. Nothing of the tries is stored but their count; takes up to 25 s.

    Raises AccessDenied, ActionNeeded when the connection must not be called, LoginUnavailable while Salesforce refuses more
    sign-ins.
    """
    access.require(actor, Deed.FIND_FAULT, connection)
    audit.record("looked for the fault", connection, actor=actor)
    renewal.guard(connection, connection.username)
    rows.ensure([connection])
    tries: list[Try] = []
    started = time.monotonic()
    for address, forbidden in _candidates(connection):
        if forbidden:
            tries.append(Try(address, None, forbidden))
            continue
        if tries:
            time.sleep(PAUSE_SECONDS)
            if time.monotonic() - started > LATEST_START_SECONDS:
                tries.append(Try(address, None, _("There was no time left.")))
                continue
        tries.append(_try(connection, address))
        if tries[-1].stage is None or not tries[-1].stage.depends_on_address:
            break
    return _judge(connection, tries)


def save(connection: ConnectedApp, address: Address, *, actor: Any) -> Outcome:
    """Take a pair that worked as login URL and audience, and check the connection."""
    if (address, "") not in list(_candidates(connection)):
        return Outcome(
            False,
            _("Connection %(name)s: this pair is none of those that were tried.") % {"name": connection.name},
        )
    is_default = address.audience == hosts.default_audience(address.login_url)
    return corrections.take_address(
        connection, actor=actor, login_url=address.login_url, audience="" if is_default else address.audience
    )


def _candidates(connection: ConnectedApp) -> Iterator[tuple[Address, str]]:
    """The pairs to try, each once: as configured first. With a sentence those that must not be called here."""
    production, sandboxes = settings.LOGIN_HOSTS
    configured = Address(connection.login_url, connection.effective_audience)
    own = connection.login_url if connection.login_url not in settings.LOGIN_HOSTS else _my_domain(connection)
    others = [
        Address(own, audience) for audience in (hosts.default_audience(own), production, sandboxes) if own
    ]
    others += [Address(production, production), Address(sandboxes, sandboxes)]
    yield configured, ""
    for address in dict.fromkeys(others):
        if address != configured and _is_within_reach(connection, address):
            yield address, _forbidden(connection, address.login_url)


def _my_domain(connection: ConnectedApp) -> str:
    return str(connection.organization.get("my_domain", ""))


def _is_within_reach(connection: ConnectedApp, address: Address) -> bool:
    """A connection to this machine itself leads to no real host, nor the other way round; and the kind of app has to fit."""
    places = {_is_here(url) for url in (connection.login_url, address.login_url, address.audience)}
    problem = hosts.app_kind_problem(
        connection.app_kind, login_url=address.login_url, audience=address.audience
    )
    return len(places) == 1 and problem is None


def _is_here(url: str) -> bool:
    return hosts.is_loopback(urlsplit(url).hostname or "")


def _forbidden(connection: ConnectedApp, login_url: str) -> str:
    """Why this login URL must not be called here; empty when it may."""
    kind = _kind_of(connection, login_url) or "production"
    if not hosts.environment_allowed(kind):
        return _("Not tried: %(cause)s") % {"cause": corrections.not_allowed(kind).cause}
    return "" if hosts.is_allowed(login_url) else _("Not tried: the host is not listed in SF_ALLOWED_HOSTS.")


def _kind_of(connection: ConnectedApp, login_url: str) -> str:
    """The kind of org that signs in there; empty when that is not known."""
    if login_url in settings.LOGIN_HOSTS:
        return ("production", "sandbox")[settings.LOGIN_HOSTS.index(login_url)]
    if login_url == connection.login_url:
        return connection.known_environment
    told = hosts.environment_told_by(login_url)
    return told or str(connection.organization.get("environment", ""))


def _try(connection: ConnectedApp, address: Address) -> Try:
    row = _claimed(connection)
    started = time.monotonic()
    try:
        token, error = _sign_in(connection, address)
    finally:
        claims.release([row])
    milliseconds = round((time.monotonic() - started) * 1000)
    if token is not None:
        _end(token)
    if error is None:
        return Try(address, Stage.SIGNED_IN, Stage.SIGNED_IN.words, milliseconds=milliseconds)
    problem, stage = problem_of(error), stage_of(error)
    words = stage.words if stage is not None else _("this tells nothing about login URL and audience")
    return Try(address, stage, words, problem.words or problem.seen, problem, milliseconds)


def _claimed(connection: ConnectedApp) -> AccessToken:
    """The connection's row with the claim on it: the sign-in is counted, and nobody else signs in meanwhile.

    Raises LoginUnavailable when it can't be had.
    """
    row, now = rows.find(connection.name, None), timezone.now()
    if row is None:
        raise gate.still_signing_in()  # edited or deleted at this very moment
    gate.require_logins_left(row, now)
    if not claims.claim(row, now):
        gate.require_fuse(row, now)
        raise gate.still_signing_in()
    return row


def _sign_in(connection: ConnectedApp, address: Address) -> tuple[Token | None, SalesforceError | None]:
    process = tokens.current()
    tried = copy.copy(connection)
    tried.login_url, tried.audience = address.login_url, address.audience
    key = process.private_key(connection.signing_key)
    outcome = process.sign_in(renewal.request(process, tried, tried.username, key))
    return outcome.token, renewal.verdict(tried, outcome)


def _end(token: Token) -> None:
    """End the session, if that may be and can be done: it also ends by itself."""
    if not hosts.is_allowed(token.instance_url):
        return
    try:
        oauth.revoke(token, timeout_seconds=lifecycle.CALL_SECONDS, http=tokens.current().http)
    except SalesforceError:
        return


def _judge(connection: ConnectedApp, tries: Sequence[Try]) -> Finding:
    asked = [each for each in tries if each.milliseconds is not None]
    first, last = asked[0], asked[-1]
    if last.worked:
        verdict, sentence = _what_was_wrong(connection, first.address, last.address)
        return Finding(tries, verdict, sentence, better=last.address if last is not first else None)
    if last.stage is None:
        return Finding(
            tries,
            "undecided",
            _("This can't be told now. %(said)s") % {"said": last.said},
            _("Try again later."),
        )
    best = max(asked, key=lambda each: each.stage or Stage.HOST)
    problem = best.problem or Problem("", "", "")
    verdict, sentence = _where_it_ends(asked, best)
    return Finding(tries, verdict, sentence, problem.remedy, problem.who, problem.where)


def _where_it_ends(asked: Sequence[Try], best: Try) -> tuple[str, str]:
    first, problem = asked[0], best.problem
    if (best.stage or 0) > (first.stage or 0):
        return "further", (
            _(
                "No pair works. With the login URL %(login_url)s and the audience %(audience)s it comes "
                "furthest. %(cause)s"
            )
            % {
                "login_url": best.address.login_url,
                "audience": best.address.audience,
                "cause": problem.cause if problem else "",
            }
        )
    if first.stage is not None and not first.stage.depends_on_address:
        return (
            "not_the_address",
            _("Login URL and audience are not the fault. %(cause)s")
            % {"cause": problem.cause if problem else ""},
        )
    if len(asked) == 1:
        return "undecided", _("There is no other login URL or audience to try from here.")
    return "not_the_address", (
        _(
            "It comes no further anywhere else, so login URL and audience are not the fault: it is the app "
            "or the user."
        )
    )


def _what_was_wrong(connection: ConnectedApp, configured: Address, worked: Address) -> tuple[str, str]:
    if worked == configured:
        return "works", _("It works as configured. Check the connection again.")
    if worked.login_url == configured.login_url:
        return "wrong_audience", _(
            "The audience is wrong: with %(audience)s the same login URL signs in."
        ) % {"audience": worked.audience}
    was, is_now = (_kind_of(connection, each.login_url) for each in (configured, worked))
    if was and is_now and (was in pin.REFRESHED_KINDS) != (is_now in pin.REFRESHED_KINDS):
        return "mixed_up", (
            _(
                "Production and sandbox were mixed up: the login URL is for %(was)s orgs, app and user are "
                "found in a %(is_now)s org."
            )
            % {"was": was, "is_now": is_now}
        )
    return "wrong_host", _("The login URL is wrong: at %(login_url)s the sign-in works.") % {
        "login_url": worked.login_url
    }

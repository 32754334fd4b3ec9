"""Trouble at sign-in, made for real: who has a token keeps it, who has none is told, and all works again by itself."""

from __future__ import annotations

import datetime as dt
import html
import json
import socket
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from sf_integration import ActionNeeded, NotAllowedHere, RetryableError, WrongOrg, get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent
from sf_integration.salesforce import signin
from sf_integration.salesforce.errors import SalesforceError
from sf_integration.testing.django import ConnectableOrg
from sf_integration.testing.messages import oauth_error
from sf_integration.tokens import lifecycle
from tests.salesforce.raw_server import RawServer, Visit
from tests.test_command_line import salesforce

from . import front as fronts
from .front import Breaks, Front, behaves, bombs, certified, redirects, says, says_html, shows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

SOON = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class Trouble:
    breaks: Breaks
    code: str
    sent: int = 1
    """Token requests that reach the host for each try."""
    kind: type[SalesforceError] = RetryableError
    waits: bool = False
    """Ends with the time that a sign-in may take, which is shortened."""


def row(name: str) -> AccessToken:
    return AccessToken.objects.select_related("connection__signing_key").get(connection__name=name)


def as_after_a_while(name: str) -> None:
    """The gate has opened again, and ten seconds have passed since the last try."""
    AccessToken.objects.filter(connection__name=name).update(next_try_at=None, last_try_at=None)


def beat() -> tokens.Tally:
    """Beat finds the live connection's token due, in a process that has nothing in memory."""
    AccessToken.objects.filter(connection__name="live").update(refresh_at=timezone.now() - SOON)
    tokens.reset()
    return tokens.refresh_due()


def told_to_caller() -> SalesforceError:
    with pytest.raises(SalesforceError) as caught:
        get_token("bare")
    return caught.value


def told_by_command() -> dict[str, str]:
    """The step that `check --json` calls failed."""
    ran = salesforce("check", "bare", "--json")
    answer = json.loads(ran.out)
    assert (ran.status, answer["healthy"], answer["state"]) == (1, False, "Failing")
    found: dict[str, str] = next(step for step in answer["steps"] if step["status"] == "failed")
    return found


def meets(front: Front, trouble: Trouble) -> SalesforceError:
    """What a caller without a token gets, the first time and when it comes again."""
    error = told_to_caller()
    assert isinstance(error, trouble.kind)
    assert error.code == trouble.code
    if isinstance(error, RetryableError):
        assert error.retry_after > 0
    if isinstance(error, ActionNeeded):
        assert error.cause
        assert error.remedy
        assert error.who
    asked = front.sign_ins
    again = told_to_caller()
    assert isinstance(again, trouble.kind)
    assert again.code == trouble.code
    assert front.sign_ins == asked, "who comes again at once is not sent to a host in trouble"
    return error


def suffers(front: Front, browser: Client, trouble: Trouble) -> None:
    """What users see while it lasts: one connection has a token in store, the other has none."""
    stored = get_token("live")

    error = meets(front, trouble)
    assert beat().failed == 1
    assert get_token("live") == stored
    kept = row("live")
    assert kept.value.open().decode() == stored.value
    assert kept.last_error["code"] == trouble.code
    assert (kept.failures, kept.claimed_by) == (1, "")

    step = told_by_command()
    assert step["code"] == trouble.code
    assert step["remedy"]
    page = html.unescape(browser.get("/connections/bare/").content.decode())
    assert "Failing" in page
    assert step["cause"] in page
    for text in (page, str(error), json.dumps(step)):
        assert "eyJ" not in text
        assert stored.value not in text
    refusals = ConnectionEvent.objects.filter(kind=ConnectionEvent.Kind.REFUSED, code=trouble.code)
    assert set(refusals.values_list("connection__name", flat=True)) == {"live", "bare"}


def recovers(stored: str) -> None:
    """All works again, with a sign-in each, and nothing is missing."""
    as_after_a_while("bare")
    as_after_a_while("live")
    tokens.reset()
    assert get_token("live").value == stored, "still the one in store"
    assert get_token("bare").value
    assert beat().renewed == 1
    assert get_token("live").value != stored
    assert {found.failures for found in AccessToken.objects.all()} == {0}
    assert ConnectedApp.objects.count() == 2
    assert salesforce("check", "bare").status == 0


def resolver_says(code: int) -> Breaks:
    def breaks(front: Front) -> None:
        front.resolver_says = code

    return breaks


WORDS = b'{"access_token":"00D5g000004FaKe!AR.x","instance_url":"https://acme.my.salesforce.com"}'

TROUBLES: dict[str, Trouble] = {
    "no such name": Trouble(resolver_says(socket.EAI_NONAME), "dns_failure", 0),
    "name server failing": Trouble(resolver_says(socket.EAI_AGAIN), "dns_failure", 0),
    "refused": Trouble(Front.close_port, "connection_refused", 0),
    "no way": Trouble(Front.leads_nowhere, "connection_failed", 0),
    "no handshake": Trouble(Front.plug, "timeout", 0, waits=True),
    "certificate expired": Trouble(shows(lambda: certified(expired=True)), "tls_failure", 0),
    "certificate of another host": Trouble(shows(lambda: certified("elsewhere.example")), "tls_failure", 0),
    "unknown authority": Trouble(shows(lambda: certified(trusted=False)), "tls_failure", 0),
    "handshake cut": Trouble(fronts.cut_handshake, "cut_off", 0),
    "no TLS": Trouble(fronts.plain_http, "tls_failure", 0),
    "silent": Trouble(behaves(fronts.silent), "timeout", waits=True),
    "drip": Trouble(behaves(fronts.drips), "timeout", waits=True),
    "cut in the body": Trouble(behaves(fronts.cut), "cut_off"),
    "closed": Trouble(behaves(fronts.closes), "cut_off"),
    "endless body": Trouble(behaves(fronts.endless_body), "too_large"),
    "gzip bomb": Trouble(behaves(bombs("gzip")), "too_large"),
    "deflate bomb": Trouble(behaves(bombs("deflate")), "too_large"),
    "bomb in a bomb": Trouble(behaves(bombs("gzip", 5)), "too_large"),
    "coding that is a lie": Trouble(behaves(says(WORDS, "Content-Encoding: gzip")), "cut_off"),
    "coding nobody knows": Trouble(behaves(says(b"\x8b\x02\x80{}\x03", "Content-Encoding: br")), "not_json"),
    "1xx flood": Trouble(behaves(fronts.continues), "timeout", waits=True),
    "header bomb": Trouble(behaves(fronts.endless_headers), "cut_off"),
    "maintenance": Trouble(
        behaves(says_html("503 Down", b"<html><p>We are down for maintenance.</p></html>")), "http_503"
    ),
    "page not there": Trouble(behaves(says_html("404 Not Found")), "http_404"),
    "bad gateway": Trouble(behaves(says_html("502 Bad Gateway")), "http_502"),
    "gateway time-out": Trouble(behaves(says_html("504 Gateway Time-out")), "http_504"),
    "server error": Trouble(behaves(says_html("500 Oops", b"<html>" + WORDS + b"</html>")), "http_500"),
    "too many requests": Trouble(behaves(says(b"", status="429 Too Many")), "http_429"),
    "login page": Trouble(behaves(says_html("200 OK", b"<html><form id=login></form></html>")), "not_json"),
    "empty": Trouble(behaves(says(b"")), "not_json"),
    "half": Trouble(behaves(says(WORDS[:40])), "not_json"),
    "nan": Trouble(behaves(says(WORDS[:-1] + b',"issued_at":NaN}')), "not_json"),
    "deep nesting": Trouble(behaves(says(b"[" * 100_000 + b"]" * 100_000)), "not_json"),
    "no UTF-8": Trouble(behaves(says(WORDS[:-2] + b'\xff\xfe"}')), "not_json"),
    "wrong types": Trouble(behaves(says(b'{"access_token":5,"instance_url":["x"]}')), "malformed_answer"),
    "list": Trouble(behaves(says(b"[1,2]")), "malformed_answer"),
    "error with 200": Trouble(
        behaves(says(oauth_error("invalid_grant", "inactive user").body)), "malformed_answer"
    ),
    "key given twice": Trouble(behaves(says(WORDS[:-1] + b',"access_token":""}')), "malformed_answer"),
}


@pytest.mark.allow_hosts(["127.0.0.1", "127.255.255.255"])  # the last: to which no connection leads
@pytest.mark.parametrize("key", TROUBLES)
def test_host_in_trouble(
    pair: Front, admin_client: Client, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    trouble, stored = TROUBLES[key], get_token("live").value
    if trouble.waits:
        for module in (signin, lifecycle):
            monkeypatch.setattr(module, "CALL_SECONDS", 0.4)
    before = pair.sign_ins
    trouble.breaks(pair)
    suffers(pair, admin_client, trouble)
    assert pair.sign_ins - before == 2 * trouble.sent
    pair.heal()
    recovers(stored)


@pytest.mark.parametrize("status", [302, 307, 308])
def test_host_that_redirects(pair: Front, admin_client: Client, status: int) -> None:
    """Whatever would be repeated there: assertion and form go nowhere else."""
    stored, target = get_token("live").value, RawServer(lambda visit: visit.answer(WORDS))
    pair.behaviour = redirects(status, target.url)
    suffers(pair, admin_client, Trouble(pair.heal, "redirected"))
    assert target.visits == 0
    target.close()
    pair.heal()
    recovers(stored)


def test_proxy_that_can_not_be_used(
    pair: Front, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, closed = get_token("live").value, RawServer(lambda visit: None)
    closed.close()
    monkeypatch.setenv("HTTPS_PROXY", closed.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    tokens.reset()
    suffers(pair, admin_client, Trouble(pair.heal, "proxy_failure"))
    monkeypatch.delenv("HTTPS_PROXY")
    recovers(stored)


def test_host_that_gave_up_an_idle_connection(pair: Front) -> None:
    def closes_at_the_second(visit: Visit) -> None:
        if visit.read_request():
            visit.answer(oauth_error("invalid_client", "invalid client credentials").body, status="400 Bad")
            pair.behaviour = pair.hands_on
            visit.read_request()

    pair.behaviour = closes_at_the_second
    assert told_to_caller().code == "invalid_client"
    as_after_a_while("bare")
    assert get_token("bare").value
    assert pair.sign_ins == 4, "that of “live”, the refused one, one that was lost, one that came through"


def test_byte_order_mark_does_no_harm(pair: Front) -> None:
    def marked(visit: Visit) -> None:
        answer, visit.answer = (
            visit.answer,
            lambda body, *lines, status: answer(  # type: ignore[method-assign]
                b"\xef\xbb\xbf" + body, *lines, status=status
            ),
        )
        pair.hands_on(visit)

    pair.behaviour = marked
    assert get_token("bare").value
    assert pair.sign_ins == 2


# ---- what the org itself refuses ----------------------------------------------------------------------------------


def refuses(error: str, description: str, status: int = 400) -> Breaks:
    return behaves(says(oauth_error(error, description).body, status=f"{status} Bad Request"))


def refusal(error: str, description: str, **more: Any) -> Trouble:
    return Trouble(refuses(error, description), error, kind=ActionNeeded, **more)


REFUSALS: dict[str, Trouble] = {
    "not approved": refusal("invalid_grant", "user hasn't approved this consumer"),
    "not attached": refusal("invalid_app_access", "user is not admin approved to access this app"),
    "refresh scope missing": refusal(
        "invalid_request",
        "refresh_token scope is required and the connected app should be installed and preauthorized.",
    ),
    "other certificate": refusal("invalid_grant", "invalid assertion"),
    "audience": refusal("invalid_grant", "audience is invalid"),
    "expired": refusal("invalid_grant", "expired authorization code"),
    "unknown consumer key": refusal("invalid_client_id", "client identifier invalid"),
    "client credentials": refusal("invalid_client", "invalid client credentials"),
    "app not found": refusal("app_not_found", "External client app is not installed in this org"),
    "inactive user": refusal("invalid_grant", "inactive user"),
    "inactive user, other code": refusal("inactive_user", "user is inactive"),
    "inactive org": refusal("invalid_grant", "inactive organization"),
    "inactive org, other code": refusal("inactive_org", "org is locked, closed, or suspended"),
    "ip restricted": refusal("invalid_grant", "ip restricted"),
    "authentication failure": refusal("invalid_grant", "authentication failure"),
    "activation secret": refusal("invalid_grant", "activation secret invalid"),
    "grant type": refusal("unsupported_grant_type", "grant type not supported"),
    "malformed request": refusal("invalid_request", "missing required parameter: assertion"),
    "invalid scope": refusal("invalid_scope", "the requested scope is not allowed"),
    "unheard of": refusal("brand_new_error", "nobody has seen this one"),
    "unknown error": Trouble(refuses("unknown_error", "retry your request"), "unknown_error", 2),
    "server_error": Trouble(refuses("server_error", ""), "server_error"),
    "temporarily_unavailable": Trouble(
        refuses("temporarily_unavailable", "", 503), "temporarily_unavailable"
    ),
    "login rate, other code": Trouble(
        refuses("rate_limit_exceeded", "number of logins exceeded"), "rate_limit_exceeded"
    ),
    "login rate": Trouble(refuses("invalid_grant", "login rate exceeded"), "invalid_grant"),
    "foreign instance": Trouble(
        behaves(says(WORDS.replace(b"acme.my.salesforce.com", b"acme.my.salesforce.com.evil.example"))),
        "not_allowed_here",
        kind=NotAllowedHere,
    ),
}
FOR_THE_USER = ("login rate", "login rate, other code")
"""Shuts the gate of every connection of the user, so that beat does not try the other one."""


@pytest.mark.parametrize("key", REFUSALS)
def test_refused_sign_in(pair: Front, key: str) -> None:
    """As above; that pages, admin and commands tell each alike is shown by the walk through the diagnosis."""
    trouble, stored = REFUSALS[key], get_token("live")
    trouble.breaks(pair)
    before = pair.sign_ins
    meets(pair, trouble)
    tries = 1 if key in FOR_THE_USER else 2
    tally = beat()
    assert tally.failed == tries - 1
    assert get_token("live") == stored
    assert pair.sign_ins - before == tries * trouble.sent
    assert row("live").value.open().decode() == stored.value
    told = ConnectionEvent.objects.filter(kind=ConnectionEvent.Kind.REFUSED, code=trouble.code)
    assert told.count() == tries
    pair.heal()
    recovers(stored.value)


def test_an_answer_of_another_org(pair: Front, salesforce_org: ConnectableOrg) -> None:
    """A sound answer, with a token that works there: not used, not stored, and its session is ended."""
    ConnectedApp.objects.update(expected_org_id=salesforce_org.id)
    stored = get_token("live")
    assert salesforce_org.server
    other = salesforce_org.server.add_org(app=salesforce_org.app, username=salesforce_org.user.username)
    pair.leads_to(other.url)
    meets(pair, Trouble(pair.heal, "wrong_org", kind=WrongOrg))
    assert beat().failed == 1
    assert get_token("live") == stored
    assert (other.logins, [*other.sessions]) == (2, [])
    assert row("bare").value is None
    pair.leads_to(salesforce_org.url)
    recovers(stored.value)

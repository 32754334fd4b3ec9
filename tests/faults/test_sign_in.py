"""Trouble at sign-in, made for real: who has a token keeps it, who has none is told, and all works again by itself."""

from __future__ import annotations

import datetime as dt
import html
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.test import Client
from django.utils import timezone

from sf_integration import ActionNeeded, RetryableError, get_token, tokens
from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent
from sf_integration.salesforce.errors import SalesforceError
from sf_integration.testing.django import ConnectableOrg
from sf_integration.testing.messages import oauth_error
from tests.salesforce.raw_server import RawServer
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


def suffers(front: Front, browser: Client, trouble: Trouble) -> None:
    """What users see while it lasts: one connection has a token in store, the other has none."""
    stored = get_token("live")

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
    assert told_to_caller().code == trouble.code
    assert front.sign_ins == asked, "who comes again at once is not sent to a host in trouble"

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


def unreachable_proxy(front: Front) -> None:
    pytest.MonkeyPatch().setenv("HTTPS_PROXY", "")  # see the test


WORDS = b'{"access_token":"00D5g000004FaKe!AR.x","instance_url":"https://acme.my.salesforce.com"}'

TROUBLES: dict[str, Trouble] = {
    "no such name": Trouble(resolver_says(socket.EAI_NONAME), "dns_failure", 0),
    "name server failing": Trouble(resolver_says(socket.EAI_AGAIN), "dns_failure", 0),
    "refused": Trouble(Front.close_port, "connection_refused", 0),
    "no handshake": Trouble(Front.plug, "timeout", 0),
    "certificate expired": Trouble(shows(lambda: certified(expired=True)), "tls_failure", 0),
    "certificate of another host": Trouble(shows(lambda: certified("elsewhere.example")), "tls_failure", 0),
    "unknown authority": Trouble(shows(lambda: certified(trusted=False)), "tls_failure", 0),
    "handshake cut": Trouble(fronts.cut_handshake, "cut_off", 0),
    "no TLS": Trouble(fronts.plain_http, "tls_failure", 0),
    "silent": Trouble(behaves(fronts.silent), "timeout"),
    "drip": Trouble(behaves(fronts.drips), "timeout"),
    "cut in the body": Trouble(behaves(fronts.cut), "cut_off"),
    "closed": Trouble(behaves(fronts.closes), "cut_off"),
    "endless body": Trouble(behaves(fronts.endless_body), "too_large"),
    "gzip bomb": Trouble(behaves(bombs("gzip")), "too_large"),
    "deflate bomb": Trouble(behaves(bombs("deflate")), "too_large"),
    "bomb in a bomb": Trouble(behaves(bombs("gzip", 5)), "too_large"),
    "coding that is a lie": Trouble(behaves(says(WORDS, "Content-Encoding: gzip")), "cut_off"),
    "coding nobody knows": Trouble(behaves(says(b"\x8b\x02\x80{}\x03", "Content-Encoding: br")), "not_json"),
    "1xx flood": Trouble(behaves(fronts.continues), "timeout"),
    "header bomb": Trouble(behaves(fronts.endless_headers), "cut_off"),
    "maintenance": Trouble(
        behaves(says_html("503 Down", b"<html><p>We are down for maintenance.</p></html>")), "http_503"
    ),
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
    "byte order mark": Trouble(behaves(says(b"\xef\xbb\xbf" + WORDS)), "not_json"),
    "wrong types": Trouble(behaves(says(b'{"access_token":5,"instance_url":["x"]}')), "malformed_answer"),
    "list": Trouble(behaves(says(b"[1,2]")), "malformed_answer"),
    "error with 200": Trouble(
        behaves(says(oauth_error("invalid_grant", "inactive user").body)), "malformed_answer"
    ),
    "key given twice": Trouble(behaves(says(WORDS[:-1] + b',"access_token":""}')), "malformed_answer"),
}


@pytest.mark.parametrize("key", TROUBLES)
def test_host_in_trouble(pair: Front, admin_client: Client, impatient: None, key: str) -> None:
    trouble, stored = TROUBLES[key], get_token("live").value
    before = pair.sign_ins
    trouble.breaks(pair)
    suffers(pair, admin_client, trouble)
    assert pair.sign_ins - before == 2 * trouble.sent
    pair.heal()
    recovers(stored)

"""What other code is told: by real acts, once, with what is documented and nothing else."""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.dispatch import Signal
from django.utils import timezone

from sf_integration import AuthenticationError, get_token, keystore, signals, tokens
from sf_integration.models import AccessToken, SigningKey
from sf_integration.state import ConnectionState
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import sweep

from .tokens.test_rotation import connection, expire, stage, upload
from .tokens.test_sweep import connect_many

pytestmark = pytest.mark.django_db(transaction=True)

SIGNALS = {name: found for name, found in vars(signals).items() if isinstance(found, Signal)}
DOCUMENT = (Path(__file__).parents[1] / "docs" / "overriding.md").read_text()

Told = tuple[str, dict[str, Any]]


@contextmanager
def listening(receiver: Callable[..., None]) -> Iterator[None]:
    """`receiver` gets the signal's name and what was sent with it."""
    for name, signal in SIGNALS.items():

        def listen(signal: Signal, sender: type, name: str = name, **facts: Any) -> None:
            receiver(name, facts)

        signal.connect(listen, weak=False, dispatch_uid="tests")
    try:
        yield
    finally:
        for signal in SIGNALS.values():
            signal.disconnect(dispatch_uid="tests")


@pytest.fixture
def told() -> Iterator[list[Told]]:
    """All that was sent, in order; never inside a transaction."""
    found: list[Told] = []

    def listen(name: str, facts: dict[str, Any]) -> None:
        assert not database.in_atomic_block
        found.append((name, facts))

    with listening(listen):
        yield found


def documented(name: str) -> list[str]:
    row = re.search(rf"^\| `{name}` \| (.*?) \|", DOCUMENT, re.MULTILINE)
    assert row, f"docs/overriding.md does not tell of {name}"
    return re.findall(r"`(\w+)`", row[1])


def only(told: list[Told], name: str) -> dict[str, Any]:
    """What was sent with the one signal of that name: exactly what is documented."""
    (facts,) = [facts for each, facts in told if each == name]
    assert list(facts) == documented(name)
    return facts


# ---- each signal ----------------------------------------------------------------------------------------------------


def test_sign_in_is_told(salesforce_org: ConnectableOrg, told: list[Told]) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    get_token("acme")
    facts = only(told, "token_refreshed")
    assert (facts["connection"].name, facts["username"]) == ("acme", salesforce_org.user.username)
    assert 0 < facts["seconds"] < 10
    assert token.value not in str([vars(facts["connection"]), told])


def test_refused_sign_in_is_told(salesforce_org: ConnectableOrg, told: list[Told]) -> None:
    salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    for _ in range(2):  # the second one at the gate
        with pytest.raises(AuthenticationError):
            get_token("acme")
    facts = only(told, "token_refresh_failed")
    assert facts["connection"].name == "acme"
    assert facts["error"].code == "invalid_client_id"


def test_change_of_state_is_told(salesforce_org: ConnectableOrg, told: list[Told]) -> None:
    salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    for _ in range(2):
        tokens.refresh_due()
    facts = only(told, "connection_health_changed")
    assert facts["connection"].last_error["code"] == "invalid_client_id"
    assert (facts["previous"], facts["state"]) == (ConnectionState.NOT_CHECKED_YET, ConnectionState.FAILING)


def test_promoted_signing_key_is_told(salesforce_org: ConnectableOrg, told: list[Told]) -> None:
    old, new = salesforce_org.connect("acme").signing_key, keystore.make(name="next")
    stage(new)
    upload(salesforce_org, new)
    for _ in range(2):
        get_token("acme")
        expire()
    facts = only(told, "signing_key_promoted")
    assert (facts["connection"], facts["previous"], facts["signing_key"]) == (connection(), old, new)


def test_ending_certificate_is_told(salesforce_org: ConnectableOrg, told: list[Told]) -> None:
    key = salesforce_org.connect("acme").signing_key
    SigningKey.objects.update(not_after=timezone.now() + dt.timedelta(days=12, hours=1))
    assert (keystore.warn_of_ends(), keystore.warn_of_ends()) == (1, 0)
    facts = only(told, "certificate_ending")
    assert (facts["signing_key"], facts["days_left"], facts["stage"]) == (key, 12, 14)


def test_every_signal_is_documented() -> None:
    assert len(SIGNALS) == 6
    for name in SIGNALS:
        assert documented(name)


# ---- what receivers can't do ----------------------------------------------------------------------------------------


def test_raising_receiver_harms_nothing(salesforce_org: ConnectableOrg, caplog) -> None:
    connect_many(salesforce_org, 3)

    def fail(name: str, facts: dict[str, Any]) -> None:
        raise RuntimeError("a receiver's own fault")

    with listening(fail), caplog.at_level(logging.ERROR, "django.dispatch"):
        assert tokens.refresh_due().renewed == 3
        tokens.reset()
        assert get_token("c0")
    assert salesforce_org.token_requests == 3
    assert len(caplog.messages) == 3
    assert "a receiver's own fault" in caplog.text


def test_slow_receiver_holds_up_no_token_of_a_sweep(salesforce_org: ConnectableOrg, monkeypatch) -> None:
    monkeypatch.setattr(sweep, "FLUSH_SECONDS", 0.02)
    connect_many(salesforce_org, 4)
    salesforce_org.fail("slow", times=1, seconds=0.3)
    waiting: list[int] = []

    def look(name: str, facts: dict[str, Any]) -> None:
        waiting.append(AccessToken.objects.filter(value__isnull=True).count())

    with listening(look):
        assert tokens.refresh_due().renewed == 4
    assert waiting == [0] * 4


def test_receivers_are_run_when_a_sweep_breaks_off() -> None:
    heard: list[str] = []
    with listening(lambda name, facts: heard.append(name)), suppress(KeyError), signals.held_back():
        signals.send(signals.token_refreshed, AccessToken)
        assert heard == []
        raise KeyError
    assert heard == ["token_refreshed"]


def test_sign_in_inside_a_transaction_is_told_after_its_commit(
    salesforce_org: ConnectableOrg, told: list[Told]
) -> None:
    salesforce_org.connect("acme")
    with transaction.atomic():
        get_token("acme")
        assert told == []
    assert only(told, "token_refreshed")

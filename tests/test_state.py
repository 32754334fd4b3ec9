from __future__ import annotations

import datetime as dt
import itertools
import uuid
from dataclasses import replace

import pytest
from django.utils import timezone

from sf_integration import crypto, state
from sf_integration.fields import seal
from sf_integration.models import ConnectedApp, SigningKey
from sf_integration.state import ConnectionState, Facts

NOW = timezone.now().replace(microsecond=0)
SECOND = dt.timedelta(seconds=1)
DAY = dt.timedelta(days=1)
HEALTHY = Facts(
    enabled=True,
    environment="sandbox",
    key_can_sign=True,
    failing_since=None,
    last_checked_at=NOW,
    last_success_at=NOW,
    has_warnings=False,
    certificate_ends=NOW + 300 * DAY,
)


def derived(**changes: object) -> ConnectionState:
    facts = replace(HEALTHY, **changes)
    return state.derive(facts, now=NOW, environments={"sandbox", "developer"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ConnectionState.HEALTHY),
        ({"enabled": False}, ConnectionState.PAUSED),
        ({"environment": "production"}, ConnectionState.NOT_ALLOWED_HERE),
        ({"environment": "never heard of"}, ConnectionState.NOT_ALLOWED_HERE),
        ({"key_can_sign": False}, ConnectionState.ENCRYPTION_KEY_MISSING),
        ({"failing_since": NOW}, ConnectionState.FAILING),
        ({"failing_since": NOW, "last_checked_at": None, "last_success_at": None}, ConnectionState.FAILING),
        ({"last_checked_at": None}, ConnectionState.NOT_CHECKED_YET),
        ({"last_success_at": None}, ConnectionState.NOT_CHECKED_YET),
        ({"last_success_at": NOW - state.IDLE_AFTER}, ConnectionState.HEALTHY),
        ({"last_success_at": NOW - state.IDLE_AFTER - SECOND}, ConnectionState.IDLE),
        ({"has_warnings": True}, ConnectionState.NEEDS_ATTENTION),
        ({"certificate_ends": NOW + 60 * DAY + SECOND}, ConnectionState.HEALTHY),
        ({"certificate_ends": NOW + 60 * DAY}, ConnectionState.NEEDS_ATTENTION),
        ({"certificate_ends": NOW - DAY}, ConnectionState.NEEDS_ATTENTION),
        ({"certificate_ends": None}, ConnectionState.HEALTHY),
    ],
)
def test_each_fact_leads_to_its_state(changes, expected):
    assert derived(**changes) is expected


ORDER = [
    ({"enabled": False}, ConnectionState.PAUSED),
    ({"environment": "production"}, ConnectionState.NOT_ALLOWED_HERE),
    ({"key_can_sign": False}, ConnectionState.ENCRYPTION_KEY_MISSING),
    ({"failing_since": NOW}, ConnectionState.FAILING),
    ({"last_checked_at": None}, ConnectionState.NOT_CHECKED_YET),
    ({"last_success_at": NOW - 9 * DAY}, ConnectionState.IDLE),
    ({"has_warnings": True}, ConnectionState.NEEDS_ATTENTION),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_that_holds_wins(first):
    changes = {name: value for change, _ in ORDER[first:] for name, value in change.items()}
    assert derived(**changes) is ORDER[first][1]


def test_lists_are_sorted_sick_first():
    assert [each.value for each in sorted(ConnectionState, key=lambda each: each.rank)] == [
        "Failing", "Needs attention", "Encryption key missing", "Not allowed here",
        "Paused", "Not checked yet", "Idle", "Healthy",
    ]  # fmt: skip


def test_two_states_count_as_healthy():
    healthy = {each for each in ConnectionState if each.is_healthy}
    assert healthy == {ConnectionState.HEALTHY, ConnectionState.NEEDS_ATTENTION}


@pytest.mark.parametrize("each", ConnectionState)
def test_every_state_has_a_sentence_and_a_colour(each):
    assert each.meaning.endswith(".")
    assert each.colour in {"good", "warn", "bad", "info", "mute"}


# The same in SQL

TIMES = {
    "checked": (None, NOW),
    "success": (None, NOW, NOW - state.IDLE_AFTER, NOW - state.IDLE_AFTER - SECOND),
    "failing": (None, NOW - DAY),
    "ends": (None, NOW - DAY, NOW + 60 * DAY, NOW + 60 * DAY + SECOND),
}
KINDS = (("sandbox", True), ("production", True), ("sandbox", False))
"""Environment, and whether it was worked out for the present login URL."""


@pytest.fixture
def every_combination(db, settings):
    """A connection for every combination of facts; returns how many."""
    known, other = crypto.new_key(), crypto.new_key()

    def configure(*keys: str) -> None:
        settings.SF_INTEGRATION = settings.SF_INTEGRATION | {
            "ENCRYPTION_KEYS": keys,
            "ALLOWED_ENVIRONMENTS": ["sandbox", "developer"],
            "SIGNERS": {"kms": "acme.signing.KmsSigner"},
        }

    rows = []
    held = [(known, ""), (other, ""), (None, ""), (None, "kms")]
    for (sealed_with, signer), ends in itertools.product(held, TIMES["ends"]):
        configure(*filter(None, [sealed_with]))
        key = SigningKey(name=uuid.uuid4().hex, fingerprint="f", size=2048, not_after=ends, signer=signer)
        key.private_key = seal(SigningKey, "private_key", key.pk, b"x") if sealed_with else None
        key.save()
        for enabled, (environment, fits), failing, checked, success, warnings in itertools.product(
            (True, False),
            KINDS,
            TIMES["failing"],
            TIMES["checked"],
            TIMES["success"],
            ([], [{"message": "m"}]),
        ):
            url = "https://acme.my.salesforce.com"
            rows.append(
                ConnectedApp(
                    name=f"c{len(rows)}",
                    login_url=url,
                    environment=environment,
                    environment_for=f"{url} k u" if fits else f"{url} k somebody-else",
                    consumer_key="k",
                    signing_key=key,
                    username="u",
                    enabled=enabled,
                    failing_since=failing,
                    last_checked_at=checked,
                    last_success_at=success,
                    warnings=warnings,
                )
            )
    ConnectedApp.objects.bulk_create(rows, batch_size=500)
    configure(crypto.new_key(), known)
    return len(rows)


def test_the_annotation_and_the_function_agree_on_every_combination(
    every_combination, settings, django_assert_num_queries
):
    with django_assert_num_queries(1):
        rows = list(ConnectedApp.objects.with_state(NOW).select_related("signing_key"))
    assert len(rows) == every_combination == 4 * 4 * 2 * 3 * 2 * 2 * 4 * 2
    disagreeing = [row for row in rows if row.state != row.connection_state(NOW).value]
    assert disagreeing == []
    assert {row.state for row in rows} == {each.value for each in ConnectionState}
    assert all(row.state_rank == ConnectionState(row.state).rank for row in rows)
    settings.SF_INTEGRATION["ALLOWED_ENVIRONMENTS"] = ["production"]
    rows = list(ConnectedApp.objects.with_state(NOW).select_related("signing_key"))
    assert [row for row in rows if row.state != row.connection_state(NOW).value] == []


@pytest.mark.django_db
@pytest.mark.parametrize("signer", ["", "kms"])
@pytest.mark.parametrize("lacking", ["ENCRYPTION_KEYS", "ALLOWED_ENVIRONMENTS"])
def test_they_agree_when_nothing_is_configured(settings, lacking, signer):
    key = SigningKey(name="k", fingerprint="f", size=2048, signer=signer)
    key.private_key = None if signer else seal(SigningKey, "private_key", key.pk, b"x")
    key.save()
    ConnectedApp.objects.create(
        name="acme", login_url="https://a.my.salesforce.com", signing_key=key, username="u"
    )
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {lacking: []}
    row = ConnectedApp.objects.with_state().get()
    assert row.state == row.connection_state().value


def test_sorting_by_state_is_one_query(every_combination, django_assert_num_queries):
    with django_assert_num_queries(1):
        ranks = [row.state_rank for row in ConnectedApp.objects.sick_first()[:50]]
    assert ranks == sorted(ranks)


@pytest.mark.django_db
def test_states_can_be_filtered_and_counted(every_combination):
    counted = {
        each.value: ConnectedApp.objects.with_state(NOW).filter(state=each.value).count()
        for each in ConnectionState
    }
    assert sum(counted.values()) == every_combination
    assert counted["Paused"] == every_combination // 2

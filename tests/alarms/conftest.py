"""Connections with stored facts, as checks and sign-ins would have left them. Nobody is called."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core import mail

from sf_integration.alarms import rounds, sending
from sf_integration.fields import seal
from sf_integration.health.scheduler import REFRESH
from sf_integration.models import AlarmMessage, ConnectedApp, Heartbeat, SigningKey
from sf_integration.state import ConnectionState

START = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
SILENCE = {
    "code": "timeout",
    "step": "sign_in",
    "cause": "The login host did not answer in time.",
    "who": "Salesforce",
    "remedy": "Wait, or look at status.salesforce.com.",
    "where": "https://status.salesforce.com",
}
REFUSAL = {
    "code": "invalid_app_access",
    "step": "sign_in",
    "cause": "The user is not pre-authorised.",
    "who": "Salesforce admin of the org",
    "remedy": "Assign the permission set.",
    "where": "Setup → Permission Sets",
}


def minutes(number: float) -> dt.timedelta:
    return dt.timedelta(minutes=number)


class World:
    """Connections, and a clock that stands until it is moved."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.now = START
        self.configure(ALARM_MAIL=["ops@here.example"], SITE_URL="https://connections.example")
        self.key = self.signing_key("shared")
        self.beat()

    def configure(self, **changes: Any) -> None:
        self.settings.SF_INTEGRATION = {**self.settings.SF_INTEGRATION, **changes}

    def signing_key(self, name: str, *, days: float = 300) -> SigningKey:
        row = SigningKey(name=name, fingerprint=name, size=2048, not_after=self.now + dt.timedelta(days=days))
        row.private_key = seal(SigningKey, "private_key", row.pk, b"no real one")
        row.save()
        return row

    def connect(self, name: str, **fields: Any) -> ConnectedApp:
        return self.connect_many([name], **fields)[0]

    def connect_many(self, names: list[str], **fields: Any) -> list[ConnectedApp]:
        well = self.now - minutes(60)
        values = {
            "login_url": "https://acme.my.salesforce.com",
            "consumer_key": "3MVG9",
            "username": "integration@acme.example",
            "signing_key": self.key,
            "settings_since": well,
            "last_checked_at": well,
            "last_success_at": well,
            "told_state": ConnectionState.HEALTHY.value,
        } | fields
        return ConnectedApp.objects.bulk_create([ConnectedApp(name=name, **values) for name in names])

    def fail(self, *names: str, error: dict[str, str] = REFUSAL) -> None:
        ConnectedApp.objects.filter(name__in=names).note_failure(self.now, error)

    def mend(self, *names: str) -> None:
        ConnectedApp.objects.filter(name__in=names).update(
            failing_since=None, last_error=None, last_success_at=self.now
        )

    def beat(self) -> None:
        Heartbeat.objects.update_or_create(name=REFRESH, defaults={"at": self.now})

    def after(self, number: float, *, beat: bool = True) -> list[tuple[str, str]]:
        """A round so many minutes later: what changed of which alarm."""
        self.now += minutes(number)
        if beat:
            self.beat()
        return [(change.what, change.alarm.title) for change in rounds.run(self.now)]

    def messages(self) -> dict[str, AlarmMessage]:
        """Those written since the last look, by target; one each."""
        found = list(AlarmMessage.objects.filter(next_try_at__isnull=False))
        AlarmMessage.objects.update(next_try_at=None)
        by_target = {message.target: message for message in found}
        assert len(by_target) == len(found)
        return by_target

    def send(self) -> sending.Sent:
        return sending.send_due(self.now)


@pytest.fixture
def world(db: None, settings: Any) -> World:
    mail.outbox = []
    return World(settings)

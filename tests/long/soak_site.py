"""What is done to the site of a soak, and read from it at the end. Runs in a process of that site."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.core.management import call_command
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from sf_integration import keystore, tokens
from sf_integration.models import AccessToken, ConnectedApp, ConnectionEvent, SigningKey, settings_fingerprint

from .soak_orgs import OrgFacts

SESSION_MINUTES = 15


@dataclass(frozen=True)
class Wanted:
    name: str
    username: str
    org: OrgFacts
    consumer_key: str
    private_key_pem: str
    certificate_pem: str


def prepare(wanted: list[Wanted], beat_seconds: int) -> None:
    call_command("migrate", verbosity=0)
    often, _ = IntervalSchedule.objects.get_or_create(every=beat_seconds, period="seconds")
    PeriodicTask.objects.filter(task="sf_integration.refresh_due_tokens").update(interval=often)
    keys: dict[str, SigningKey] = {}
    made = []
    for each in wanted:
        if each.consumer_key not in keys:
            keys[each.consumer_key] = _take_in(f"key {len(keys)}", each.private_key_pem, each.certificate_pem)
        made.append(_connection(each, keys[each.consumer_key]))
    ConnectedApp.objects.bulk_create(made)
    for _batch in tokens.due_batches():
        pass  # to hand out what is due, it makes the rows that are missing


def _take_in(name: str, private_key_pem: str, certificate_pem: str) -> SigningKey:
    return keystore.take_in(private_key_pem.encode(), name=name, certificate=certificate_pem.encode())


def _connection(wanted: Wanted, key: SigningKey) -> ConnectedApp:
    made = ConnectedApp(
        name=wanted.name,
        login_url=wanted.org.url,
        consumer_key=wanted.consumer_key,
        username=wanted.username,
        signing_key=key,
        session_minutes=SESSION_MINUTES,
        expected_org_id=wanted.org.org_id,
        api_version="67.0",
    )
    made.clean()
    # As on a site that has run for long: checks come one by one, not for all in the first minute.
    now = timezone.now()
    made.last_full_check_at = made.last_checked_at = now
    made.checked_fingerprint = settings_fingerprint(made, made.username)
    return made


def make_all_due() -> None:
    AccessToken.objects.update(refresh_at=timezone.now())


def change_username(name: str, username: str) -> None:
    connection = ConnectedApp.objects.get(name=name)
    connection.username = username
    connection.save()


def set_enabled(name: str, enabled: bool) -> None:
    ConnectedApp.objects.filter(name=name).update(enabled=enabled)


def stage(name: str, key_name: str, private_key_pem: str, certificate_pem: str) -> None:
    connection = ConnectedApp.objects.get(name=name)
    connection.staged_signing_key = _take_in(key_name, private_key_pem, certificate_pem)
    connection.save()


def still_staged() -> list[str]:
    return list(ConnectedApp.objects.filter(staged_signing_key__isnull=False).values_list("name", flat=True))


def sign_ins() -> list[tuple[str, float]]:
    """Username and time of each token that was stored."""
    found = ConnectionEvent.objects.filter(kind=ConnectionEvent.Kind.SIGNED_IN).order_by("at")
    return [(username, at.timestamp()) for username, at in found.values_list("username", "at")]


def around(username: str, at: float, seconds: float = 20) -> list[str]:
    """What the history tells of a user about that time."""
    moment = datetime.fromtimestamp(at, UTC)
    span = (moment - timedelta(seconds=seconds), moment + timedelta(seconds=seconds))
    found = ConnectionEvent.objects.filter(username=username, at__range=span).order_by("at")
    return [f"{event.at - moment} {event.kind} {event.code}" for event in found]


def refused() -> dict[str, int]:
    """Sign-ins that went wrong, by their code."""
    counts: dict[str, int] = {}
    found = ConnectionEvent.objects.filter(kind=ConnectionEvent.Kind.REFUSED)
    for code in found.values_list("code", flat=True):
        counts[code] = counts.get(code, 0) + 1
    return counts


def with_token() -> tuple[int, int]:
    """Rows that hold a token in force, and all rows of the connections' own users that are switched on."""
    now = timezone.now()
    rows = AccessToken.objects.filter(connection__enabled=True).select_related("connection__signing_key")
    own = [row for row in rows if row.is_own]
    return sum(row.has_token(now + timedelta(0)) for row in own), len(own)

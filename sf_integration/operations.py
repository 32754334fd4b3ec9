"""What a person can do to a connection from a page or the admin: done, audited, and told in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from . import audit, health, tokens
from .models import ConnectedApp
from .salesforce.errors import ActionNeeded, SalesforceError
from .tokens import renewal


@dataclass(frozen=True)
class Outcome:
    done: bool
    """Whether it went well; for a check: whether the connection works."""
    sentence: str


def check(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Run the whole diagnosis with a real sign-in."""
    audit.record("checked", connection, actor=actor)
    ran = health.check_connection(connection, asked_by=actor.get_username())
    return Outcome(ran.healthy, f"Connection {connection.name}: {ran.state}. {connection.state_sentence()}")


def renew(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Sign in now; the new token is everybody's."""
    audit.record("renewed", connection, actor=actor)
    try:
        token = tokens.refresh(connection.name)
    except ActionNeeded as error:
        return Outcome(False, f"Connection {connection.name}: {error.cause} {error.remedy}".strip())
    except SalesforceError as error:
        return Outcome(False, f"Connection {connection.name}: {error}")
    return Outcome(True, f"Connection {connection.name} signed in anew at {token.instance_url}.")


def pause(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Nothing is called any more, everywhere within five seconds."""
    _switch(connection, enabled=False)
    audit.record("paused", connection, actor=actor)
    return Outcome(True, f"Connection {connection.name} is paused: nothing is called until it is resumed.")


def resume(connection: ConnectedApp, *, actor: Any) -> Outcome:
    _switch(connection, enabled=True)
    audit.record("resumed", connection, actor=actor)
    return Outcome(True, f"Connection {connection.name} is resumed.")


def _switch(connection: ConnectedApp, *, enabled: bool) -> None:
    ConnectedApp.objects.filter(pk=connection.pk).update(enabled=enabled)
    connection.enabled = enabled
    renewal.tell_change(connection, timezone.now())

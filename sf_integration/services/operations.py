"""What a person can do to a connection, wherever they press or type: done, audited, and told in one sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access, audit, health, tokens
from ..access import Deed
from ..models import ConnectedApp, ConnectionCheck, session_length
from ..salesforce.assertion import Key
from ..salesforce.errors import ActionNeeded, SalesforceError
from ..tokens import renewal, rows


@dataclass(frozen=True)
class Outcome:
    done: bool
    """Whether it went well; for a check: whether the connection works."""
    sentence: str
    advice: str = ""
    """Who must act and how, for those who see no more than this; pages show the steps."""


def check(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Run the whole diagnosis, with a real sign-in."""
    access.require(actor, Deed.CHECK, connection)
    return prove(connection, actor=actor)


def diagnose(connection: ConnectedApp, *, actor: Any) -> ConnectionCheck:
    """As `check`, for who tells it step by step."""
    access.require(actor, Deed.CHECK, connection)
    return _diagnosis(connection, actor)


def prove(connection: ConnectedApp, *, actor: Any, with_new_login: bool = True) -> Outcome:
    """The check that ends another deed, which has asked for the right; with a real sign-in, or with the token in store."""
    ran = _diagnosis(connection, actor, with_new_login=with_new_login)
    sentence = _("Connection %(name)s: %(state)s. %(sentence)s") % {
        "name": connection.name,
        "state": _(str(ran.state)),
        "sentence": connection.failure_sentence(timezone.now()),
    }
    return Outcome(ran.healthy, sentence, " ".join(_advice(step, sentence) for step in ran.steps).strip())


def _diagnosis(connection: ConnectedApp, actor: Any, *, with_new_login: bool = True) -> ConnectionCheck:
    audit.record("checked", connection, actor=actor)
    return health.check_connection(connection, asked_by=actor.get_username(), renew=with_new_login)


@dataclass(frozen=True)
class Unsaved:
    """What the audit trail can tell of a connection that is not stored."""

    name: str


def try_values(
    connection: ConnectedApp, key: Key, *, actor: Any, fields: Collection[str] = ()
) -> health.Trial:
    """Run the whole diagnosis with values that are not saved; `connection` is an instance that has them, `key` what to sign
    with. Nothing is stored but that it was done; the token is revoked.

    A connection that is paused, or a host or kind of org that may not be called, is not called here either. Who may test
    a paused one without saving ticks “enabled” in the form: what is tested is the form as it stands.
    """
    stored = ConnectedApp.objects.filter(pk=connection.pk).first()
    access.require(actor, Deed.TRY_VALUES, stored)
    audit.record("tested values", stored or Unsaved(connection.name), actor=actor, fields=fields)
    return health.try_values(connection, key)


def _advice(step: Mapping[str, str], told: str) -> str:
    """What to do about a step, unless it was passed; `told` was said before."""
    if step["status"] not in (health.FAILED, health.WARNING):
        return ""
    parts = {
        "": step["cause"] if step["cause"] not in told else "",
        _("Who must act: "): step["who"],
        _("What to do: "): step["remedy"],
        _("Where to click: "): step["where"],
        _("Code: "): step["code"],
    }
    return " ".join(f"{word}{text.rstrip('.')}." for word, text in parts.items() if text)


def renew(connection: ConnectedApp, *, actor: Any, username: str | None = None) -> Outcome:
    """Sign in now and forget the old token, which stays in use when that fails: who tries must not make it worse.

    The new token is everybody's. The old session is not ended in the org; that is what `revoke` does.
    """
    access.require(actor, Deed.RENEW, connection)
    audit.record("renewed", connection, actor=actor, username=username or "")
    try:
        token = tokens.refresh(connection.name, username)
    except SalesforceError as error:
        row = rows.find(connection.name, username)
        kept = _(" The old token stays in use.") if row and row.has_token(timezone.now()) else ""
        return Outcome(False, _refusal(connection, username, error) + kept)
    return Outcome(
        True,
        _("%(whose)s signed in anew at %(instance_url)s.")
        % {"whose": _whose(connection, username), "instance_url": token.instance_url},
    )


def revoke(connection: ConnectedApp, *, actor: Any, username: str | None = None) -> Outcome:
    """End the session in the org and drop its token. A failure leaves both, so that it can be tried again."""
    access.require(actor, Deed.REVOKE, connection)
    user = username or connection.username
    try:
        ended = tokens.revoke(connection.name, username)
    except SalesforceError as error:
        return Outcome(
            False,
            _("%(refusal)s The session was not ended.") % {"refusal": _refusal(connection, username, error)},
        )
    if not ended:
        return Outcome(True, _("%(whose)s had no token to revoke.") % {"whose": _whose(connection, username)})
    audit.record("revoked token", connection, actor=actor, username=user)
    return Outcome(
        True,
        _("Connection %(name)s: the session of %(user)s was ended and its token dropped.")
        % {"name": connection.name, "user": user},
    )


def shorten_session(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Set the session length to what the last sessions lasted."""
    access.require(actor, Deed.CORRECT, connection)
    advice = connection.session_advice()
    if advice is None or advice.minutes is None:
        return Outcome(
            False,
            _("Connection %(name)s: its sessions don't ask for a shorter session length.")
            % {"name": connection.name},
        )
    ConnectedApp.objects.filter(pk=connection.pk).update(session_minutes=advice.minutes)
    audit.record("changed", connection, actor=actor, fields=["session_minutes"])
    length = session_length(advice.minutes)
    return Outcome(
        True,
        _("Connection %(name)s: the session length is %(length)s from the next sign-in on.")
        % {"name": connection.name, "length": length},
    )


def pause(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Nothing is called any more, everywhere within five seconds."""
    access.require(actor, Deed.PAUSE, connection)
    _switch(connection, enabled=False)
    audit.record("paused", connection, actor=actor)
    return Outcome(
        True,
        _("Connection %(name)s is paused: nothing is called until it is resumed.")
        % {"name": connection.name},
    )


def resume(connection: ConnectedApp, *, actor: Any) -> Outcome:
    access.require(actor, Deed.PAUSE, connection)
    _switch(connection, enabled=True)
    audit.record("resumed", connection, actor=actor)
    return Outcome(True, _("Connection %(name)s is resumed.") % {"name": connection.name})


def _whose(connection: ConnectedApp, username: str | None) -> str:
    return (
        _("Connection %(name)s, user %(username)s,") % {"name": connection.name, "username": username}
        if username
        else _("Connection %(name)s") % {"name": connection.name}
    )


def _refusal(connection: ConnectedApp, username: str | None, error: SalesforceError) -> str:
    said = f"{error.cause} {error.remedy}".strip() if isinstance(error, ActionNeeded) else str(error)
    return f"{_whose(connection, username).removesuffix(',')}: {said}"


def _switch(connection: ConnectedApp, *, enabled: bool) -> None:
    ConnectedApp.objects.filter(pk=connection.pk).update(enabled=enabled)
    connection.enabled = enabled
    renewal.tell_change(connection, timezone.now())

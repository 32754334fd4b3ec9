"""Connections on their way through the set-up guide: begun, left, resumed, saved, checked, discarded."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access, audit
from ..models import ConnectedApp, ConnectionDraft, SigningKey
from ..salesforce import my_domain, setup_guide
from ..salesforce.errors import InvalidInput
from ..salesforce.setup_guide import Copied
from ..signals import connection_health_changed
from ..state import ConnectionState
from . import operations, profiles
from .operations import Outcome

_LONGEST_NAME = 60
_ROOM_FOR_NUMBER = 4
_LONGEST_LABEL = 100


@dataclass(frozen=True)
class Leftovers:
    """What a draft leaves behind when it is discarded, because nothing else has a use for it."""

    signing_key: SigningKey | None
    """Stored since the draft was begun, and used by nothing else."""
    connection: ConnectedApp | None
    """Made from the draft, and never signed in."""


def suggested_name(login_url: str) -> str:
    """`acme-uat` for the sandbox uat of acme, with a number if that is taken; empty when the URL names no org."""
    wanted = re.sub(r"[^a-z0-9-]+", "-", "-".join(filter(None, my_domain.names(login_url))))
    return _free(wanted[: _LONGEST_NAME - _ROOM_FOR_NUMBER].strip("-")) if wanted else ""


def suggested_label(login_url: str) -> str:
    """`Acme uat`."""
    domain, sandbox = my_domain.names(login_url)
    return " ".join(filter(None, (domain.replace("-", " ").capitalize(), sandbox)))[:_LONGEST_LABEL].strip()


def name_is_taken(name: str, draft: ConnectionDraft | None = None) -> bool:
    """By a connection other than the one that was made from `draft`."""
    found = ConnectedApp.objects.filter(name=name)
    if draft and draft.connection_id:
        found = found.exclude(pk=draft.connection_id)
    return found.exists()


def begin(values: Mapping[str, str], *, actor: Any) -> ConnectionDraft:
    """`values`: fields of the draft, as checked by its form."""
    access.require(actor, access.Deed.MAKE)
    return ConnectionDraft.objects.create(made_by=actor, **values)


def change(draft: ConnectionDraft, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        setattr(draft, name, value)
    draft.save(update_fields=[*values, "updated_at"])


def set_steps(draft: ConnectionDraft, asked: Collection[str], done: Collection[str]) -> None:
    """Of the steps `asked` about, `done` are done and the others not; all others stay as they are."""
    with transaction.atomic():
        # Two rooms saved at once, as by two tabs, must not undo each other.
        row = ConnectionDraft.objects.select_for_update().get(pk=draft.pk)
        kept = set(row.steps_done) - set(asked) | (set(done) & set(asked))
        row.steps_done = [step.id for step in setup_guide.STEPS if step.id in kept]
        row.save(update_fields=["steps_done", "updated_at"])
    draft.steps_done = row.steps_done


def take_key(draft: ConnectionDraft, take: Callable[[], SigningKey], *, actor: Any) -> None:
    """A signing key that was given or is made here; `take` stores it. One given is its holder's to use, known or not."""
    with transaction.atomic():
        known = set(SigningKey.objects.values_list("pk", flat=True))
        key = take()
        if key.pk not in known:
            audit.record("added key", key, actor=actor)
        _use(draft, key)


def make_key(draft: ConnectionDraft, make: Callable[[], SigningKey], *, instead_of: str, actor: Any) -> None:
    """As `take_key`, unless the draft's signing key is no longer the one with the id `instead_of`.

    A second click, or a page that is old, must not replace a key whose certificate is in Salesforce already.
    """
    with transaction.atomic():
        row = ConnectionDraft.objects.select_for_update().get(pk=draft.pk)
        if str(row.signing_key_id or "") == instead_of:
            take_key(draft, make, actor=actor)


def choose_key(draft: ConnectionDraft, key: SigningKey, *, actor: Any) -> None:
    """One that is stored already, which has to be in sight."""
    access.require_key(actor, key)
    _use(draft, key)


def copied_values(subject: ConnectionDraft | ConnectedApp) -> dict[Copied, str]:
    """What the steps of the guide offer to copy; a value that is not known yet is left out."""
    key: SigningKey | None = subject.signing_key
    own: dict[Copied, str] = {
        "login_url": subject.login_url,
        "username": subject.username,
        "app_name": str(subject),
        "permission_set": f"{subject} access",
        "certificate": key.certificate if key else "",
    }
    return {name: value for name, value in (own | setup_guide.FIXED_VALUES).items() if value}


def save_and_check(draft: ConnectionDraft, *, actor: Any) -> Outcome:
    """Make the connection of the draft, or correct it, and check it with a real sign-in. Green: the draft is gone.

    Raises InvalidInput, NotAllowedHere, EncryptionKeyMissing or AccessDenied, and then nothing was saved or called.
    """
    connection = save(draft, actor=actor)
    if not access.may(actor, access.Deed.CHECK):
        return Outcome(
            False,
            _("Connection %(name)s is saved. Someone who may run checks here has to check it.")
            % {"name": connection.name},
        )
    outcome = operations.check(connection, actor=actor)
    if outcome.done:
        draft.delete()
    return outcome


@transaction.atomic
def save(draft: ConnectionDraft, *, actor: Any) -> ConnectedApp:
    """The connection made or corrected from the draft; nobody is called."""
    if draft.signing_key is None:
        raise InvalidInput(_("There is no signing key yet: make one, give one or choose one in “The app”."))
    values = {
        "label": draft.label,
        "app_kind": draft.app_kind,
        "login_url": draft.login_url,
        "consumer_key": draft.consumer_key,
        "username": draft.username,
    }
    made = _made_meanwhile(draft)
    saved = profiles.save(
        made.name if made else draft.name,
        values,
        actor=actor,
        key=draft.signing_key,
        must_be_new=made is None,
        may_use_key=True,
    )
    draft.connection = saved.connection
    draft.save(update_fields=["connection", "updated_at"])
    return saved.connection


@receiver(connection_health_changed)
def end_finished(connection: ConnectedApp, state: ConnectionState, **more: Any) -> None:
    """The set-up of a connection that works is over, whoever found that out: it must not bring old values back."""
    if state in (ConnectionState.HEALTHY, ConnectionState.NEEDS_ATTENTION):
        ConnectionDraft.objects.filter(connection=connection).delete()


def leftovers(draft: ConnectionDraft) -> Leftovers:
    connection, key = draft.connection, draft.signing_key
    signed_in = Q(value__isnull=False) | Q(claimed_until__gt=timezone.now())
    if connection and (connection.last_success_at or connection.tokens.filter(signed_in).exists()):
        # It has a session in the org, or gets one at this moment: to be left by its own page, which ends that.
        connection = None
    if key and (key.created_at < draft.created_at or _used_elsewhere(key, draft, connection)):
        key = None
    return Leftovers(key, connection)


@transaction.atomic
def discard(draft: ConnectionDraft, *, actor: Any, with_leftovers: bool) -> None:
    left = leftovers(draft) if with_leftovers else Leftovers(None, None)
    audit.record("discarded set-up", draft, actor=actor)
    draft.delete()
    if left.connection:
        access.require(actor, access.Deed.DELETE, left.connection)
        audit.record("deleted", left.connection, actor=actor)
        left.connection.delete()
    if left.signing_key:
        audit.record("deleted key", left.signing_key, actor=actor)
        left.signing_key.delete()


def _made_meanwhile(draft: ConnectionDraft) -> ConnectedApp | None:
    """The draft's connection, which a second click at the same moment may have made. Raises InvalidInput when that has
    finished the set-up."""
    rows = ConnectionDraft.objects.select_for_update(of=("self",)).select_related("connection__signing_key")
    row = rows.filter(pk=draft.pk).first()
    if row is None:
        raise InvalidInput(
            _("This set-up is finished or discarded meanwhile: look in the list of connections.")
        )
    return row.connection


def _use(draft: ConnectionDraft, key: SigningKey) -> None:
    draft.signing_key = key
    draft.save(update_fields=["signing_key", "updated_at"])


def _used_elsewhere(key: SigningKey, draft: ConnectionDraft, doomed: ConnectedApp | None) -> bool:
    connections = key.connections.all() | key.staged_connections.all()
    others = connections.exclude(pk=doomed.pk) if doomed else connections
    return others.exists() or key.drafts.exclude(pk=draft.pk).exists()


def _free(wanted: str) -> str:
    taken = set(ConnectedApp.objects.filter(name__startswith=wanted).values_list("name", flat=True))
    numbered = (f"{wanted}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (wanted, *numbered) if name not in taken)

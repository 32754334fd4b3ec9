"""What a person does about the next signing key of connections: stage it, promote it, take it back, give it up."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from ... import access, audit, keystore
from ...access import Deed
from ...models import ConnectedApp, SigningKey
from ...salesforce import keys
from ...salesforce.errors import InvalidInput
from ...tokens import promotion, rows
from ..operations import Outcome


@dataclass(frozen=True)
class Started:
    key: SigningKey
    """The staged one."""
    was_made: bool
    outcomes: Sequence[Outcome]
    """One per connection, in order."""


def start(
    connections: Sequence[ConnectedApp],
    *,
    actor: Any,
    new_key: SigningKey | None = None,
    bits: int = keys.MINIMUM_BITS,
    days: int = 365,
    hand_out: Callable[[SigningKey], object] = lambda key: None,
) -> Started:
    """Stage one signing key for all of these, a stored one or one made now. Nothing else changes: they go on with their own.

    `hand_out` is given the key before it is staged; when it raises, none was made. One by one, for sweeps write these rows too,
    in an order of their own.

    Raises AccessDenied, or InvalidInput when the key can't be one that follows.
    """
    if not connections:
        raise InvalidInput(_("There is no connection to stage a signing key for."))
    for connection in connections:
        access.require(actor, Deed.ROTATE, connection)
    with transaction.atomic():
        if new_key is None:
            _require_made_here(connections)
            key = keystore.make(name=connections[0].signing_key.name, bits=bits, days=days)
            audit.record("made key", key, actor=actor)
        else:
            access.require_key(actor, new_key)
            key = _usable(new_key)
        hand_out(key)
    return Started(key, new_key is None, [_stage(each, key, actor) for each in connections])


def promote(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Put the staged signing key in force, once the org was seen to take it."""
    access.require(actor, Deed.ROTATE, connection)
    staged = connection.staged_signing_key
    if staged is None or not connection.next_signing_key_id:
        return _told(connection, _("it has no staged signing key to promote."))
    if not promotion.has_accepted(connection):
        return _told(
            connection,
            _("nobody has seen yet that the org takes “%(name)s”. Try it first.") % {"name": staged.name},
        )
    if not staged.can_sign:
        return _told(connection, _unusable(staged))
    if not promotion.promote(connection, actor=actor):
        return _meanwhile(connection)
    return _told(connection, _("it signs in with “%(name)s” from now on.") % {"name": staged.name}, done=True)


def undo(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Go back to the signing key before the promotion; the promoted one is staged again.

    So it is right whichever certificate the org has: if it has the promoted one's, the next sign-in promotes it anew.
    """
    access.require(actor, Deed.ROTATE, connection)
    now = timezone.now()
    before, promoted = connection.previous_signing_key, connection.signing_key
    if before is None or not connection.can_undo_promotion(now):
        return _told(connection, _("there is no promotion of the last seven days to undo."))
    if connection.next_signing_key_id:
        return _told(connection, _("another signing key is staged already. Cancel that first."))
    if not before.can_sign:
        return _told(connection, _unusable(before))
    changes = _undone(before, promoted, now)
    if not promotion.exchange(connection, changes, act="undid promotion", actor=actor):
        return _meanwhile(connection)
    SigningKey.objects.filter(pk=before.pk).update(replaced_at=None)
    rows.carry_over(connection, promoted, before)
    return _told(
        connection,
        _(
            "it is back to “%(name)s”, and “%(promoted)s” is staged. If the org takes only that one, the next "
            "sign-in promotes it again."
        )
        % {"name": before.name, "promoted": promoted.name},
        done=True,
    )


def _undone(before: SigningKey, promoted: SigningKey, now: dt.datetime) -> dict[str, Any]:
    """The columns of a connection whose promotion is undone."""
    return {
        "signing_key": before,
        "staged_signing_key": promoted,
        "staged_at": now,
        "staged_trial": promotion.trial_facts(promoted, code=promotion.UNDONE),
        "previous_signing_key": None,
        "promoted_at": None,
        "settings_since": now,
    }


def cancel(connection: ConnectedApp, *, actor: Any) -> Outcome:
    """Give up the staged signing key; it stays stored."""
    access.require(actor, Deed.ROTATE, connection)
    staged = connection.staged_signing_key
    if staged is None:
        return _told(connection, _("it has no staged signing key to give up."))
    if connection.next_signing_key_id and promotion.has_accepted(connection):
        return _told(
            connection,
            _("the org takes “%(name)s” and no other by now. Promote it instead.") % {"name": staged.name},
        )
    changes = {"staged_signing_key": None, "staged_at": None, "staged_trial": None}
    if not promotion.exchange(connection, changes, act="cancelled rotation", actor=actor):
        return _meanwhile(connection)
    return _told(
        connection,
        _("“%(name)s” is staged no more; it goes on with its signing key.") % {"name": staged.name},
        done=True,
    )


def _require_made_here(connections: Sequence[ConnectedApp]) -> None:
    """Who keeps keys outside does not want the next one in the database: that has to be said."""
    outside = next((each.signing_key for each in connections if each.signing_key.signer), None)
    if outside is not None:
        raise InvalidInput(
            _(
                "The signing key “%(name)s” is held outside, by %(signer)s. Have the next one made there, register it, and "
                "choose it as the one that follows."
            )
            % {"name": outside.name, "signer": outside.signer}
        )


def _usable(key: SigningKey) -> SigningKey:
    """Held, so that it is not being retired at this moment; nor will it be, as it counts as replaced no more."""
    key = SigningKey.objects.select_for_update().get(pk=key.pk)
    if not key.can_sign:
        raise InvalidInput(
            _("The signing key “%(name)s” can't be used: %(signing_problem)s.")
            % {"name": key.name, "signing_problem": key.signing_problem}
        )
    if not key.certificate:
        raise InvalidInput(
            _(
                "The certificate of the signing key “%(name)s” is not known here, so nobody could upload it: "
                "add it first."
            )
            % {"name": key.name}
        )
    if key.replaced_at is not None:
        SigningKey.objects.filter(pk=key.pk).update(replaced_at=None)
    return key


def _stage(connection: ConnectedApp, key: SigningKey, actor: Any) -> Outcome:
    staged = connection.staged_signing_key
    if connection.signing_key_id == key.pk:
        return _told(connection, _("it signs in with “%(name)s” already.") % {"name": key.name})
    if staged is not None and connection.next_signing_key_id:
        done = staged.pk == key.pk
        more = "." if done else _("; cancel that first.")
        return _told(
            connection,
            _("“%(name)s” is staged already%(more)s") % {"name": staged.name, "more": more},
            done=done,
        )
    changes = {"staged_signing_key": key, "staged_at": timezone.now(), "staged_trial": None}
    if not promotion.exchange(connection, changes, act="staged signing key", actor=actor):
        return _meanwhile(connection)
    rows.open_for_another_key(connection)
    return _told(connection, _("“%(name)s” is staged.") % {"name": key.name}, done=True)


def _unusable(key: SigningKey) -> str:
    return _("“%(name)s” can't be used: %(signing_problem)s.") % {
        "name": key.name,
        "signing_problem": key.signing_problem,
    }


def _meanwhile(connection: ConnectedApp) -> Outcome:
    return _told(connection, _("it was changed meanwhile, and nothing was done. Look again."))


def _told(connection: ConnectedApp, sentence: str, *, done: bool = False) -> Outcome:
    return Outcome(
        done, _("Connection %(name)s: %(sentence)s") % {"name": connection.name, "sentence": sentence}
    )

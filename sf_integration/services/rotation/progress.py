"""Where each connection stands between one signing key and the next."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ... import access
from ...models import UNDO_FOR, ConnectedApp, ConnectedAppQuerySet, SigningKey
from ...salesforce import diagnosis
from ...tokens import promotion


class Stage(StrEnum):
    """In the order in which they are listed. Pages translate the words."""

    FAILING = gettext_noop("failing")
    ACCEPTED = gettext_noop("accepted")
    NOT_UPLOADED = gettext_noop("not uploaded yet")
    UNDONE = gettext_noop("undone")
    STAGED = gettext_noop("staged")
    PROMOTED = gettext_noop("promoted")
    NOTHING = gettext_noop("nothing staged")


_SINCE = {
    Stage.FAILING: gettext_noop("First seen"),
    Stage.ACCEPTED: gettext_noop("Tried"),
    Stage.NOT_UPLOADED: gettext_noop("Tried"),
    Stage.UNDONE: gettext_noop("Taken back"),
    Stage.STAGED: gettext_noop("Staged"),
    Stage.PROMOTED: gettext_noop("Promoted"),
}
_MEANINGS = {
    Stage.ACCEPTED: gettext_noop(
        "The org takes the staged signing key. Promote it, so that every sign-in begins with it."
    ),
    Stage.NOT_UPLOADED: gettext_noop(
        "When it was tried, the org did not know the certificate of the staged signing key."
    ),
    Stage.UNDONE: gettext_noop(
        "The promotion was taken back: the signing key before is in force, the other one is staged again."
    ),
    Stage.STAGED: gettext_noop("The next signing key waits for its certificate to be uploaded."),
    Stage.NOTHING: gettext_noop("No other signing key is staged."),
}


@dataclass(frozen=True)
class Stand:
    """One connection on the board."""

    connection: ConnectedApp
    stage: Stage
    since: dt.datetime | None
    sentence: str
    next_key: SigningKey | None
    """The one that is staged, or was promoted."""
    may_try: bool
    may_promote: bool
    may_undo: bool
    may_cancel: bool

    @classmethod
    def of(cls, connection: ConnectedApp, now: dt.datetime) -> Self:
        is_staged = connection.next_signing_key_id is not None
        stage, since, sentence = _staged(connection, now) if is_staged else _unstaged(connection, now)
        next_key = connection.staged_signing_key if is_staged else None
        return cls(
            connection=connection,
            stage=stage,
            since=since,
            sentence=sentence,
            next_key=next_key or (connection.signing_key if stage is Stage.PROMOTED else None),
            may_try=is_staged and connection.enabled and not _staged_problem(connection),
            may_promote=stage is Stage.ACCEPTED,
            may_undo=stage is Stage.PROMOTED,
            may_cancel=is_staged and stage is not Stage.ACCEPTED,
        )

    @property
    def since_word(self) -> str:
        """What happened then."""
        return _(_SINCE.get(self.stage, gettext_noop("Since")))

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.connection.name,
            "stage": self.stage.value,
            "since": self.since.isoformat() if self.since else None,
            "sentence": self.sentence,
            "signing_key": self.connection.signing_key.name,
            "next_signing_key": self.next_key.name if self.next_key else None,
        }


def stand(connection: ConnectedApp, now: dt.datetime | None = None) -> Stand:
    return Stand.of(connection, now or timezone.now())


def board(key: SigningKey, *, actor: Any, now: dt.datetime | None = None) -> list[Stand]:
    """All connections, as far as `actor` may know of them, that use this signing key, are to use it, or left it of late."""
    now = now or timezone.now()
    found = concerned(key, actor=actor).select_related(
        "signing_key", "staged_signing_key", "previous_signing_key"
    )
    order = list(Stage)
    return sorted(
        (Stand.of(each, now) for each in found),
        key=lambda each: (order.index(each.stage), each.connection.name),
    )


def concerned(key: SigningKey, *, actor: Any) -> ConnectedAppQuerySet:
    uses = Q(signing_key=key) | Q(staged_signing_key=key) | Q(previous_signing_key=key)
    return access.visible_to(actor).filter(uses)


def counts(stands: Iterable[Stand]) -> list[tuple[Stage, int]]:
    """How many are at each stage, stages without any left out."""
    found = Counter(each.stage for each in stands)
    return [(stage, found[stage]) for stage in Stage if found[stage]]


def board_url(key_id: UUID) -> str:
    """Of the page that shows it; empty in a site that has the admin alone."""
    try:
        return reverse("sf_integration:rotation", args=[key_id])
    except NoReverseMatch:
        return ""


def sharing(connection: ConnectedApp, *, actor: Any) -> Sequence[ConnectedApp]:
    """All that `actor` may know of which sign in with the same key, or did so before a promotion that can be undone."""
    keys: set[Any] = {connection.signing_key_id}
    if connection.can_undo_promotion(timezone.now()):
        keys.add(connection.previous_signing_key_id)
    found = access.visible_to(actor).filter(Q(signing_key__in=keys) | Q(previous_signing_key__in=keys))
    return list(
        found.select_related("signing_key", "staged_signing_key", "previous_signing_key").order_by("name")
    )


def under_way(key: SigningKey, *, actor: Any) -> SigningKey | None:
    """The signing key that follows this one at other connections, so that the next ones go the same way."""
    now = timezone.now()
    for each in board(key, actor=actor, now=now):
        if each.next_key is not None and each.next_key.pk != key.pk:
            return each.next_key
    return None


def keys_in_use(actor: Any) -> QuerySet[SigningKey]:
    """With `users`, `staged` and `promoted` (to others), `awaited` (staged itself): numbers of connections, as far as `actor` may
    know of them."""
    just_left = Q(promoted_at__gt=timezone.now() - UNDO_FOR)
    found = access.visible_keys(actor).annotate(
        users=_number(actor, "signing_key"),
        staged=_number(actor, "signing_key", Q(staged_signing_key__isnull=False)),
        promoted=_number(actor, "previous_signing_key", just_left),
        awaited=_number(actor, "staged_signing_key"),
    )
    return found.filter(Q(users__gt=0) | Q(promoted__gt=0) | Q(awaited__gt=0)).defer(
        "private_key", "certificate"
    )


def _number(actor: Any, column: str, where: Q | None = None) -> Coalesce:
    """Of visible connections whose `column` is the signing key."""
    found = access.visible_to(actor).filter(where or Q(), **{column: OuterRef("pk")}).order_by()
    return Coalesce(Subquery(found.values(column).annotate(number=Count("pk")).values("number")), 0)


def _staged(connection: ConnectedApp, now: dt.datetime) -> tuple[Stage, dt.datetime | None, str]:
    problem = _staged_problem(connection)
    if problem:
        return Stage.FAILING, None, problem
    trial = promotion.trial_of(connection)
    tried_at = dt.datetime.fromisoformat(trial["at"]) if trial else None
    stage = _stage_of(trial)
    if stage is Stage.ACCEPTED or connection.failing_since is None:
        words = trial["words"] if trial and stage is Stage.FAILING else _(_MEANINGS[stage])
        return stage, tried_at or connection.staged_at, words
    return Stage.FAILING, connection.failing_since, _failure(connection, now)


def _staged_problem(connection: ConnectedApp) -> str:
    """Why the staged signing key can't serve; empty for nothing."""
    staged = connection.staged_signing_key
    if staged is None or staged.can_sign:
        return ""
    return _(
        "“%(name)s” can't be used: %(signing_problem)s. Meanwhile only the present signing key serves."
    ) % {"name": staged.name, "signing_problem": staged.signing_problem}


def _failure(connection: ConnectedApp, now: dt.datetime) -> str:
    """A staged key is tried by each sign-in that is refused for its signature."""
    stored = connection.last_error or {}
    if diagnosis.signature_was_refused(stored.get("code", ""), stored.get("words", "")):
        return _("The org takes neither the present signing key nor the staged one.")
    return connection.state_sentence(now)


def _stage_of(trial: dict[str, Any] | None) -> Stage:
    if trial is None:
        return Stage.STAGED
    if trial.get("accepted"):
        return Stage.ACCEPTED
    known = {promotion.NOT_KNOWN: Stage.NOT_UPLOADED, promotion.UNDONE: Stage.UNDONE}
    return known.get(trial.get("code", ""), Stage.FAILING)


def _unstaged(connection: ConnectedApp, now: dt.datetime) -> tuple[Stage, dt.datetime | None, str]:
    before = connection.previous_signing_key
    if before is None or connection.promoted_at is None or not connection.can_undo_promotion(now):
        return Stage.NOTHING, None, _(_MEANINGS[Stage.NOTHING])
    until = timezone.localtime(connection.promoted_at + UNDO_FOR)
    failing = connection.state_sentence(now) if connection.failing_since else ""
    told = _("It left “%(name)s”, to which it can go back until %(until)s.") % {
        "name": before.name,
        "until": f"{until:%Y-%m-%d %H:%M}",
    }
    return Stage.PROMOTED, connection.promoted_at, f"{told} {failing}".rstrip()

"""Who may see and do what, by the matrix of deeds: used by every view, admin, API and command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet

from .deeds import MATRIX, Act, Deed
from .models import ConnectedApp, ConnectedAppQuerySet, ConnectionDraft, GroupAccess, SigningKey
from .salesforce.errors import PermissionMissing

__all__ = [
    "MATRIX",
    "SHELL",
    "AccessDenied",
    "Act",
    "Deed",
    "Shell",
    "denied",
    "may",
    "own_drafts",
    "require",
    "require_all",
    "require_key",
    "sees_all",
    "visible_drafts",
    "visible_keys",
    "visible_to",
]


@dataclass(frozen=True)
class Shell:
    """Whoever can run commands here can read the database and the keys anyway; what they do is still audited."""

    is_active: bool = True
    is_superuser: bool = True

    def get_username(self) -> str:
        return "command line"


SHELL = Shell()


class AccessDenied(PermissionMissing, PermissionDenied):
    """Django answers it with 403, other callers see our family of errors."""


def may(user: Any, deed: Deed) -> bool:
    """Whether `user` may do it to any connection at all."""
    return _lacking(user, deed) is None


def _lacking(user: Any, deed: Deed) -> Act | None:
    """The first permission that it needs and `user` has not."""
    return next((act for act in MATRIX[deed].needs if not _holds(user, act)), None)


def _holds(user: Any, act: Act) -> bool:
    if not user.is_active:
        return False
    return bool(user.is_superuser or user.has_perm(f"sf_integration.{act}"))


def visible_to(user: Any) -> ConnectedAppQuerySet:
    """The connections that `user` may know of."""
    everything = ConnectedApp.objects.all()
    if not _holds(user, Act.VIEW_HEALTH):
        return everything.none()
    if user.is_superuser:
        return everything
    # Subqueries, not joins: a connection with two groups must come once.
    groups = GroupAccess.objects.filter(connection=OuterRef("pk"))
    return everything.filter(~Exists(groups) | Exists(groups.filter(group__in=user.groups.all())))


def sees_all(user: Any) -> bool:
    """Whether no connection is hidden from `user`."""
    return not ConnectedApp.objects.exclude(pk__in=visible_to(user).values("pk")).exists()


def visible_keys(user: Any) -> QuerySet[SigningKey]:
    """The signing keys that `user` may know of and choose: used, staged or just left by a visible connection, or used by none."""
    everything = SigningKey.objects.all()
    if not _holds(user, Act.VIEW_HEALTH):
        return everything.none()
    if user.is_superuser:
        return everything
    this = OuterRef("pk")
    uses = Q(signing_key=this) | Q(staged_signing_key=this) | Q(previous_signing_key=this)
    return everything.filter(
        Exists(visible_to(user).filter(uses)) | ~Exists(ConnectedApp.objects.filter(uses))
    )


def visible_drafts(user: Any) -> QuerySet[ConnectionDraft]:
    """The unfinished set-ups that `user` may go on with: their own, for superusers all."""
    return ConnectionDraft.objects.all() if may(user, Deed.MAKE) and user.is_superuser else own_drafts(user)


def own_drafts(user: Any) -> QuerySet[ConnectionDraft]:
    """The unfinished set-ups that `user` began, unless what was made of them is hidden from them by now."""
    if not may(user, Deed.MAKE):
        return ConnectionDraft.objects.none()
    in_sight = Q(connection=None) | Q(connection__in=visible_to(user).values("pk"))
    return ConnectionDraft.objects.filter(in_sight, made_by=user)


def require(user: Any, deed: Deed, connection: ConnectedApp | None = None) -> None:
    """Raise AccessDenied unless `user` may do it, to `connection` if one is given."""
    name = connection.name if connection else ""
    if lacking := _lacking(user, deed):
        raise _denied_for_want_of(lacking, name)
    if connection is not None and not visible_to(user).filter(pk=connection.pk).exists():
        raise denied(deed, name)


def require_all(user: Any, deed: Deed, connections: Iterable[ConnectedApp]) -> None:
    """As `require` for each of them, in one query."""
    require(user, deed)
    wanted = {each.pk: each for each in connections}
    seen = visible_to(user).filter(pk__in=wanted).values_list("pk", flat=True) if wanted else ()
    for pk in wanted.keys() - {*seen}:
        raise denied(deed, wanted[pk].name)


def require_key(user: Any, key: SigningKey) -> None:
    """Raise AccessDenied unless `user` may use this stored signing key."""
    if not visible_keys(user).filter(pk=key.pk).exists():
        raise _denied(f"use the signing key “{key.name}”")


def denied(deed: Deed, name: str = "") -> AccessDenied:
    """The refusal of it, to the connection `name` if one was asked for; whether it exists makes no difference."""
    return _denied_for_want_of(MATRIX[deed].needs[-1], name)


def _denied_for_want_of(act: Act, name: str) -> AccessDenied:
    return _denied(_WORDS[act].format(f"the connection “{name}”" if name else "connections"))


def _denied(what: str) -> AccessDenied:
    return AccessDenied(
        f"You may not {what}.",
        remedy="Ask an administrator of this site for the permission.",
        who="an administrator of this site",
    )


_WORDS = {
    Act.VIEW_HEALTH: "see {}",
    Act.RUN_CHECKS: "check or renew {}",
    Act.LOOK_UP_RECORDS: "look up records through {}",
    Act.MANAGE_KEYS: "manage {}",
    Act.TAKE_TOKENS: "take tokens of {}",
}

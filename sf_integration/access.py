"""Who may see and do what: used by every view, admin, API and command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet

from .models import ConnectedApp, ConnectedAppQuerySet, ConnectionDraft, GroupAccess, SigningKey
from .salesforce.errors import PermissionMissing


class Act(StrEnum):
    """The permissions, by their codenames."""

    VIEW_HEALTH = "view_health"
    RUN_CHECKS = "run_checks"
    LOOK_UP_RECORDS = "look_up_records"
    MANAGE_KEYS = "manage_keys"
    TAKE_TOKENS = "take_tokens"


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


def may(user: Any, act: Act) -> bool:
    """Whether `user` may do `act` to any connection at all."""
    if not user.is_active:
        return False
    return bool(user.is_superuser or user.has_perm(f"sf_integration.{act}"))


def visible_to(user: Any) -> ConnectedAppQuerySet:
    """The connections that `user` may know of."""
    everything = ConnectedApp.objects.all()
    if not may(user, Act.VIEW_HEALTH):
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
    if not may(user, Act.VIEW_HEALTH):
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
    return (
        ConnectionDraft.objects.all()
        if may(user, Act.MANAGE_KEYS) and user.is_superuser
        else own_drafts(user)
    )


def own_drafts(user: Any) -> QuerySet[ConnectionDraft]:
    """The unfinished set-ups that `user` began, unless what was made of them is hidden from them by now."""
    if not may(user, Act.MANAGE_KEYS):
        return ConnectionDraft.objects.none()
    in_sight = Q(connection=None) | Q(connection__in=visible_to(user).values("pk"))
    return ConnectionDraft.objects.filter(in_sight, made_by=user)


def require(user: Any, act: Act, connection: ConnectedApp | None = None) -> None:
    """Raise AccessDenied unless `user` may do `act`, to `connection` if one is given."""
    if may(user, act) and (connection is None or visible_to(user).filter(pk=connection.pk).exists()):
        return
    raise denied(act, connection.name if connection else "")


def require_key(user: Any, key: SigningKey) -> None:
    """Raise AccessDenied unless `user` may use this stored signing key."""
    if not visible_keys(user).filter(pk=key.pk).exists():
        raise _denied(f"use the signing key “{key.name}”")


def denied(act: Act, name: str = "") -> AccessDenied:
    """The refusal of `act`, to the connection `name` if one was asked for; whether it exists makes no difference."""
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

"""Who may see and do what: used by every view, admin, API and command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef

from .models import ConnectedApp, ConnectedAppQuerySet
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
    groups = ConnectedApp.groups.through.objects.filter(connectedapp=OuterRef("pk"))
    return everything.filter(~Exists(groups) | Exists(groups.filter(group__in=user.groups.all())))


def require(user: Any, act: Act, connection: ConnectedApp | None = None) -> None:
    """Raise AccessDenied unless `user` may do `act`, to `connection` if one is given."""
    if may(user, act) and (connection is None or visible_to(user).filter(pk=connection.pk).exists()):
        return
    what = f" “{connection.name}”" if connection else ""
    raise AccessDenied(
        f"You may not {_WORDS[act]}{what}.",
        remedy="Ask an administrator of this site for the permission.",
        who="an administrator of this site",
    )


_WORDS = {
    Act.VIEW_HEALTH: "see the connection",
    Act.RUN_CHECKS: "check or renew the connection",
    Act.LOOK_UP_RECORDS: "look up records through the connection",
    Act.MANAGE_KEYS: "manage the connection",
    Act.TAKE_TOKENS: "take tokens of the connection",
}

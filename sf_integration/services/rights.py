"""Who was given which right, by whom: changes of our permissions, of groups and of superusers, as they are made on pages.

What code or a shell changes is not told: it has no name to tell, and whoever can run it writes the database itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.db.models.signals import m2m_changed, pre_delete, pre_save

from .. import access, audit
from ..access import Act, Deed
from ..models import ConnectedApp, GroupAccess

_FLAGS = {"is_superuser", "is_active", "is_staff", "password"}
"""What decides who is who; whoever gives somebody a password can be that person."""
_ADDED, _REMOVED, _CLEARED = "post_add", "post_remove", "pre_clear"


@dataclass(frozen=True)
class Holder:
    """What the audit trail tells of a user or group: their ids are no UUIDs."""

    name: str


def listen() -> None:
    """A user model of the site's own may lack groups and permissions."""
    users = get_user_model()
    for relation, heard in (
        (getattr(users, "user_permissions", None), _permissions_of),
        (getattr(users, "groups", None), _groups_of),
        (Group.permissions, _permissions_of),
        (ConnectedApp.groups, _limits_of),
    ):
        if relation is not None:
            m2m_changed.connect(
                heard, sender=relation.through, dispatch_uid=f"sf_integration {relation.through}"
            )
    pre_save.connect(_flags_of, sender=users, dispatch_uid="sf_integration flags")
    for model in (users, Group):
        pre_delete.connect(_deleted, sender=model, dispatch_uid=f"sf_integration deleted {model}")


def _permissions_of(
    instance: Any, action: str, pk_set: set[Any] | None, reverse: bool, model: Any, **_: Any
) -> None:
    """Of a user or group; `reverse`: of a permission, to which users or groups were added."""
    if (words := _words(action, "gave permission", "took permission")) is None:
        return
    if reverse:
        for holder in model._default_manager.filter(pk__in=pk_set or ()):
            _tell(words, holder, [instance.codename] if _is_ours(instance) else [])
        return
    changed = instance.permissions if isinstance(instance, Group) else instance.user_permissions
    found = changed.all() if action == _CLEARED else Permission.objects.filter(pk__in=pk_set or ())
    _tell(words, instance, [each.codename for each in found.select_related("content_type") if _is_ours(each)])


def _groups_of(
    instance: Any, action: str, pk_set: set[Any] | None, reverse: bool, model: Any, **_: Any
) -> None:
    """Of a user; `reverse`: of a group, to which users were added."""
    if (words := _words(action, "put into group", "took out of group")) is None:
        return
    if reverse:
        users = (
            instance.user_set.all()
            if action == _CLEARED
            else model._default_manager.filter(pk__in=pk_set or ())
        )
        for user in users:
            _tell(words, user, _that_matter(Group.objects.filter(pk=instance.pk)))
        return
    found = instance.groups.all() if action == _CLEARED else Group.objects.filter(pk__in=pk_set or ())
    _tell(words, instance, _that_matter(found))


def _limits_of(instance: Any, action: str, pk_set: set[Any] | None, reverse: bool, **_: Any) -> None:
    """Of a connection: the groups that may see it."""
    words = _words(action, "limited to group", "no longer limited to group")
    if words is None or reverse or (actor := audit.acting()) is None:
        return
    found = instance.groups.all() if action == _CLEARED else Group.objects.filter(pk__in=pk_set or ())
    if names := [each.name for each in found]:
        audit.record(words, instance, actor=actor, fields=names)


def _flags_of(instance: Any, raw: bool, update_fields: Iterable[str] | None, **_: Any) -> None:
    # A model of the site's own may lack some of them, or have properties of these names.
    watched = _FLAGS & {field.name for field in instance._meta.concrete_fields}
    if update_fields is not None:
        watched &= {*update_fields}
    if raw or not watched or audit.acting() is None:
        return
    before = type(instance)._default_manager.filter(pk=instance.pk).values(*watched).first()
    if before is None:
        _tell("added user", instance, [flag for flag in ("is_superuser",) if getattr(instance, flag, False)])
        return
    _tell("changed user", instance, [flag for flag in watched if before[flag] != getattr(instance, flag)])


def _deleted(instance: Any, **_: Any) -> None:
    if isinstance(instance, Group):
        _tell("deleted group", instance, _that_matter(Group.objects.filter(pk=instance.pk)))
    elif audit.acting() is not None and any(access.may(instance, deed) for deed in Deed):
        _tell("deleted user", instance, ["is_superuser"] if instance.is_superuser else ["permissions"])


def _words(action: str, given: str, taken: str) -> str | None:
    """None where nothing is to be told, as there is nobody who did it."""
    if audit.acting() is None:
        return None
    return {_ADDED: given, _REMOVED: taken, _CLEARED: taken}.get(action)


def _is_ours(permission: Permission) -> bool:
    return permission.content_type.app_label == "sf_integration" and permission.codename in set(Act)


def _that_matter(groups: Any) -> list[str]:
    """Names of those that give one of our permissions, or that a connection is limited to."""
    gives = Q(permissions__content_type__app_label="sf_integration", permissions__codename__in=list(Act))
    limits = Q(pk__in=GroupAccess.objects.values("group"))
    return sorted(groups.filter(gives | limits).values_list("name", flat=True).distinct())


def _tell(act: str, holder: Any, names: Iterable[str]) -> None:
    names, actor = list(names), audit.acting()
    if names and actor is not None:
        name = holder.get_username() if hasattr(holder, "get_username") else holder.name
        audit.record(act, Holder(name), actor=actor, fields=names)

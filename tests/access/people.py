"""Who tries everything, and what each of them should be let do, worked out apart from `access`."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group, Permission, User

from sf_integration.deeds import MATRIX, Act, Deed


@dataclass(frozen=True)
class Person:
    name: str
    acts: frozenset[Act] = frozenset()
    ready_group: str = ""
    """The ready group that gives the acts; else they are given one by one."""
    sees: bool = True
    """Whether the connection is in sight, by a group of its own."""
    is_superuser: bool = False

    def may(self, deed: Deed, *, of_connection: bool) -> bool:
        if self.is_superuser:
            return True
        if of_connection and not (self.sees and Act.VIEW_HEALTH in self.acts):
            return False
        return self.acts.issuperset(MATRIX[deed].needs)

    def user(self, limited_to: Group) -> User:
        user = User.objects.create_user(self.name, is_staff=True, is_superuser=self.is_superuser)
        if self.ready_group:
            user.groups.add(Group.objects.get(name=self.ready_group))
        else:
            user.user_permissions.set(Permission.objects.filter(codename__in=self.acts))
        if self.sees:
            user.groups.add(limited_to)
        return User.objects.get(pk=user.pk)


LOOK = frozenset({Act.VIEW_HEALTH})
OPERATE = LOOK | {Act.RUN_CHECKS, Act.LOOK_UP_RECORDS}
PEOPLE = (
    Person("without right"),
    Person("looks", LOOK, "Salesforce: look"),
    Person("operates", OPERATE, "Salesforce: operate"),
    Person("manages", frozenset(Act), "Salesforce: manage keys"),
    Person("manages elsewhere", frozenset(Act), "Salesforce: manage keys", sees=False),
    Person("manages but checks not", LOOK | {Act.MANAGE_KEYS}),
    Person("superuser", is_superuser=True, sees=False),
)

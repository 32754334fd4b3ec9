"""The fields of an object, to choose from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...salesforce.describe import DescribedObject, Field

_SYSTEM = frozenset(
    (
        "Id",
        "IsDeleted",
        "CreatedById",
        "CreatedDate",
        "LastModifiedById",
        "LastModifiedDate",
        "SystemModstamp",
        "LastActivityDate",
        "LastViewedDate",
        "LastReferencedDate",
    )
)
_WORDS = {
    "id": gettext_lazy("id"),
    "string": gettext_lazy("text"),
    "textarea": gettext_lazy("long text"),
    "boolean": gettext_lazy("checkbox"),
    "int": gettext_lazy("whole number"),
    "double": gettext_lazy("number"),
    "currency": gettext_lazy("currency"),
    "percent": gettext_lazy("percent"),
    "date": gettext_lazy("date"),
    "datetime": gettext_lazy("date and time"),
    "time": gettext_lazy("time"),
    "picklist": gettext_lazy("picklist"),
    "multipicklist": gettext_lazy("picklist, several values"),
    "combobox": gettext_lazy("picklist or text"),
    "url": gettext_lazy("web address"),
    "email": gettext_lazy("e-mail"),
    "phone": gettext_lazy("phone"),
    "address": gettext_lazy("address"),
    "location": gettext_lazy("geolocation"),
    "base64": gettext_lazy("file"),
    "encryptedstring": gettext_lazy("encrypted text"),
}


@dataclass(frozen=True)
class Choice:
    name: str
    label: str
    kind: str
    """Its type in words."""
    is_ticked: bool


@dataclass(frozen=True)
class FieldGroup:
    title: str
    choices: Sequence[Choice]


def field_groups(described: DescribedObject, ticked: Collection[str]) -> list[FieldGroup]:
    """Standard, custom and system fields, by their labels."""
    titles = {"standard": _("Standard fields"), "custom": _("Custom fields"), "system": _("System fields")}
    choices: dict[str, list[Choice]] = {group: [] for group in titles}
    for field in sorted(described.fields.values(), key=lambda field: field.label.casefold()):
        choices[_group(field)].append(Choice(field.name, field.label, _kind(field), field.name in ticked))
    return [FieldGroup(titles[group], found) for group, found in choices.items() if found]


def _group(field: Field) -> str:
    return "system" if field.name in _SYSTEM else "custom" if field.is_custom else "standard"


def _kind(field: Field) -> str:
    if field.type != "reference":
        return str(_WORDS.get(field.type, field.type))
    if len(field.refers_to) != 1:
        return _("lookup")
    return _("lookup to %(object)s") % {"object": field.refers_to[0]}

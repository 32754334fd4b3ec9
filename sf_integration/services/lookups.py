"""Asking the org: whom it takes us for, and for a record by its id, its address in Salesforce or its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from .. import access, api, audit
from ..access import Deed
from ..models import ConnectedApp, RecentLookup
from ..salesforce import my_domain, soql
from ..salesforce.describe import DescribedObject, Field
from ..salesforce.errors import InvalidInput, NotFound, SalesforceError
from ..salesforce.ids import Pointer
from ..salesforce.oauth import Identity
from ..salesforce.rest import Client, Record
from . import describes
from .describes import Describes

RECENT = 10
MOST_HITS = 25
_LONGEST_ADDRESS = 8_000
_MOST_NAMES = 30
_CURRENCY = "CurrencyIsoCode"
_NAMELESS = frozenset({"Case", "Task", "Event", "Contract", "Order", "Solution", "WorkOrder"})
"""Standard objects whose records have no `Name`."""


@dataclass(frozen=True)
class Wanted:
    """What somebody looks for: a record by its id, or those of an object whose name holds a text."""

    sobject: str = ""
    """API name or label; may be empty with an id, which tells it."""
    pointer: Pointer | None = None
    text: str = ""
    fields: Sequence[str] = ()
    """None of them: all that the user may see."""


@dataclass(frozen=True)
class Found:
    described: DescribedObject
    record: Record
    record_id: str
    fields: Sequence[str]
    """Those chosen, as far as the object has them; none: all."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Field to the name of the record it refers to, where it could be had."""
    url: str = ""
    """Of its page in Salesforce; empty where that is not known."""
    instead_of: str = ""
    """The object that was asked for, when the id is of another."""


@dataclass(frozen=True)
class Hits:
    described: DescribedObject
    records: Sequence[tuple[str, str]]
    """Id and name."""
    total: int
    text: str


def identity(connection: ConnectedApp, *, actor: Any) -> Identity:
    """Whose token it is, and in which org. Raises SalesforceError."""
    access.require(actor, Deed.ASK_IDENTITY, connection)
    found = api.get_client(connection.name).identity()
    audit.record("asked identity", connection, actor=actor)
    return found


def look_up(connection: ConnectedApp, wanted: Wanted, *, actor: Any) -> Found | Hits:
    """Raises SalesforceError. Of what was found only object and id are remembered, for whom it was looked up."""
    access.require(actor, Deed.LOOK_UP, connection)
    client = api.get_client(connection.name)
    known = Describes(connection)
    pointer, sobject = wanted.pointer, wanted.sobject
    if pointer is None:
        hits = _search(client, _described(known, sobject), wanted.text)
        if len(hits.records) != 1:
            audit.record("looked up", connection, actor=actor, fields=[hits.described.name])
            return hits
        pointer, sobject = Pointer(hits.records[0][0]), hits.described.name
    described = _object_of(known, pointer, sobject)
    found = _read(client, described, pointer.record_id, wanted.fields, instead_of=sobject)
    audit.record("looked up", connection, actor=actor, fields=[described.name])
    _remember(connection, actor, found)
    return found


def describe(connection: ConnectedApp, sobject: str) -> DescribedObject:
    """An object by its API name or label. Raises SalesforceError."""
    return _described(Describes(connection), sobject)


def recent(connection: ConnectedApp, user: Any) -> list[RecentLookup]:
    """The last lookups of this person, newest first."""
    return list(RecentLookup.objects.filter(connection=connection, user=user).order_by("-at")[:RECENT])


def record_url(instance_url: str, sobject: str, record_id: str) -> str:
    """The record's page in Salesforce; empty where the instance is no My Domain, as with a stand-in org."""
    return my_domain.setup_url(instance_url, f"/lightning/r/{sobject}/{record_id}/view")


def _object_of(known: Describes, pointer: Pointer, asked: str) -> DescribedObject:
    """What the id says counts: its first three characters stand for the object."""
    record_id, missing = pointer.record_id, None
    for name in filter(None, (asked, pointer.sobject)):
        try:
            described = _described(known, name)
        except NotFound as error:
            missing = missing or error
        else:
            if record_id.startswith(described.key_prefix):
                return described
    named = known.by_prefix(record_id)
    if named is not None:
        return _described(known, named.name)
    if missing is not None:
        raise missing
    if asked:
        return _described(known, asked)  # the org will say what it thinks of this id
    raise InvalidInput(
        _(
            "No object that the connection's user may see has ids that begin with “%(beginning)s”. "
            "Was the id copied from another org?"
        )
        % {"beginning": record_id[:3]}
    )


def _described(known: Describes, name: str) -> DescribedObject:
    try:
        soql.name(name)
    except InvalidInput:
        name = describes.named(known, name)
    try:
        return known.sobject(name)
    except NotFound:
        # By its label, then. The refusal of what is no label either says the same as Salesforce's.
        return known.sobject(describes.named(known, name))


def _search(client: Client, described: DescribedObject, text: str) -> Hits:
    if described.name_field is None:
        raise InvalidInput(
            _("Records of %(object)s have no name to search by; give an id.") % {"object": described.label}
        )
    name = described.name_field.name
    found = client.search(described.name, text, field=name, limit=MOST_HITS + 1)
    records = [(str(record["Id"]), str(record.get(name) or "")) for record in found if "Id" in record]
    return Hits(described, records[:MOST_HITS], len(records), text)


def _read(
    client: Client, described: DescribedObject, record_id: str, wanted: Sequence[str], *, instead_of: str
) -> Found:
    chosen = [name for name in described.fields if name in wanted]
    asked = [*chosen, _CURRENCY] if chosen and _CURRENCY in described.fields else chosen
    # An address too long for Salesforce: all fields are asked for, and those chosen are shown.
    fits = len(",".join(asked)) <= _LONGEST_ADDRESS
    record = client.record(described.name, record_id, fields=asked if fits else ())
    return Found(
        described,
        record,
        record_id,
        chosen,
        names=_names(client, described, record, record_id),
        url=record_url(client.instance_url, described.name, record_id),
        instead_of=""
        if instead_of.casefold() in (described.name.casefold(), described.label.casefold())
        else instead_of,
    )


def _names(client: Client, described: DescribedObject, record: Record, record_id: str) -> dict[str, str]:
    """What the records it refers to are called. Worth one call, and no failure."""
    led_to = {
        name: f"{each.relationship}.Name"
        for name, each in described.fields.items()
        if record.get(name) and each.relationship and _has_name(each)
    }
    led_to = dict(list(led_to.items())[:_MOST_NAMES])
    if not led_to:
        return {}
    try:
        statement = f"SELECT {', '.join(led_to.values())} FROM {described.name} WHERE Id = {{}}"  # noqa: S608 - names of the org's own describe
        found = client.query(statement, record_id)
    except SalesforceError:
        return {}
    row = found.records[0] if found.records else Record()
    related = {name: row.get(path.partition(".")[0]) for name, path in led_to.items()}
    return {
        name: str(other["Name"])
        for name, other in related.items()
        if isinstance(other, dict) and other.get("Name")
    }


def _has_name(reference: Field) -> bool:
    return len(reference.refers_to) > 1 or not _NAMELESS.intersection(reference.refers_to)


def _remember(connection: ConnectedApp, user: Any, found: Found) -> None:
    mine = RecentLookup.objects.filter(connection=connection, user=user)
    mine.update_or_create(
        user=user,
        connection=connection,
        record_id=found.record_id,
        defaults={"sobject": found.described.name, "at": timezone.now()},
    )
    newest = mine.order_by("-at").values_list("pk", flat=True)[:RECENT]
    mine.exclude(pk__in=list(newest)).delete()

"""Single records: read, make, change, delete, with the refusals Salesforce gives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from .. import ids, soql
from ..data import company, schema, standard
from ..data.schema import Field, SObject
from ..data.store import salesforce_datetime
from ..messages import Answer, Refused, json_answer, not_found, rest_error, unknown_here
from ..orgs import Org
from ..soql import no_such_column
from ..users import User

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?:T|$)", re.ASCII)
_TOO_LARGE = 10**18


def read(org: Org, sobject: SObject, record_id: str, wanted: str | None, base_path: str) -> dict[str, Any]:
    """One record with all fields, or the comma-separated ones in `wanted` and its id."""
    if not ids.is_well_formed(record_id):
        _fail(404, "NOT_FOUND", _no_external_id(record_id))
    record = _by_id(org, sobject, record_id)
    if record is None:
        _fail(404, "NOT_FOUND", _no_external_id(record_id))
    return _shown(sobject, record, wanted, base_path)


def read_by_external_id(
    org: Org, sobject: SObject, field_name: str, value: str, wanted: str | None, base_path: str
) -> Answer:
    """The record with this external id; 300 and their paths when there are several."""
    found = _by_external_id(org, sobject, field_name, value)
    if not found:
        _fail(404, "NOT_FOUND", "The requested resource does not exist")
    if len(found) > 1:
        return _several(sobject, found, base_path)
    return json_answer(_shown(sobject, found[0], wanted, base_path))


def create(org: Org, sobject: SObject, body: bytes, user: User, base_path: str) -> Answer:
    with org.store.transaction():
        record_id = _create(org, sobject, _read_values(org, sobject, body), user)
    return _created(sobject, {"id": record_id, "success": True, "errors": []}, base_path)


def add(org: Org, name: str, values: Mapping[str, Any]) -> str:
    """Make a record of the sObject with this name, as the org's user; its id.

    Raises Refused, with what Salesforce would say.
    """
    sobject = schema.find(name)
    if sobject is None:
        if known := standard.sobject(name):
            _fail(400, soql.UNKNOWN_HERE, unknown_here(known, 'org.answer("SELECT …", rows)'))
        raise Refused(not_found())
    with org.store.transaction():
        return _create(org, sobject, _read_values(org, sobject, json.dumps(values).encode()), org.user)


def update(org: Org, sobject: SObject, record_id: str, body: bytes, user: User) -> Answer:
    with org.store.transaction():
        record = _writable_record(org, sobject, record_id)
        _change(org, sobject, record, _read_values(org, sobject, body), user)
    return Answer(204)


def upsert(
    org: Org,
    sobject: SObject,
    field_name: str,
    value: str,
    body: bytes,
    user: User,
    base_path: str,
    *,
    says_created: bool,
    update_only: bool,
) -> Answer:
    """Change the record with this external id, or make it.

    says_created: as newer API versions do, always answer with a body, which tells whether there is a new record.
    Source: REST API Developer Guide, "Insert or Update (Upsert) a Record Using an External ID".
    """
    # Of two at once the second has to find what the first one made.
    with org.store.transaction():
        found = _by_external_id(org, sobject, field_name, value)
        if len(found) > 1:
            return _several(sobject, found, base_path)
        field = sobject.by_name[field_name.lower()]
        values = _read_values(org, sobject, body, named_in_path=field)
        if found:
            _change(org, sobject, found[0], values, user)
            record_id = found[0]["Id"]
        elif update_only or field.type == "id":
            _fail(404, "NOT_FOUND", "The requested resource does not exist")
        else:
            record_id = _create(org, sobject, {**values, field.name: _stored(field, value)}, user)
    result: dict[str, Any] = {"id": record_id, "success": True, "errors": []}
    if says_created:
        result["created"] = not found
    if not found:
        return _created(sobject, result, base_path)
    return json_answer(result) if says_created else Answer(204)


def delete(org: Org, sobject: SObject, record_id: str) -> Answer:
    with org.store.transaction():
        record = _writable_record(org, sobject, record_id)
        _refuse_orphans(org, sobject, record["Id"])
        org.store.change(sobject, record["Id"], {"IsDeleted": 1})
    return Answer(204)


def delete_by_external_id(org: Org, sobject: SObject, field_name: str, value: str, base_path: str) -> Answer:
    found = _by_external_id(org, sobject, field_name, value)
    if len(found) > 1:
        return _several(sobject, found, base_path)
    if not found:
        _fail(404, "NOT_FOUND", "The requested resource does not exist")
    return delete(org, sobject, found[0]["Id"])


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body."""
    try:
        values = json.loads(body, parse_constant=_no_number)
        json.dumps(values, ensure_ascii=False).encode()  # half a surrogate pair is JSON, but no text
    except ValueError:
        values = None
    if not isinstance(values, dict):
        _fail(400, "JSON_PARSER_ERROR", "Unexpected content at [line:1, column:1]: a JSON object is expected")
    return values


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _fail(status: int, code: str, message: str, fields: list[str] | None = None) -> NoReturn:
    raise Refused(rest_error(status, code, message, fields))


def written_elsewhere(sobject: SObject, name: str) -> str | None:
    """What Salesforce takes by this name in a record that is saved, and the stand-in does not."""
    if reference := sobject.by_relationship.get(name.lower()):
        return f"{sobject.name}.{reference.relationship} named by an external id"
    return standard.field(sobject.name, name)


def _refuse_unknown_here(sobject: SObject, known: str | None) -> None:
    if known:
        path = f"/services/data/vXX.0/sobjects/{sobject.name}/…"
        _fail(400, soql.UNKNOWN_HERE, unknown_here(known, f"org.answer_path({path!r}, …)"))


def _no_external_id(value: str) -> str:
    return f"Provided external ID field does not exist or is not accessible: {value}"


# Finding


def _by_id(org: Org, sobject: SObject, record_id: str) -> dict[str, Any] | None:
    found = org.store.find(sobject, sobject.by_name["id"], ids.to_18(record_id))
    if not found:
        return None
    if found[0].get("IsDeleted"):
        _fail(404, "ENTITY_IS_DELETED", "entity is deleted", [])
    return found[0]


def _by_external_id(org: Org, sobject: SObject, field_name: str, value: str) -> list[dict[str, Any]]:
    field = sobject.by_name.get(field_name.lower())
    if field is None or not (field.external_id or field.type == "id"):
        _fail(404, "NOT_FOUND", _no_external_id(field_name))
    if field.type == "id" and ids.is_well_formed(value):
        value = ids.to_18(value)
    return [record for record in org.store.find(sobject, field, value) if not record.get("IsDeleted")]


def _writable_record(org: Org, sobject: SObject, record_id: str) -> dict[str, Any]:
    if not ids.is_well_formed(record_id) or not record_id.startswith(sobject.prefix):
        _fail(400, "MALFORMED_ID", f"Record ID: id value of incorrect type: {record_id}", ["Id"])
    _require_writable(sobject)
    record = _by_id(org, sobject, record_id)
    if record is None:
        _fail(404, "NOT_FOUND", "The requested resource does not exist")
    return record


def _refuse_orphans(org: Org, sobject: SObject, record_id: str) -> None:
    """Some children go with their parent, some are let go, some hold it: which is for Salesforce to know."""
    for child in schema.SOBJECTS:
        for field in child.fields:
            if (
                field.target == sobject.name
                and child.can_be_deleted
                and org.store.is_used(child, field, record_id)
            ):
                what = (
                    f"what becomes of a {child.name} when the {sobject.name} in its {field.name} is deleted"
                )
                path = f"/services/data/vXX.0/sobjects/{sobject.name}/{record_id}"
                _fail(
                    400,
                    soql.UNKNOWN_HERE,
                    unknown_here(what, f"org.answer_path({path!r}, …), or delete it first"),
                )


def _require_writable(sobject: SObject) -> None:
    if not sobject.writable:
        _fail(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", [])


# Showing


def _shown(sobject: SObject, record: Mapping[str, Any], wanted: str | None, base_path: str) -> dict[str, Any]:
    url = f"{base_path}/sobjects/{sobject.name}/{record['Id']}"
    attributes = {"attributes": {"type": sobject.name, "url": url}}
    if wanted is None:
        return {**attributes, **record}
    shown: dict[str, Any] = {}
    for name in (name.strip() for name in wanted.split(",")):
        field = sobject.by_name.get(name.lower())
        if field is None:
            _refuse_unknown_here(sobject, standard.field(sobject.name, name))
            _fail(400, "INVALID_FIELD", no_such_column(name, sobject))
        shown[field.name] = record[field.name]
    shown["Id"] = record["Id"]
    return {**attributes, **shown}


def _several(sobject: SObject, found: list[dict[str, Any]], base_path: str) -> Answer:
    return json_answer([f"{base_path}/sobjects/{sobject.name}/{record['Id']}" for record in found], 300)


# Writing


def _create(org: Org, sobject: SObject, values: dict[str, Any], user: User) -> str:
    """Make a record; its id."""
    missing = [field.name for field in sobject.fields if field.required and values.get(field.name) is None]
    if missing:
        _fail(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
    record_id = org.store.new_id(sobject)
    now = _now(org)
    made = {
        "Id": record_id,
        "OwnerId": user.id,
        "CreatedById": user.id,
        "LastModifiedById": user.id,
        "CreatedDate": now,
        "LastModifiedDate": now,
        "SystemModstamp": now,
        **values,
    }
    if sobject.name == "Case":
        made["CaseNumber"] = f"{org.store.count(sobject) + 1_001:08d}"
    org.store.add(sobject, [{**made, **_derived(sobject, values, made, now)}])
    return record_id


def _created(sobject: SObject, result: dict[str, Any], base_path: str) -> Answer:
    location = f"{base_path}/sobjects/{sobject.name}/{result['id']}"
    return json_answer(result, 201).with_header("Location", location)


def _change(org: Org, sobject: SObject, record: dict[str, Any], values: dict[str, Any], user: User) -> None:
    for name, value in values.items():
        if value is None and sobject.by_name[name.lower()].required:
            _fail(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}]", [name])
    now = _now(org)
    stamps = {"LastModifiedById": user.id, "LastModifiedDate": now, "SystemModstamp": now}
    # From the whole record, whatever of it the caller may see.
    whole = schema.get(sobject.name)
    [stored] = org.store.find(whole, whole.by_name["id"], record["Id"])
    derived = _derived(sobject, values, {**stored, **values}, now)
    org.store.change(sobject, record["Id"], {**values, **derived, **stamps})


def _now(org: Org) -> str:
    return salesforce_datetime(datetime.fromtimestamp(org.now(), UTC))


def _derived(
    sobject: SObject, values: Mapping[str, Any], record: Mapping[str, Any], now: str
) -> dict[str, Any]:
    """The fields Salesforce works out from others: from the `values` that are new, or from the whole record."""
    match sobject.name:
        case "Contact":
            return {"Name": " ".join(filter(None, (record.get("FirstName"), record.get("LastName"))))}
        case "Opportunity":
            stage = str(record.get("StageName"))
            chance = {"Probability": company.CHANCES[stage]} if "StageName" in values else {}
            chance |= {"Probability": values["Probability"]} if "Probability" in values else {}
            return {
                "IsClosed": int(stage.startswith("Closed")),
                "IsWon": int(stage == "Closed Won"),
                **chance,
            }
        case "Case":
            is_closed = record.get("Status") == "Closed"
            closed = (record.get("ClosedDate") or now) if is_closed else None
            return {"IsClosed": int(is_closed), "ClosedDate": closed}
    return {}


def _read_values(
    org: Org, sobject: SObject, body: bytes, named_in_path: Field | None = None
) -> dict[str, Any]:
    """The values of a request as they are stored, by the fields' true names."""
    _require_writable(sobject)
    values: dict[str, Any] = {}
    for name, value in read_object(body).items():
        if name == "attributes":
            continue
        field = sobject.by_name.get(name.lower())
        if field is None:
            _refuse_unknown_here(sobject, written_elsewhere(sobject, name))
            _fail(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
        if field.type == "id" or field is named_in_path:
            _fail(
                400, "INVALID_FIELD", f"The {field.name} field should not be specified in the sobject data."
            )
        if not field.writable:
            message = (
                f"Unable to create/update fields: {field.name}. Please check the security settings of this field and "
                "verify that it is read/write for your profile or permission set."
            )
            _fail(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, [field.name])
        values[field.name] = None if value in (None, "") else _stored(field, value)
        if field.type == "reference" and values[field.name]:
            target = schema.get(field.target)
            found = org.store.find(target, target.by_name["id"], values[field.name])
            if not found:
                _fail(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
            if found[0].get("IsDeleted"):
                _fail(400, "ENTITY_IS_DELETED", "entity is deleted", [])
    return values


def _stored(field: Field, value: Any) -> Any:
    if isinstance(value, str) and field.type in ("boolean", "int", "double", "currency"):
        value = _from_text(value)
    match field.type:
        case "boolean" if isinstance(value, bool):
            return int(value)
        case "int" if _is_number(value) and abs(value) < 2**31 and value == int(value):
            return int(value)
        case "double" | "currency" if _is_number(value) and abs(value) < _TOO_LARGE:
            return float(value)
        case "boolean" | "int" | "double" | "currency":
            return _wrong_type(field, value)
        case _ if not isinstance(value, str):
            return _wrong_type(field, value)
        case "date" | "datetime":
            return _moment(field, value)
        case "reference":
            return _reference(field, value)
    return _text(field, value)


def _from_text(text: str) -> Any:
    """A number or truth value given as text, as the Salesforce CLI gives them; other text as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reference(field: Field, value: str) -> str:
    if not ids.is_well_formed(value) or not value.startswith(schema.get(field.target).prefix):
        _fail(400, "MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", [field.name])
    return ids.to_18(value)


def _text(field: Field, value: str) -> str:
    if field.type == "email" and not _EMAIL.fullmatch(value):
        _fail(400, "INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {value}", [field.name])
    if field.options and value not in field.options:
        message = f"{field.label}: bad value for restricted picklist field: {value}"
        _fail(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [field.name])
    if len(value) > field.length:
        message = f"{field.label}: data value too large: {value[:80]} (max length={field.length})"
        _fail(400, "STRING_TOO_LONG", message, [field.name])
    return value


def _moment(field: Field, value: str) -> str:
    """A date or date-time as it is stored; one without an offset is taken for UTC, whatever this machine's zone."""
    if not _DAY.match(value):
        _wrong_type(field, value)
    try:
        moment = datetime.fromisoformat(value)
        if field.type == "date":
            return moment.date().isoformat()
        return salesforce_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        _wrong_type(field, value)


def _wrong_type(field: Field, value: Any) -> NoReturn:
    message = f"Cannot deserialize instance of {field.type} from value {value} or request may be missing a required field"
    _fail(400, "JSON_PARSER_ERROR", message, [field.name])

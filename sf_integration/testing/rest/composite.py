"""Several requests in one: composite, batch, collections and trees. Every part is answered as if it came alone.

Source: Salesforce REST API Developer Guide, "Composite Resources"; recorded answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any, NoReturn, cast
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from .. import ids
from ..data import standard
from ..data.schema import Schema, SObject
from ..data.store import Store
from ..messages import Answer, Incoming, Refused, json_answer, not_found, rest_error
from .records import read_object

MAX_PARTS = 25
MAX_QUERIES = 5
"""Of the parts of one composite request, queries and collections counted together."""
MAX_RECORDS = 200
MAX_RECORDS_READ = 2_000
MAX_TREE_DEPTH = 5

_REFERENCE = re.compile(r"@\{([^{}]*)\}")
_STEP = re.compile(r"[^.\[\]]+")
_QUERIES = (["query"], ["queryAll"])
_ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."
_RECORD_ROLLED_BACK = {
    "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "message": "Record rolled back because not all records were valid and the request was using AllOrNone header",
    "fields": [],
}

_Json = dict[str, Any]


class _Undone(Exception):
    """Ends a transaction that is not to last."""


class _NoValue(Exception):
    """A reference leads to nothing."""


@dataclass(frozen=True, slots=True)
class _Seed:
    """A record to be made."""

    record: _Json
    tie: _Json
    """What ties it to its parent."""


@dataclass(frozen=True, slots=True)
class Composite:
    """One request with several parts."""

    store: Store
    schema: Schema
    """What the caller sees."""
    request: Incoming
    base_path: str
    """`/services/data/vXX.0`."""
    answer_part: Callable[[Incoming], Answer]
    """Answers a part, in the same session."""

    # Parts that may refer to earlier ones

    def run(self) -> Answer:
        """Answer `POST …/composite`."""
        body = read_object(self.request.body)
        parts = _parts(body, "compositeRequest", ("method", "url", "referenceId"))
        _check_parts(parts)
        all_or_none = body.get("allOrNone") is True
        results: list[_Json] = []
        with suppress(_Undone), self._transaction(all_or_none):
            results += self._run_parts(parts, halt_on_error=all_or_none)
            if all_or_none and any(map(_has_failed, results)):
                raise _Undone
        if all_or_none and any(map(_has_failed, results)):
            failed = results[-1]
            results = [_halted(part, _ROLLED_BACK) for part in parts]
            results[[part["referenceId"] for part in parts].index(failed["referenceId"])] = failed
        return json_answer({"compositeResponse": results})

    def _run_parts(self, parts: Sequence[_Json], *, halt_on_error: bool = False) -> list[_Json]:
        results: list[_Json] = []
        for part in parts:
            results.append(self._run_part(part, results))
            if halt_on_error and _has_failed(results[-1]):
                break
        return results

    def _run_part(self, part: _Json, results: Sequence[_Json]) -> _Json:
        known = {result["referenceId"]: result["body"] for result in results}
        try:
            url, body = _resolve(part["url"], known), _resolve(part.get("body"), known)
        except _NoValue as exc:
            return _halted(part, str(exc))
        answer = self._answer(part["method"], url, body, part.get("httpHeaders"))
        return {
            "body": _json_of(answer),
            "httpHeaders": {name: value for name, value in answer.headers if name == "Location"},
            "httpStatusCode": answer.status,
            "referenceId": part["referenceId"],
        }

    # Parts that know nothing of each other

    def run_batch(self) -> Answer:
        """Answer `POST …/composite/batch`, whose parts' URLs begin with the version."""
        body = read_object(self.request.body)
        results: list[_Json] = []
        for part in _parts(body, "batchRequests", ("method", "url")):
            if body.get("haltOnError") is True and any(result["statusCode"] >= 400 for result in results):
                message = "Batch request was halted since an earlier request failed."
                halted = [{"errorCode": "BATCH_PROCESSING_HALTED", "message": message}]
                results.append({"statusCode": 412, "result": halted})
                continue
            url = "/services/data/" + part["url"].removeprefix("/services/data").lstrip("/")
            answer = self._answer(part["method"], url, part.get("richInput"))
            results.append({"statusCode": answer.status, "result": _json_of(answer)})
        has_errors = any(result["statusCode"] >= 400 for result in results)
        return json_answer({"hasErrors": has_errors, "results": results})

    # Collections

    def create(self) -> Answer:
        """Answer `POST …/composite/sobjects`."""

        def one(record: _Json) -> _Json:
            name = _type_of(record)
            if self.schema.find(name) or standard.sobject(name):
                return _saved(self._answer("POST", self._path(name), record))
            message = f"sObject type '{name}' is not supported."
            return _refused({"errorCode": "INVALID_TYPE", "message": message})

        return self._save_records(one)

    def update(self) -> Answer:
        """Answer `PATCH …/composite/sobjects`."""

        def one(record: _Json) -> _Json:
            key = next((key for key in record if key.lower() == "id"), None)
            if key is None:
                return _refused(
                    {"errorCode": "MISSING_ARGUMENT", "message": "Id not specified in an update call"}
                )
            record_id, values = str(record[key]), {k: v for k, v in record.items() if k != key}
            if not ids.is_well_formed(record_id):
                return _malformed(record_id)
            name = _type_of(record)
            return _saved(self._answer("PATCH", self._path(name, record_id), values), record_id)

        return self._save_records(one)

    def upsert(self, sobject: SObject, field_name: str) -> Answer:
        """Answer `PATCH …/composite/sobjects/{sObject}/{external id field}`."""

        def one(record: _Json) -> _Json:
            key = next((key for key in record if key.lower() == field_name.lower()), None)
            values = {k: v for k, v in record.items() if k != key}
            if key is None or record[key] is None:
                if field_name.lower() == "id":
                    made = _saved(self._answer("POST", self._path(sobject.name), values))
                    return made | {"created": True} if made["success"] else made
                message = f"{field_name} not specified"
                return _refused({"errorCode": "MISSING_ARGUMENT", "message": message, "fields": [field_name]})
            answer = self._answer("PATCH", self._path(sobject.name, field_name, str(record[key])), values)
            if answer.status != 300:
                return _saved(answer)
            found = ", ".join(path.rpartition("/")[2] for path in _json_of(answer))
            message = f"More than one record found for external id field: [{found}]"
            return _refused(
                {"errorCode": "DUPLICATE_EXTERNAL_ID", "message": message, "fields": [field_name]}
            )

        return self._save_records(one)

    def delete(self) -> Answer:
        """Answer `DELETE …/composite/sobjects?ids=…`."""

        def one(record_id: str) -> _Json:
            sobject = next((each for each in self.schema.sobjects if each.prefix == record_id[:3]), None)
            if sobject is None or not ids.is_well_formed(record_id):
                return _malformed(record_id)
            return _saved(self._answer("DELETE", self._path(sobject.name, record_id)), record_id)

        query = self.request.query
        wanted = _at_most([each for each in query.get("ids", "").split(",") if each], MAX_RECORDS)
        return self._save(one, wanted, query.get("allOrNone", "").lower() == "true")

    def read_listed(self, sobject: SObject) -> Answer:
        """Answer `GET …/composite/sobjects/{sObject}?ids=…&fields=…`: null for what is not there."""
        query = self.request.query
        return self._read(sobject, query.get("ids", "").split(","), query.get("fields", "").split(","))

    def read_asked(self, sobject: SObject) -> Answer:
        """Answer `POST …/composite/sobjects/{sObject}`, the same with ids and fields in the body."""
        body = read_object(self.request.body)
        return self._read(sobject, _list(body, "ids"), _list(body, "fields"))

    def _read(self, sobject: SObject, wanted: list[Any], fields: list[Any]) -> Answer:
        query = urlencode({"fields": ",".join(map(str, fields))})
        found: list[Any] = []
        for record_id in map(str, _at_most(wanted, MAX_RECORDS_READ)):
            if not ids.is_well_formed(record_id):
                found.append(None)
                continue
            answer = self._answer("GET", f"{self._path(sobject.name, record_id)}?{query}")
            if answer.status not in (200, 404):
                return answer
            found.append(_json_of(answer) if answer.status == 200 else None)
        return json_answer(found)

    def _save_records(self, save_one: Callable[[_Json], _Json]) -> Answer:
        body = read_object(self.request.body)
        records = _at_most(_records(body), MAX_RECORDS)
        return self._save(save_one, records, body.get("allOrNone") is True)

    def _save(self, save_one: Callable[[Any], _Json], records: Sequence[Any], all_or_none: bool) -> Answer:
        results: list[_Json] = []
        with suppress(_Undone), self._transaction(all_or_none):
            results.extend(save_one(record) for record in records)
            if all_or_none and not all(result["success"] for result in results):
                raise _Undone
        if all_or_none and not all(result["success"] for result in results):
            results = [self._rolled_back(result) if result["success"] else result for result in results]
        return json_answer(results)

    def _rolled_back(self, result: _Json) -> _Json:
        """Ids of records that were there before are told, new ones are no more."""
        is_new = self.request.method == "POST" or result.get("created")
        told = {} if is_new else {"id": result["id"]}
        return {**told, "success": False, "errors": [_RECORD_ROLLED_BACK]}

    # Trees

    def plant(self, sobject: SObject) -> Answer:
        """Answer `POST …/composite/tree/{sObject}`: parents with their children, all or none."""
        grown: list[_Json] = []
        failed: list[_Json] = []
        level = [_Seed(record, {}) for record in _records(read_object(self.request.body))]
        if any(_type_of(seed.record).lower() != sobject.name.lower() for seed in level):
            _fail("INVALID_INPUT", f"every record at the root of this tree must be of type {sobject.name}.")
        with suppress(_Undone), self.store.transaction():
            for _ in range(MAX_TREE_DEPTH):  # as recorded, all parents come before all children
                _at_most([*grown, *level], MAX_RECORDS)
                level = [child for seed in level for child in self._plant_one(seed, grown, failed)]
            if level:
                _fail("INVALID_INPUT", f"a tree can't be deeper than {MAX_TREE_DEPTH} levels.")
            failed = failed or _without_own_reference(grown)
            if failed:
                raise _Undone
        return json_answer({"hasErrors": bool(failed), "results": failed or grown}, 400 if failed else 201)

    def _plant_one(self, seed: _Seed, grown: list[_Json], failed: list[_Json]) -> Iterator[_Seed]:
        """Make one record; its children come next."""
        name = _type_of(seed.record)
        sobject = self.schema.find(name)
        fields = {field.children: field for _, field in self.schema.children_of(sobject)} if sobject else {}
        children = {key: seed.record[key] for key in seed.record if key in fields}
        values = {key: value for key, value in seed.record.items() if key not in children}
        reference = {"referenceId": _attributes(seed.record).get("referenceId")}
        answer = self._answer("POST", self._path(name), values | seed.tie)
        if answer.status >= 400:
            failed.append(reference | {"errors": _refused(*_json_of(answer))["errors"]})
            return
        record_id = _json_of(answer)["id"]
        grown.append(reference | {"id": record_id})
        for key, child in children.items():
            for record in _records(child):
                yield _Seed(record, {fields[key].name: record_id})

    # Asking

    def _transaction(self, all_or_none: bool) -> AbstractContextManager[None]:
        return self.store.transaction() if all_or_none else nullcontext()

    def _path(self, *parts: str) -> str:
        return "/".join((f"{self.base_path}/sobjects", *(quote(part, safe="") for part in parts)))

    def _answer(self, method: str, url: str, body: Any = None, headers: object = None) -> Answer:
        try:
            target = urlsplit(url)
        except ValueError:
            return not_found()
        if _resource(url)[:1] == ["composite"] and _resource(url)[:2] != ["composite", "sobjects"]:
            return rest_error(400, "INVALID_INPUT", "a composite request can't be part of another")
        own_headers = Message()
        for name, value in (headers if isinstance(headers, Mapping) else {}).items():
            own_headers[str(name)] = str(value)
        part = replace(
            self.request,
            method=method.upper(),
            path=unquote(target.path),
            raw_path=target.path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers=cast("Mapping[str, str]", own_headers),
            body=b"" if body is None else json.dumps(body).encode(),
        )
        return self.answer_part(part)


# Reading requests


def _fail(code: str, message: str) -> NoReturn:
    raise Refused(rest_error(400, code, message))


def _list(body: _Json, name: str) -> list[Any]:
    if name not in body:
        _fail("JSON_PARSER_ERROR", f"'{name}' is a required field.")
    if not isinstance(body[name], list):
        _fail("JSON_PARSER_ERROR", f"'{name}' must be a list.")
    return cast("list[Any]", body[name])


def _records(body: Any) -> list[_Json]:
    records = _list(body if isinstance(body, dict) else {}, "records")
    if not all(isinstance(record, dict) for record in records):
        _fail("JSON_PARSER_ERROR", "every record must be an object.")
    return records


def _at_most(records: list[Any], limit: int) -> list[Any]:
    if len(records) > limit:
        _fail(
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {limit} records into this call",
        )
    return records


def _parts(body: _Json, name: str, required: Sequence[str]) -> list[_Json]:
    parts = _list(body, name)
    if len(parts) > MAX_PARTS:
        _fail("LIMIT_EXCEEDED", f"'{name}' must not have more than {MAX_PARTS} subrequests.")
    for part in parts:
        for key in required:
            if not isinstance(part, dict) or not isinstance(part.get(key), str):
                _fail("JSON_PARSER_ERROR", f"'{key}' is a required field.")
    return parts


def _check_parts(parts: Sequence[_Json]) -> None:
    if len({part["referenceId"] for part in parts}) < len(parts):
        _fail("INVALID_INPUT", "every 'referenceId' must be unique.")
    resources = [_resource(part["url"]) for part in parts]
    if (
        sum(resource[:1] in _QUERIES or resource[:2] == ["composite", "sobjects"] for resource in resources)
        > MAX_QUERIES
    ):
        _fail(
            "LIMIT_EXCEEDED", f"no more than {MAX_QUERIES} subrequests may be queries or sObject collections."
        )


def _resource(url: str) -> list[str]:
    """The parts of a URL's path behind the API version."""
    return [part for part in unquote(url.partition("?")[0]).split("/") if part][3:]


def _attributes(record: Any) -> _Json:
    attributes = record.get("attributes") if isinstance(record, dict) else None
    return attributes if isinstance(attributes, dict) else {}


def _type_of(record: Any) -> str:
    return str(_attributes(record).get("type"))


def _without_own_reference(grown: Sequence[_Json]) -> list[_Json]:
    """A refusal for each record of a tree whose reference is missing, or another's too.

    Source: REST API Developer Guide, "sObject Tree Response Body".
    """
    references = [each["referenceId"] for each in grown]
    message = "every record of a tree needs a referenceId of its own."
    error = {"statusCode": "INVALID_INPUT", "message": message, "fields": []}
    return [
        {"referenceId": reference, "errors": [error]}
        for reference in references
        if not isinstance(reference, str) or references.count(reference) > 1
    ]


# References


def _resolve(value: Any, known: Mapping[str, Any]) -> Any:
    """The value with every `@{reference.field}` in it replaced by what an earlier part answered."""
    if isinstance(value, list):
        return [_resolve(each, known) for each in value]
    if isinstance(value, dict):
        return {name: _resolve(each, known) for name, each in value.items()}
    if not isinstance(value, str):
        return value
    if whole := _REFERENCE.fullmatch(value):
        return _look_up(whole[1], known)
    return _REFERENCE.sub(lambda match: str(_look_up(match[1], known)), value)


def _look_up(reference: str, known: Mapping[str, Any]) -> Any:
    """What `query.records[0].Id` leads to; null counts as nothing."""
    name, *steps = _STEP.findall(reference) or [""]
    found = known.get(name)
    for step in steps:
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            found = None
    if found is None:
        raise _NoValue(
            f"Invalid reference specified. No value for {reference} found in {name}. Provided referenceId "
            f"('{reference}') must start with a letter or a number, and it can contain only letters, numbers and "
            "underscores ('_')."
        )
    return found


# Results


def _json_of(answer: Answer) -> Any:
    try:
        return json.loads(answer.body) if answer.body else None
    except ValueError:
        return answer.body.decode("utf-8", "replace")  # an answer given by hand may be anything


def _has_failed(result: _Json) -> bool:
    return bool(result["httpStatusCode"] >= 400)


def _halted(part: _Json, message: str) -> _Json:
    return {
        "body": [{"errorCode": "PROCESSING_HALTED", "message": message}],
        "httpHeaders": {},
        "httpStatusCode": 400,
        "referenceId": part["referenceId"],
    }


def _saved(answer: Answer, record_id: str = "") -> _Json:
    """The result of one record in a collection."""
    if answer.status >= 400:
        return _refused(*_json_of(answer))
    return _json_of(answer) or {"id": ids.to_18(record_id), "success": True, "errors": []}


def _malformed(record_id: str) -> _Json:
    message = f"Record ID: id value of incorrect type: {record_id}"
    return _refused({"errorCode": "MALFORMED_ID", "message": message, "fields": ["Id"]})


def _refused(*errors: _Json) -> _Json:
    return {"success": False, "errors": [_as_status(error) for error in errors]}


def _as_status(error: _Json) -> _Json:
    """A refusal as collections and trees tell it: `statusCode` instead of `errorCode`, always with fields."""
    if error["message"] == "The requested resource does not exist":
        error = {"errorCode": "INVALID_CROSS_REFERENCE_KEY", "message": "invalid cross reference id"}
    return {"statusCode": error["errorCode"], "message": error["message"], "fields": error.get("fields", [])}

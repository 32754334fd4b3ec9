"""Bulk API 2.0, below `/services/data/vXX.0/jobs`: CSV files in, CSV files out.

Source: Bulk API 2.0 Developer Guide; simple-salesforce and jsforce, which rest on these answers.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from ..data import standard
from ..data.schema import Schema, SObject
from ..data.store import salesforce_datetime
from ..messages import Answer, Incoming, Refused, json_answer, not_found, rest_error, unknown_here
from ..orgs import Org
from ..rest.records import read_object, written_elsewhere
from ..soql import UNKNOWN_HERE
from ..users import User
from . import tables
from .extraction import Extract, extract
from .jobs import JOB_PREFIX, AnyJob, Job, Progress
from .loading import NO_HARD_DELETE, OPERATIONS, Loading, Outcome, from_cells

PAGE_SIZE = 50_000
"""Rows of a result set, unless fewer are asked for."""
_QUERIES = ("query", "queryAll")
_CSV = "text/csv"
_LOCATOR = re.compile(r"[\w-]{1,20}", re.ASCII)

_Verbs = dict[str, Callable[[], Answer]]


@dataclass(slots=True, kw_only=True)
class _CsvJob(Job):
    sobject: str
    column_delimiter: str
    line_ending: str
    progress: Progress

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "operation": self.operation,
            "object": self.sobject,
            "createdById": self.user_id,
            "createdDate": self.created,
            "systemModstamp": self.created,
            "state": self.progress.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.api_version),
            "lineEnding": self.line_ending,
            "columnDelimiter": self.column_delimiter,
        }

    def csv(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Answer:
        return Answer(200, tables.write(header, rows, self.column_delimiter, self.line_ending), _CSV)


@dataclass(slots=True, kw_only=True)
class IngestJob(_CsvJob):
    external_id_field: str
    content: bytes | None = field(default=None, repr=False)
    """What was uploaded; None before, and once it is read."""
    has_content: bool = False
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list, repr=False)
    outcomes: list[Outcome] = field(default_factory=list, repr=False)
    error_message: str = ""

    def describe(self) -> dict[str, Any]:
        path = f"services/data/v{self.api_version}.0/jobs/ingest/{self.id}/batches"
        told = _CsvJob.describe(self)
        told |= {"contentUrl": path} if self.progress.state == "Open" else {}
        told |= {"externalIdFieldName": self.external_id_field} if self.external_id_field else {}
        return told

    def describe_whole(self) -> dict[str, Any]:
        done = self.outcomes if self.progress.is_over else []
        told = self.describe() | {
            "jobType": "V2Ingest",
            "retries": 0,
            "totalProcessingTime": len(done),
            "apiActiveProcessingTime": len(done),
            "apexProcessingTime": 0,
            "numberRecordsProcessed": len(done),
            "numberRecordsFailed": sum(outcome.error is not None for outcome in done),
        }
        return told | ({"errorMessage": self.error_message} if self.progress.state == "Failed" else {})


@dataclass(slots=True, kw_only=True)
class QueryJob(_CsvJob):
    extract: Extract = field(repr=False)

    def describe_whole(self) -> dict[str, Any]:
        return self.describe() | {
            "jobType": "V2Query",
            "retries": 0,
            "totalProcessingTime": 0,
            "numberRecordsProcessed": len(self.extract.rows) if self.progress.is_over else 0,
        }


@dataclass(frozen=True, slots=True)
class Bulk2:
    """One call."""

    org: Org
    request: Incoming
    user: User
    schema: Schema
    """What the user may see."""
    version: int

    def verbs(self, further: Sequence[str]) -> _Verbs:
        """What each method does at a path below `jobs`; nothing when there is no such path. Raises Refused."""
        match further:
            case ["ingest"]:
                return {"GET": lambda: self._list(IngestJob), "POST": self._create_ingest}
            case ["ingest", job_id]:
                return self._verbs_of(self._find(IngestJob, job_id))
            case ["ingest", job_id, "batches"]:
                return {"PUT": lambda: self._upload(self._find(IngestJob, job_id))}
            case ["ingest", job_id, results]:
                return self._results_of_ingest(self._find(IngestJob, job_id), results.lower())
            case ["query"]:
                return {"GET": lambda: self._list(QueryJob), "POST": self._create_query}
            case ["query", job_id]:
                return self._verbs_of(self._find(QueryJob, job_id))
            case ["query", job_id, "results"]:
                return {"GET": lambda: self._results_of_query(self._find(QueryJob, job_id))}
        return {}

    def _find(self, kind: type[AnyJob], job_id: str) -> AnyJob:
        job = self.org.jobs.find(kind, job_id, self.user.id)
        if job is None:
            raise Refused(not_found())
        return job

    def _list(self, kind: type[IngestJob | QueryJob]) -> Answer:
        told = [job.describe() for job in self.org.jobs.of(kind, self.user.id)]
        return json_answer({"done": True, "records": told, "nextRecordsUrl": None})

    def _verbs_of(self, job: IngestJob | QueryJob) -> _Verbs:
        return {
            "GET": lambda: self._look(job),
            "PATCH": lambda: self._change_state(job),
            "DELETE": lambda: self._delete(job),
        }

    def _look(self, job: IngestJob | QueryJob) -> Answer:
        if job.progress.state in ("UploadComplete", "InProgress"):
            job.progress.look()
        return json_answer(job.describe_whole())

    # States

    def _change_state(self, job: IngestJob | QueryJob) -> Answer:
        wanted, state = read_object(self.request.body).get("state"), job.progress.state
        if wanted == "Aborted" and state in ("Open", "UploadComplete", "InProgress"):
            self._abort(job)
        elif wanted == "UploadComplete" and state == "Open" and isinstance(job, IngestJob):
            self._close(job)
        elif wanted in ("Aborted", "UploadComplete"):
            act = "Aborting" if wanted == "Aborted" else "Closing"
            now = "Completed" if state == "JobComplete" else state
            _refuse("INVALIDJOBSTATE", f"{act} already {now} Job not allowed")
        else:
            _refuse("INVALIDJOBSTATE", f"The job can not be given the state {wanted!r}")
        return json_answer(job.describe())

    def _close(self, job: IngestJob) -> None:
        job.progress = Progress("UploadComplete", "JobComplete", self.org.bulk_looks)
        try:
            self._process(job)
        except ValueError as exc:
            job.error_message = str(exc)
            job.progress.end = "Failed"

    def _abort(self, job: IngestJob | QueryJob) -> None:
        job.progress = Progress("Aborted", "Aborted", 0)
        if isinstance(job, IngestJob) and job.content is not None:
            with suppress(ValueError):
                self._read(job)

    def _delete(self, job: IngestJob | QueryJob) -> Answer:
        if job.progress.state in ("Open", "InProgress"):
            _refuse("INVALIDJOBSTATE", f"Deleting {job.progress.state} Job not allowed")
        self.org.jobs.remove(job)
        return Answer(204)

    # Records in

    def _create_ingest(self) -> Answer:
        if "multipart" in self.request.headers.get("Content-Type", ""):
            what = "a bulk job and its data in one request"
            _refuse(UNKNOWN_HERE, unknown_here(what, "org.answer_path(…), or send the data by itself"))
        body = read_object(self.request.body)
        operation = body.get("operation")
        if operation == "hardDelete":
            _refuse("FEATURENOTENABLED", NO_HARD_DELETE)
        if operation not in OPERATIONS:
            _refuse("INVALIDOPERATION", f"The operation {operation!r} is none of {', '.join(OPERATIONS)}")
        external_id = str(body.get("externalIdFieldName") or "")
        if operation == "upsert" and not external_id:
            _refuse("INVALIDJOB", "External ID was blank for a job whose operation is upsert")
        sobject = self._sobject(body.get("object"))
        if external_id:
            external_id = self._external_id(sobject, external_id)
        job = IngestJob(
            **self._common(body),
            operation=operation,
            sobject=sobject.name,
            external_id_field=external_id if operation == "upsert" else "",
            progress=Progress("Open", "JobComplete", 0),
        )
        self.org.jobs.add(job)
        return json_answer(job.describe())

    def _sobject(self, name: Any) -> SObject:
        sobject = self.schema.find(str(name))
        if sobject is None:
            if (known := standard.sobject(str(name))) and not self.schema.hides(known):
                _refuse(UNKNOWN_HERE, unknown_here(known, "org.answer_path(…)"))
            _refuse("INVALIDENTITY", f"Entity '{name}' is not supported by the Bulk API.")
        return sobject

    def _external_id(self, sobject: SObject, name: str) -> str:
        known = sobject.by_name.get(name.lower())
        if known is None or not (known.external_id or known.type == "id"):
            _refuse("INVALIDJOB", f"Field name provided, {name} is not an External ID or indexed field")
        return known.name

    def _upload(self, job: IngestJob) -> Answer:
        if job.progress.state != "Open":
            _refuse("INVALIDJOBSTATE", f"The job is {job.progress.state} and takes no data")
        if job.has_content:
            _refuse(
                "CLIENTINPUTERROR", f"Found multiple contents for job: <{job.id}>; only one PUT is allowed"
            )
        job.content, job.has_content = self.request.body, True
        self.org.jobs.grow(job, len(self.request.body))
        return Answer(201)

    def _process(self, job: IngestJob) -> None:
        """Raises ValueError when the file as a whole is wrong."""
        sobject = self._sobject(job.sobject)
        self._read(job)
        for name in job.header:
            if name.lower() not in sobject.by_name:
                # Account.ERP_Number__c: a parent named by an external id
                if known := written_elsewhere(sobject, name.partition(".")[0]):
                    raise ValueError(unknown_here(known, "org.answer_path(…)"))
                raise ValueError(f"InvalidBatch : Field name not found : {name}")
        base_path = f"/services/data/v{self.version}.0"
        loading = Loading(self.org, self.user, sobject, job.operation, job.external_id_field, base_path)
        job.outcomes = [loading.load(from_cells(sobject, job.header, cells)) for cells in job.rows]

    def _read(self, job: IngestJob) -> None:
        content, job.content = job.content or b"", None
        job.header, job.rows = tables.read(content, job.column_delimiter, job.line_ending)

    def _results_of_ingest(self, job: IngestJob, kind: str) -> _Verbs:
        makers: dict[str, Callable[[], Answer]] = {
            "successfulresults": lambda: self._successful(job),
            "failedresults": lambda: self._failed(job),
            "unprocessedrecords": lambda: job.csv(job.header, job.rows[len(job.outcomes) :]),
        }
        if kind not in makers:
            return {}
        if job.progress.state not in ("JobComplete", "Failed", "Aborted"):
            _refuse("INVALIDJOBSTATE", f"The results of a job that is {job.progress.state} are not there yet")
        return {"GET": makers[kind]}

    def _successful(self, job: IngestJob) -> Answer:
        rows = [
            [outcome.record_id, "true" if outcome.created else "false", *cells]
            for outcome, cells in zip(job.outcomes, job.rows, strict=False)
            if outcome.error is None
        ]
        return job.csv(["sf__Id", "sf__Created", *job.header], rows)

    def _failed(self, job: IngestJob) -> Answer:
        rows = [
            [outcome.record_id, outcome.error_text, *cells]
            for outcome, cells in zip(job.outcomes, job.rows, strict=False)
            if outcome.error is not None
        ]
        return job.csv(["sf__Id", "sf__Error", *job.header], rows)

    # Records out

    def _create_query(self) -> Answer:
        """Raises SoqlError, too."""
        body = read_object(self.request.body)
        operation = body.get("operation")
        if operation not in _QUERIES:
            _refuse("INVALIDOPERATION", f"The operation {operation!r} is none of {', '.join(_QUERIES)}")
        found = extract(
            self.org,
            self.user,
            str(body.get("query") or ""),
            base_path=f"/services/data/v{self.version}.0",
            with_deleted=operation == "queryAll",
        )
        job = QueryJob(
            **self._common(body),
            operation=operation,
            sobject=found.sobject,
            progress=Progress("UploadComplete", "JobComplete", self.org.bulk_looks),
            extract=found,
        )
        self.org.jobs.add(job)
        return json_answer(job.describe())

    def _results_of_query(self, job: QueryJob) -> Answer:
        if job.progress.state != "JobComplete":
            return Answer(204)
        start, size = self._place(), self._size()
        end = min(start + size, len(job.extract.rows))
        answer = job.csv(job.extract.header, job.extract.cells(start, end))
        locator = _locator(end) if end < len(job.extract.rows) else "null"
        return answer.with_header("Sforce-NumberOfRecords", str(max(end - start, 0))).with_header(
            "Sforce-Locator", locator
        )

    def _place(self) -> int:
        locator = self.request.query.get("locator", "")
        if not locator:
            return 0
        try:
            if not _LOCATOR.fullmatch(locator):
                raise ValueError
            return int(base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)))
        except (ValueError, binascii.Error):
            _refuse("INVALID_QUERY_LOCATOR", "invalid query locator")

    def _size(self) -> int:
        wanted = self.request.query.get("maxRecords", "")
        return min(int(wanted[:9]) or PAGE_SIZE, PAGE_SIZE) if wanted.isdecimal() else PAGE_SIZE

    def _common(self, body: dict[str, Any]) -> dict[str, Any]:
        """What every job begins with."""
        if str(body.get("contentType") or "CSV") != "CSV":
            _refuse("INVALIDJOB", f"The content type {body['contentType']!r} is not CSV")
        return {
            "id": self.org.jobs.new_id(JOB_PREFIX),
            "user_id": self.user.id,
            "api_version": self.version,
            "created": salesforce_datetime(datetime.fromtimestamp(self.org.now(), UTC)),
            "column_delimiter": _one_of(tables.DELIMITERS, body.get("columnDelimiter") or "COMMA"),
            "line_ending": _one_of(tables.LINE_ENDINGS, body.get("lineEnding") or "LF"),
        }


def _locator(place: int) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def _one_of(known: dict[str, str], word: Any) -> str:
    if not isinstance(word, str) or word not in known:
        _refuse("INVALIDJOB", f"{word!r} is none of {', '.join(known)}")
    return word


def _refuse(code: str, message: str) -> NoReturn:
    raise Refused(rest_error(400, code, message))

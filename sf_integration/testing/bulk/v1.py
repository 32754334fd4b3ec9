"""Bulk API, below `/services/async/XX.0`: batches of JSON in a job, and errors of a shape of its own.

Source: Bulk API Developer Guide; simple-salesforce, which rests on these answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from typing import Any, NoReturn, cast

from ..data import company, schema, standard
from ..data.schema import SObject
from ..data.store import salesforce_datetime
from ..messages import Answer, Incoming, Refused, as_asked, json_answer, unknown_here
from ..orgs import Org
from ..rest import resources
from ..sessions import Session
from ..soql import SoqlError
from .extraction import Extract, extract
from .jobs import BATCH_PREFIX, JOB_PREFIX, RESULT_PREFIX, Job, Progress
from .loading import NO_HARD_DELETE, OPERATIONS, Loading, Outcome

SESSION_HEADER = "X-SFDC-Session"
MAX_ROWS = 10_000
"""Of one batch."""

_VERSIONED = re.compile(r"/services/async/(\d{1,3})\.0(/.*)?")
_QUERIES = ("query", "queryAll")
# What a session may hear, in the words of this API.
_REFUSALS = {
    "INVALID_SESSION_ID": ("InvalidSessionId", "Invalid session id"),
    "API_CURRENTLY_DISABLED": ("InvalidUser", "API is disabled for this User"),
    "REQUEST_LIMIT_EXCEEDED": ("ExceededQuota", "TotalRequests Limit exceeded."),
}
_NO_TIME = {"apexProcessingTime": 0, "apiActiveProcessingTime": 0, "totalProcessingTime": 0}

_Json = dict[str, Any]


@dataclass(slots=True)
class Batch:
    id: str
    progress: Progress
    request: list[_Json] | str = field(repr=False)
    """The rows, or the query."""
    message: str = ""
    """Why it failed."""
    outcomes: list[Outcome] = field(default_factory=list, repr=False)
    extract: Extract | None = field(default=None, repr=False)
    result_id: str = ""


@dataclass(slots=True, kw_only=True)
class BatchJob(Job):
    sobject: str
    external_id_field: str
    mode: str
    state: str = "Open"
    batches: dict[str, Batch] = field(default_factory=dict, repr=False)

    def describe(self) -> _Json:
        states = [batch.progress.state for batch in self.batches.values()]
        outcomes = [outcome for batch in self.batches.values() for outcome in batch.outcomes]
        told = {
            **_NO_TIME,
            "apiVersion": float(self.api_version),
            "assignmentRuleId": None,
            "concurrencyMode": self.mode,
            "contentType": "JSON",
            "createdById": self.user_id,
            "createdDate": self.created,
            "externalIdFieldName": self.external_id_field or None,
            "fastPathEnabled": False,
            "id": self.id,
            "numberBatchesTotal": len(states),
            "numberRecordsFailed": sum(outcome.error is not None for outcome in outcomes),
            "numberRecordsProcessed": len(outcomes),
            "numberRetries": 0,
            "object": self.sobject,
            "operation": self.operation,
            "state": self.state,
            "systemModstamp": self.created,
        }
        counts = {f"numberBatches{state}": states.count(state) for state in _COUNTED}
        return dict(sorted({**told, **counts}.items()))

    def describe_batch(self, batch: Batch) -> _Json:
        done = batch.outcomes if batch.progress.is_over else []
        found = len(batch.extract.rows) if batch.extract and batch.progress.is_over else 0
        told = {
            **_NO_TIME,
            "createdDate": self.created,
            "id": batch.id,
            "jobId": self.id,
            "numberRecordsFailed": sum(outcome.error is not None for outcome in done),
            "numberRecordsProcessed": len(done) + found,
            "state": batch.progress.state,
            "stateMessage": batch.message if batch.progress.state == "Failed" else None,
            "systemModstamp": self.created,
        }
        return dict(sorted(told.items()))


_COUNTED = ("Completed", "Failed", "InProgress", "Queued")


def handle(org: Org, request: Incoming) -> Answer:
    """Answer a request below `/services/async`."""
    answer = resources.in_session(org, _with_bearer(request), lambda session: _answer(org, session, request))
    if answer.error in _REFUSALS:
        refusal = _refusal(*_REFUSALS[answer.error])
        answer = Answer(
            refusal.status, refusal.body, headers=answer.headers, error=refusal.error, user=answer.user
        )
    return as_asked(answer, request)


def _with_bearer(request: Incoming) -> Incoming:
    """The token where the REST API has it, and only from where this API has it."""
    headers = Message()
    if token := request.headers.get(SESSION_HEADER):
        headers["Authorization"] = f"Bearer {token}"
    return Incoming(
        method=request.method,
        path=request.path,
        raw_path=request.raw_path,
        query=request.query,
        headers=cast("Mapping[str, str]", headers),
        body=request.body,
        host=request.host,
        called_url=request.called_url,
    )


def _answer(org: Org, session: Session, request: Incoming) -> Answer:
    if given := org.answers.for_request(request):
        return given
    match = _VERSIONED.fullmatch(request.path)
    if not match or not org.oldest_version <= int(match[1]) <= org.newest_version:
        return _refusal("InvalidUrl", f"Destination URL not reset. The URL {request.path} is not known", 404)
    company.show_users(org.store, list(org.users.values()))
    try:
        return _Bulk(org, session, request, int(match[1])).answer(
            [part for part in (match[2] or "").split("/") if part]
        )
    except Refused as refusal:
        return refusal.answer
    except RecursionError:
        return _refusal("InvalidBatch", "The body is nested too deeply")


@dataclass(frozen=True, slots=True)
class _Bulk:
    """One call of a session that may call."""

    org: Org
    session: Session
    request: Incoming
    version: int

    def answer(self, parts: Sequence[str]) -> Answer:
        match parts:
            case ["job"]:
                return self._only(POST=self._create)
            case ["job", job_id]:
                job = self._find(job_id)
                return self._only(GET=lambda: json_answer(job.describe()), POST=lambda: self._change(job))
            case ["job", job_id, "batch"]:
                job = self._find(job_id)
                return self._only(GET=lambda: self._list(job), POST=lambda: self._add(job))
            case ["job", job_id, "batch", batch_id, *further]:
                job = self._find(job_id)
                return self._of_batch(job, self._batch(job, batch_id), further)
        return _refusal("InvalidUrl", f"There is nothing at {self.request.path}", 404)

    def _only(self, **verbs: Callable[[], Answer]) -> Answer:
        if self.request.method in verbs:
            return verbs[self.request.method]()
        message = f"HTTP Method '{self.request.method}' not allowed. Allowed are {','.join(verbs)}"
        return _refusal("MethodNotAllowed", message, 405)

    def _find(self, job_id: str) -> BatchJob:
        job = self.org.jobs.find(BatchJob, job_id, self.session.user.id)
        if job is None:
            _refuse("InvalidJob", f"Unable to find the job {job_id}")
        return job

    def _batch(self, job: BatchJob, batch_id: str) -> Batch:
        if batch_id not in job.batches:
            _refuse("InvalidBatch", f"Unable to find the batch {batch_id} in the job {job.id}")
        return job.batches[batch_id]

    # Jobs

    def _create(self) -> Answer:
        body = self._read_object()
        if body.get("contentType") != "JSON":
            what = f"bulk jobs whose contentType is {body.get('contentType')}, only JSON"
            _refuse("InvalidJob", unknown_here(what, f"org.answer_path({self.request.path!r}, …)"))
        operation, external_id = body.get("operation"), str(body.get("externalIdFieldName") or "")
        if operation == "hardDelete":
            _refuse("FeatureNotEnabled", NO_HARD_DELETE)
        if operation not in (*OPERATIONS, *_QUERIES):
            _refuse("InvalidJob", f"The operation {operation!r} is not known")
        sobject = self._sobject(body.get("object"))
        if operation == "upsert":
            external_id = _external_id(sobject, external_id)
        job = BatchJob(
            id=self.org.jobs.new_id(JOB_PREFIX),
            user_id=self.session.user.id,
            operation=operation,
            api_version=self.version,
            created=salesforce_datetime(datetime.fromtimestamp(self.org.now(), UTC)),
            sobject=sobject.name,
            external_id_field=external_id if operation == "upsert" else "",
            # simple-salesforce gives the place of the word.
            mode="Serial" if body.get("concurrencyMode") in ("Serial", 1) else "Parallel",
        )
        self.org.jobs.add(job)
        return json_answer(job.describe(), 201)

    def _sobject(self, name: Any) -> SObject:
        seen = schema.visible(self.session.user.hidden)
        sobject = seen.find(str(name))
        if sobject is None:
            if (known := standard.sobject(str(name))) and not seen.hides(known):
                _refuse("InvalidEntity", unknown_here(known, f"org.answer_path({self.request.path!r}, …)"))
            _refuse("InvalidEntity", f"Entity '{name}' is not supported by the Bulk API.")
        return sobject

    def _change(self, job: BatchJob) -> Answer:
        wanted = self._read_object().get("state")
        if wanted not in ("Closed", "Aborted"):
            _refuse("InvalidJobState", f"The job can not be given the state {wanted!r}")
        if job.state == "Aborted" or (job.state, wanted) == ("Closed", "Closed"):
            _refuse("InvalidJobState", f"The job is {job.state} already")
        job.state = wanted
        return json_answer(job.describe())

    def _read_object(self) -> _Json:
        body = _read_json(self.request.body)
        if not isinstance(body, dict):
            _refuse("InvalidJob", "The body is no JSON object")
        return body

    # Batches

    def _list(self, job: BatchJob) -> Answer:
        for batch in job.batches.values():
            batch.progress.look()
        return json_answer({"batchInfo": [job.describe_batch(batch) for batch in job.batches.values()]})

    def _add(self, job: BatchJob) -> Answer:
        if job.state != "Open":
            _refuse("InvalidJobState", f"The job is {job.state} and takes no batches")
        is_query = job.operation in _QUERIES
        request = self.request.body.decode("utf-8", "replace") if is_query else _read_rows(self.request.body)
        progress = Progress("Queued", "Completed", self.org.bulk_looks)
        batch = Batch(self.org.jobs.new_id(BATCH_PREFIX), progress, request)
        told = json_answer(job.describe_batch(batch), 201)
        try:
            self._process(job, batch)
        except ValueError as exc:
            batch.message, batch.progress.end = str(exc), "Failed"
        job.batches[batch.id] = batch
        self.org.jobs.grow(job, len(self.request.body))
        return told

    def _process(self, job: BatchJob, batch: Batch) -> None:
        """Raises ValueError when the batch as a whole is wrong."""
        base_path, user = f"/services/data/v{self.version}.0", self.session.user
        if isinstance(batch.request, str):
            with_deleted = job.operation == "queryAll"
            try:
                batch.extract = extract(
                    self.org, user, batch.request, base_path=base_path, with_deleted=with_deleted
                )
            except SoqlError as exc:
                raise ValueError(
                    f"InvalidBatch : Failed to process query: {exc.code}: {exc.message}"
                ) from exc
            batch.result_id = self.org.jobs.new_id(RESULT_PREFIX)
            return
        if len(batch.request) > MAX_ROWS:
            raise ValueError(f"InvalidBatch : The batch has more than {MAX_ROWS} records")
        sobject = self._sobject(job.sobject)
        loading = Loading(self.org, user, sobject, job.operation, job.external_id_field, base_path)
        batch.outcomes = [loading.load(row) for row in batch.request]

    def _of_batch(self, job: BatchJob, batch: Batch, further: Sequence[str]) -> Answer:
        match further:
            case []:
                batch.progress.look()
                return self._only(GET=lambda: json_answer(job.describe_batch(batch)))
            case ["request"]:
                return self._only(GET=lambda: _as_sent(batch))
            case ["result"] if batch.progress.state == "Completed":
                return self._only(GET=lambda: json_answer(_results(batch)))
            case ["result", batch.result_id] if batch.extract and batch.progress.state == "Completed":
                rows = batch.extract
                return self._only(GET=lambda: json_answer(rows.as_json()))
        return _refusal("InvalidBatch", f"There is no result at {self.request.path}")


def _external_id(sobject: SObject, name: str) -> str:
    known = sobject.by_name.get(name.lower())
    if known is None or not (known.external_id or known.type == "id"):
        _refuse("InvalidJob", f"Field name provided, {name} is not an External ID or indexed field")
    return known.name


def _read_rows(body: bytes) -> list[_Json]:
    rows = _read_json(body)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        _refuse("InvalidBatch", "The body is no JSON list of records")
    return rows


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _as_sent(batch: Batch) -> Answer:
    if isinstance(batch.request, str):
        return Answer(200, batch.request.encode(), "text/plain")
    return json_answer(batch.request)


def _results(batch: Batch) -> list[Any]:
    """The ids of a query's results; of records, what became of each."""
    if batch.extract is not None:
        return [batch.result_id]
    return [
        {
            "success": outcome.error is None,
            "created": outcome.created,
            "id": outcome.record_id or None,
            "errors": [{**outcome.error, "extendedErrorDetails": None}] if outcome.error else [],
        }
        for outcome in batch.outcomes
    ]


def _refusal(code: str, message: str, status: int = 400) -> Answer:
    answer = json_answer({"exceptionCode": code, "exceptionMessage": message}, status)
    return Answer(answer.status, answer.body, error=code)


def _refuse(code: str, message: str) -> NoReturn:
    raise Refused(_refusal(code, message))

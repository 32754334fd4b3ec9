"""The REST API: versions, resources, limits, sObjects, records, queries.

Source: Salesforce REST API Developer Guide; recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..data import schema
from ..data.schema import SObject
from ..messages import Answer, Incoming, Refused, json_answer, not_found, rest_error
from ..oauth import identity
from ..orgs import Org, Session
from ..soql import query as soql
from . import records

PAGE_SIZE = 2_000
MIN_PAGE_SIZE = 200

_VERSIONED = re.compile(r"/services/data/v(\d{1,3})\.0(/.*)?")
_RESOURCES = (
    "tooling", "metadata", "eclair", "folders", "prechatForms", "contact-tracing", "jsonxform", "chatter", "payments",
    "tabs", "appMenu", "quickActions", "queryAll", "commerce", "wave", "iot", "analytics", "search",
    "smartdatadiscovery", "identity", "composite", "parameterizedSearch", "theme", "nouns", "recent", "connect",
    "licensing", "limits", "process", "dedupe", "async-queries", "query", "jobs", "match", "localizedvalue", "mobile",
    "emailConnect", "tokenizer", "compactLayouts", "knowledgeManagement", "sobjects", "actions", "support",
)  # fmt: skip
_OTHER_LIMITS = {
    "ConcurrentAsyncGetReportInstances": 200,
    "ConcurrentSyncReportRuns": 20,
    "DailyAsyncApexExecutions": 250_000,
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryJobs": 10_000,
    "DailyGenericStreamingApiEvents": 10_000,
    "DailyStreamingApiEvents": 10_000,
    "DailyWorkflowEmails": 390,
    "DataStorageMB": 5,
    "FileStorageMB": 20,
    "HourlyAsyncReportRuns": 1_200,
    "HourlyODataCallout": 1_000,
    "HourlyTimeBasedWorkflow": 50,
    "MassEmail": 10,
    "SingleEmail": 15,
    "StreamingApiConcurrentClients": 20,
}


def handle(org: Org, request: Incoming) -> Answer:
    """Answer a request below `/services/data`."""
    if request.path.rstrip("/") == "/services/data":
        return _only(request, GET=lambda: json_answer(_versions(org), pretty=_is_pretty(request)))
    match = _VERSIONED.fullmatch(request.path)
    if not match or not org.oldest_version <= int(match[1]) <= org.newest_version:
        return not_found()
    try:
        session = _authenticate(org, request)
    except Refused as refusal:
        return refusal.answer
    answer = _answer_authenticated(org, request, session, f"/services/data/v{match[1]}.0", match[2] or "")
    return answer.of(session.user.username).with_header(
        "Sforce-Limit-Info", f"api-usage={org.api_used}/{org.api_limit}"
    )


def _authenticate(org: Org, request: Incoming) -> Session:
    token = identity.bearer_token(request)
    if token is None and "Authorization" in request.headers:
        raise Refused(rest_error(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"))
    session = org.find_session(token or "")
    if session is None:
        raise Refused(rest_error(401, "INVALID_SESSION_ID", "Session expired or invalid"))
    if not session.allows("api"):
        raise Refused(
            rest_error(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API").of(
                session.user.username
            )
        )
    org.touch(session)
    return session


def _answer_authenticated(org: Org, request: Incoming, session: Session, base_path: str, rest: str) -> Answer:
    if not session.user.api_enabled:
        return rest_error(403, "API_CURRENTLY_DISABLED", "API is disabled for this User")
    if not org.count_api_call():
        return rest_error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    try:
        return _Call(org, request, session, base_path).answer(rest)
    except Refused as refusal:
        return refusal.answer
    except soql.SoqlError as exc:
        return rest_error(400, exc.code, exc.message)


def _only(request: Incoming, **verbs: Callable[[], Answer]) -> Answer:
    """Call what belongs to the request's method, or say which methods there are."""
    method = "GET" if request.method == "HEAD" else request.method
    if method not in verbs:
        allowed = ",".join(sorted({*verbs, "HEAD"} if "GET" in verbs else verbs))
        message = f"HTTP Method '{request.method}' not allowed. Allowed are {allowed}"
        return rest_error(405, "METHOD_NOT_ALLOWED", message).with_header("Allow", allowed)
    return verbs[method]()


def _is_pretty(request: Incoming) -> bool:
    return request.headers.get("X-PrettyPrint") == "1"


def _versions(org: Org) -> list[dict[str, str]]:
    return [
        {"label": release_label(version), "url": f"/services/data/v{version}.0", "version": f"{version}.0"}
        for version in range(org.oldest_version, org.newest_version + 1)
    ]


def release_label(version: int) -> str:
    """The release an API version came with: three a year, 66.0 being Spring '26."""
    years, season = divmod(version - 66, 3)
    year = 26 + years + (season == 2)
    return f"{('Spring', 'Summer', 'Winter')[season]} '{year}"


@dataclass(frozen=True, slots=True)
class _Call:
    """One authenticated call."""

    org: Org
    request: Incoming
    session: Session
    base_path: str

    def answer(self, rest: str) -> Answer:
        match [part for part in rest.split("/") if part]:
            case []:
                return self._get(self._resources)
            case ["limits"]:
                return self._limits()
            case ["query"]:
                return self._only(GET=lambda: self._query(with_deleted=False))
            case ["queryAll"]:
                return self._only(GET=lambda: self._query(with_deleted=True))
            case ["query" | "queryAll", locator]:
                return self._only(GET=lambda: self._next_page(locator))
            case ["sobjects"]:
                return self._get(self._global_describe)
            case ["sobjects", name, *further]:
                sobject = schema.find(name)
                return self._sobject(sobject, further) if sobject else not_found()
        return not_found()

    def _only(self, **verbs: Callable[[], Answer]) -> Answer:
        return _only(self.request, **verbs)

    def _get(self, make: Callable[[], Any]) -> Answer:
        return self._only(GET=lambda: self._json(make()))

    def _json(self, data: Any) -> Answer:
        return json_answer(data, pretty=_is_pretty(self.request))

    def _resources(self) -> dict[str, str]:
        paths = {name: f"{self.base_path}/{name}" for name in _RESOURCES}
        return {**paths, "identity": f"{self.org.url}/id/{self.org.id}/{self.session.user.id}"}

    def _limits(self) -> Answer:
        if self.org.limits_refused:
            return rest_error(403, "API_DISABLED_FOR_ORG", "limits resource is not enabled")
        return self._get(self._limits_body)

    def _limits_body(self) -> dict[str, Any]:
        org = self.org
        flat: dict[str, Any] = {
            name: {"Max": value, "Remaining": value} for name, value in _OTHER_LIMITS.items()
        }
        flat["DailyApiRequests"] = {
            "Max": org.api_limit,
            "Remaining": max(org.api_limit - org.api_used, 0),
            self.session.app.name: {"Max": 0, "Remaining": 0},
        }
        flat["PermissionSets"] = {
            "Max": 1_500,
            "Remaining": 1_499,
            "CreateCustom": {"Max": 1_000, "Remaining": 999},
        }
        return dict(sorted(flat.items()))

    # Queries

    def _query(self, *, with_deleted: bool) -> Answer:
        text = self.request.query.get("q", "")
        result = soql.run(self.org.store, text, base_path=self.base_path, with_deleted=with_deleted)
        if not result.records:
            return self._json({"totalSize": result.total_size, "done": True, "records": []})
        page = self.org.cursors.first_page(
            result.records, self._page_size(), self.session.token, self.base_path
        )
        return self._json(page)

    def _next_page(self, locator: str) -> Answer:
        page = self.org.cursors.page(locator, self.session.token, self.base_path)
        if page is None:
            return rest_error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._json(page)

    def _page_size(self) -> int:
        match = re.search(r"batchSize=(\d+)", self.request.headers.get("Sforce-Query-Options", ""))
        return min(max(int(match[1]), MIN_PAGE_SIZE), PAGE_SIZE) if match else PAGE_SIZE

    # sObjects and records

    def _global_describe(self) -> dict[str, Any]:
        described = sorted(schema.SOBJECTS, key=lambda sobject: sobject.name)
        entries = [sobject.describe_short(self.base_path) for sobject in described]
        return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": entries}

    def _sobject(self, sobject: SObject, further: list[str]) -> Answer:
        org, user, base, body = self.org, self.session.user, self.base_path, self.request.body
        wanted = self.request.query.get("fields")
        match further:
            case []:
                basics = {"objectDescribe": sobject.describe_short(base), "recentItems": []}
                return self._only(
                    GET=lambda: self._json(basics),
                    POST=lambda: records.create(org, sobject, body, user, base),
                )
            case ["describe"]:
                return self._get(lambda: sobject.describe(base))
            case [record_id]:
                return self._only(
                    GET=lambda: self._json(records.read(org, sobject, record_id, wanted, base)),
                    PATCH=lambda: records.update(org, sobject, record_id, body, user),
                    DELETE=lambda: records.delete(org, sobject, record_id),
                )
            case [field_name, value]:
                return self._only(
                    GET=lambda: records.read_by_external_id(org, sobject, field_name, value, wanted, base),
                    PATCH=lambda: records.upsert(org, sobject, field_name, value, body, user, base),
                )
        return not_found()

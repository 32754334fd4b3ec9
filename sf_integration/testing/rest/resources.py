"""The REST API: versions, resources, limits, sObjects, records, queries.

Source: Salesforce REST API Developer Guide; recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

from .. import ids, soql
from ..bulk.v2 import Bulk2
from ..data import company, schema, standard
from ..data.schema import Schema, SObject
from ..messages import (
    Answer,
    Incoming,
    Refused,
    as_asked,
    json_answer,
    not_found,
    resource_unknown_here,
    rest_error,
    unknown_here,
)
from ..oauth import bearer
from ..orgs import Org
from ..sessions import Session
from . import records
from .composite import Composite

PAGE_SIZE = 2_000
MIN_PAGE_SIZE = 200
DESCRIBED_SINCE = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)
"""When the sObjects were last changed, for callers that keep what they were told."""
UPSERT_SAYS_CREATED = 46
"""From this API version on, an upsert that changes a record answers 200 with a body, before 204 without."""

_VERSIONED = re.compile(r"/services/data/v(\d{1,3})\.0(/.*)?")
_RESOURCES = (
    "tooling", "metadata", "eclair", "folders", "prechatForms", "contact-tracing", "jsonxform", "chatter", "payments",
    "tabs", "appMenu", "quickActions", "queryAll", "commerce", "wave", "iot", "analytics", "search",
    "smartdatadiscovery", "identity", "composite", "parameterizedSearch", "theme", "nouns", "recent", "connect",
    "licensing", "limits", "process", "dedupe", "async-queries", "query", "jobs", "match", "localizedvalue", "mobile",
    "emailConnect", "tokenizer", "compactLayouts", "knowledgeManagement", "sobjects", "actions", "support",
)  # fmt: skip
_RESOURCES_LIST_LEAVES_OUT = ("ui-api", "graphql", "event", "consent", "scheduling")
# What Salesforce has below one sObject, one of its records, and outside the REST API.
_OF_AN_SOBJECT = ("deleted", "updated", "listviews", "layouts", "compactlayouts", "approvallayouts", "quickactions",
                  "namedlayouts", "relevantitems", "eventseries", "defaultvalues")  # fmt: skip
_OUTSIDE = re.compile(
    r"/services/(?:apexrest|Soap|wsdl|proxy|oauth2/\w+)(?:/.*)?|/cometd/.*|/secur/.*|/setup/.*"
)
_READ = ("application/json", "")
"""Media types of a body; whether Salesforce reads one without a type, nobody could tell."""
_LIMITS = {
    "AnalyticsExternalDataSizeMB": 40_960,
    "ConcurrentAsyncGetReportInstances": 200,
    "ConcurrentSyncReportRuns": 20,
    "DailyAnalyticsDataflowJobExecutions": 60,
    "DailyAsyncApexExecutions": 250_000,
    "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryFileStorageMB": 976_562,
    "DailyBulkV2QueryJobs": 10_000,
    "DailyDurableGenericStreamingApiEvents": 10_000,
    "DailyDurableStreamingApiEvents": 10_000,
    "DailyGenericStreamingApiEvents": 10_000,
    "DailyStandardVolumePlatformEvents": 10_000,
    "DailyStreamingApiEvents": 10_000,
    "DailyWorkflowEmails": 390,
    "DataStorageMB": 5,
    "DurableStreamingApiConcurrentClients": 20,
    "FileStorageMB": 20,
    "HourlyAsyncReportRuns": 1_200,
    "HourlyDashboardRefreshes": 200,
    "HourlyDashboardResults": 5_000,
    "HourlyDashboardStatuses": 999_999_999,
    "HourlyLongTermIdMapping": 100_000,
    "HourlyODataCallout": 1_000,
    "HourlyPublishedPlatformEvents": 50_000,
    "HourlyShortTermIdMapping": 100_000,
    "HourlySyncReportRuns": 500,
    "HourlyTimeBasedWorkflow": 50,
    "MassEmail": 10,
    "MonthlyPlatformEventsUsageEntitlement": 0,
    "Package2VersionCreates": 6,
    "PrivateConnectOutboundCalloutHourlyLimitMB": 0,
    "SingleEmail": 15,
    "StreamingApiConcurrentClients": 20,
}


def handle(org: Org, request: Incoming) -> Answer:
    """Answer a request below `/services/data`."""
    request = _with_true_method(request)
    return as_asked(_answer(org, request), request)


def outside(org: Org, request: Incoming) -> Answer:
    """Answer a path that is neither OAuth's nor the REST API's: what was given by hand, or nothing."""
    if given := org.answers.for_request(request):
        return in_session(org, request, lambda session: given)
    return resource_unknown_here(request.path) if _OUTSIDE.fullmatch(request.path) else not_found()


def _answer(org: Org, request: Incoming) -> Answer:
    if request.path.rstrip("/") == "/services/data":
        return _only(request, GET=lambda: json_answer(_versions(org)))
    if _version_and_rest(org, request.raw_path) is None:
        return not_found()
    return in_session(org, request, lambda session: _answer_part(org, session, request))


def in_session(org: Org, request: Incoming, make: Callable[[Session], Answer]) -> Answer:
    """The answer to who may call, with the usage so far; a call costs one of the day's."""
    try:
        session = _authenticate(org, request)
    except Refused as refusal:
        return refusal.answer
    answer = _check_rights(org, session) or make(session)
    return answer.of(session.user.username).with_header("Sforce-Limit-Info", _usage(org, session))


def _with_true_method(request: Incoming) -> Incoming:
    """A POST may say that it means another method, for callers whose library knows no PATCH.

    Source: REST API Developer Guide, "Update a Record", `_HttpMethod`.
    """
    meant = request.query.get("_HttpMethod", "").upper()
    return replace(request, method=meant) if request.method == "POST" and meant else request


def _version_and_rest(org: Org, path: str) -> tuple[int, str] | None:
    """The API version of a path and what follows it; None when there is no such version."""
    match = _VERSIONED.fullmatch(path)
    if not match or not org.oldest_version <= int(match[1]) <= org.newest_version:
        return None
    return int(match[1]), match[2] or ""


def _authenticate(org: Org, request: Incoming) -> Session:
    token = bearer.token_of(request)
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
    session.touch()
    return session


def _check_rights(org: Org, session: Session) -> Answer | None:
    if not session.user.api_enabled:
        return rest_error(403, "API_CURRENTLY_DISABLED", "API is disabled for this User")
    if not org.count_api_call(session.app):
        return rest_error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    return None


def _answer_part(org: Org, session: Session, request: Incoming) -> Answer:
    """Answer a call, or a part of a composite one, of a session that may call."""
    if given := org.answers.for_request(request):
        return given
    if (found := _version_and_rest(org, request.raw_path)) is None:
        return not_found()
    version, rest = found
    company.show_users(org.store, list(org.users.values()))
    try:
        return _Call(org, request, session, version).answer(rest)
    except Refused as refusal:
        return refusal.answer
    except soql.SoqlError as exc:
        return rest_error(400, exc.code, exc.message)
    except RecursionError:
        return rest_error(400, "JSON_PARSER_ERROR", "The body is nested too deeply")


def _usage(org: Org, session: Session) -> str:
    usage, app = f"api-usage={org.api_used}/{org.api_limit}", session.app
    if app.api_limit is None:
        return usage
    return f"{usage}; per-app-api-usage={app.api_used}/{app.api_limit}(appName={app.name})"


def _only(request: Incoming, **verbs: Callable[[], Answer]) -> Answer:
    """Call what belongs to the request's method, or say which methods there are."""
    method = "GET" if request.method == "HEAD" else request.method
    if method not in verbs:
        allowed = ",".join(["HEAD", *verbs] if "GET" in verbs else verbs)
        message = f"HTTP Method '{request.method}' not allowed. Allowed are {allowed}"
        return rest_error(405, "METHOD_NOT_ALLOWED", message).with_header("Allow", allowed)
    return verbs[method]()


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
    version: int

    @property
    def schema(self) -> Schema:
        """What the caller may see."""
        return schema.visible(self.session.user.hidden)

    @property
    def base_path(self) -> str:
        return f"/services/data/v{self.version}.0"

    def answer(self, rest: str) -> Answer:
        match [unquote(part) for part in rest.split("/") if part]:
            case []:
                return self._get(self._resources)
            case ["limits"]:
                return self._limits()
            case ["query" | "queryAll" as kind]:
                return self._only(GET=lambda: self._query(with_deleted=kind == "queryAll"))
            case ["query" | "queryAll", locator]:
                return self._only(GET=lambda: self._next_page(locator))
            case ["sobjects"]:
                return self._only(GET=lambda: self._unless_known(self._global_describe))
            case ["sobjects", name, *further]:
                sobject = self.schema.find(name)
                return self._sobject(sobject, further) if sobject else self._no_sobject(name)
            case ["composite", *further]:
                return self._composite(further)
            case ["jobs", *further]:
                return self._bulk(further)
            case [name, *_] if name != "identity" and name in (*_RESOURCES, *_RESOURCES_LIST_LEAVES_OUT):
                return resource_unknown_here(self.request.path)
        return not_found()

    def _only(self, **verbs: Callable[[], Answer]) -> Answer:
        request = self.request
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if request.body and request.method in verbs.keys() - {"GET"} and media_type not in _READ:
            message = f"MediaType of '{media_type}' is not supported by this resource"
            if "xml" in media_type:
                message = unknown_here("XML of the REST API", f"org.answer_path({request.path!r}, …)")
            return rest_error(415, "UNSUPPORTED_MEDIA_TYPE", message)
        return _only(request, **verbs)

    def _get(self, make: Callable[[], Any]) -> Answer:
        return self._only(GET=lambda: json_answer(make()))

    def _resources(self) -> dict[str, str]:
        paths = {name: f"{self.base_path}/{name}" for name in _RESOURCES}
        return {**paths, "identity": f"{self.org.url}/id/{self.org.id}/{self.session.user.id}"}

    def _limits(self) -> Answer:
        if self.org.limits_refused:
            return rest_error(403, "API_DISABLED_FOR_ORG", "limits resource is not enabled")
        return self._get(self._limits_body)

    def _limits_body(self) -> dict[str, Any]:
        org = self.org
        flat: dict[str, Any] = {name: {"Max": value, "Remaining": value} for name, value in _LIMITS.items()}
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
        if "explain" in self.request.query:
            return resource_unknown_here(f"{self.request.path}?explain")
        text = self.request.query.get("q", "")
        if self.request.query.get("columns", "").lower() == "true":
            return json_answer(self._columns(text))
        if (given := self.org.answers.rows_for(text, self.base_path)) is not None:
            return self._first_page(given)
        hidden = self.session.user.hidden
        result = self.org.run_query(text, base_path=self.base_path, with_deleted=with_deleted, hidden=hidden)
        if not result.records:
            return json_answer({"totalSize": result.total_size, "done": True, "records": []})
        return self._first_page(result.records)

    def _columns(self, text: str) -> dict[str, Any]:
        """What the Salesforce CLI asks for beside the records."""
        try:
            return soql.columns(self.org.store, text, hidden=self.session.user.hidden)
        except soql.SoqlError:
            given = self.org.answers.rows_for(text, self.base_path)
            if given is None:
                raise
            return soql.columns_of_rows(given)

    def _first_page(self, rows: Sequence[dict[str, Any]]) -> Answer:
        size = self._page_size()
        return json_answer(self.org.cursors.first_page(rows, size, self._cursor_owner, self.base_path))

    def _next_page(self, locator: str) -> Answer:
        page = self.org.cursors.page(locator, self._cursor_owner, self.base_path)
        if page is None:
            return rest_error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return json_answer(page)

    @property
    def _cursor_owner(self) -> str:
        return self.session.user.id if self.org.cursor_owner == "user" else self.session.token

    def _page_size(self) -> int:
        match = re.search(r"batchSize=(\d{1,9})", self.request.headers.get("Sforce-Query-Options", ""))
        return min(max(int(match[1]), MIN_PAGE_SIZE), PAGE_SIZE) if match else PAGE_SIZE

    # sObjects and records

    def _unless_known(self, describe: Callable[[], Any]) -> Answer:
        """What the caller may have kept from an earlier call is not sent again.

        Source: REST API Developer Guide, "Get Object Metadata Changes".
        """
        answer = Answer(304) if self._is_known() else json_answer(describe())
        return answer.with_header("Last-Modified", format_datetime(DESCRIBED_SINCE, usegmt=True))

    def _is_known(self) -> bool:
        if self.session.user.hidden:
            return False  # what is hidden may have changed since
        try:
            known = parsedate_to_datetime(self.request.headers.get("If-Modified-Since", ""))
        except ValueError:
            return False
        return known.replace(tzinfo=known.tzinfo or UTC) >= DESCRIBED_SINCE

    def _global_describe(self) -> dict[str, Any]:
        described = sorted(self.schema.sobjects, key=lambda sobject: sobject.name)
        entries = [sobject.describe_short(self.base_path) for sobject in described]
        return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": entries}

    def _no_sobject(self, name: str) -> Answer:
        is_elsewhere = standard.sobject(name) and not self.schema.hides(name)
        return resource_unknown_here(self.request.path) if is_elsewhere else not_found()

    def _sobject(self, sobject: SObject, further: list[str]) -> Answer:
        org, user, base, body = self.org, self.session.user, self.base_path, self.request.body
        wanted = self.request.query.get("fields")
        match further:
            case []:
                basics = {"objectDescribe": sobject.describe_short(base), "recentItems": []}
                return self._only(
                    GET=lambda: json_answer(basics),
                    POST=lambda: records.create(org, sobject, body, user, base),
                )
            case ["describe"]:
                return self._only(GET=lambda: self._unless_known(lambda: sobject.describe(base, self.schema)))
            case ["describe", "layouts" | "approvalLayouts" | "compactLayouts", *_]:
                return resource_unknown_here(self.request.path)
            case [name, *_] if name.lower() in _OF_AN_SOBJECT:
                return resource_unknown_here(self.request.path)
            case [record_id]:
                return self._only(
                    GET=lambda: json_answer(records.read(org, sobject, record_id, wanted, base)),
                    PATCH=lambda: records.update(org, sobject, record_id, body, user),
                    DELETE=lambda: records.delete(org, sobject, record_id),
                )
            case [record_id, _] if ids.is_well_formed(record_id) and record_id.startswith(sobject.prefix):
                return resource_unknown_here(self.request.path)  # related records, or a blob
            case [field_name, value]:
                return self._only(
                    GET=lambda: records.read_by_external_id(org, sobject, field_name, value, wanted, base),
                    PATCH=lambda: self._upsert(sobject, field_name, value),
                    DELETE=lambda: records.delete_by_external_id(org, sobject, field_name, value, base),
                )
        return not_found()

    def _upsert(self, sobject: SObject, field_name: str, value: str) -> Answer:
        return records.upsert(
            self.org,
            sobject,
            field_name,
            value,
            self.request.body,
            self.session.user,
            self.base_path,
            says_created=self.version >= UPSERT_SAYS_CREATED,
            update_only=self.request.query.get("updateOnly", "").lower() == "true",
        )

    # Several in one

    def _composite(self, further: list[str]) -> Answer:
        composite = Composite(
            self.org.store,
            self.schema,
            self.request,
            self.base_path,
            lambda part: _answer_part(self.org, self.session, part),
        )
        match further:
            case []:
                return self._only(POST=composite.run)
            case ["batch"]:
                return self._only(POST=composite.run_batch)
            case ["sobjects"]:
                return self._only(POST=composite.create, PATCH=composite.update, DELETE=composite.delete)
            case ["sobjects", name]:
                return self._of_sobject(name, GET=composite.read_listed, POST=composite.read_asked)
            case ["sobjects", name, field]:
                return self._of_sobject(name, PATCH=lambda sobject: composite.upsert(sobject, field))
            case ["tree", name]:
                return self._of_sobject(name, POST=composite.plant)
            case ["graph", *_]:
                return resource_unknown_here(self.request.path)
        return not_found()

    def _bulk(self, further: list[str]) -> Answer:
        bulk = Bulk2(self.org, self.request, self.session.user, self.schema, self.version)
        verbs = bulk.verbs(further)
        return _only(self.request, **verbs) if verbs else not_found()

    def _of_sobject(self, name: str, **verbs: Callable[[SObject], Answer]) -> Answer:
        if not (sobject := self.schema.find(name)):
            return self._no_sobject(name)
        return self._only(**{method: partial(verb, sobject) for method, verb in verbs.items()})

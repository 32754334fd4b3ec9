"""Questions to the org: whose token this is, one record, a SOQL query. Each is a POST that renders its answer."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render

from ..access import Deed
from ..forms import NextPageForm, ObjectForm, QueryForm, RecordForm
from ..models import ConnectedApp
from ..presentation import problems, values
from ..presentation.problems import YOURS
from ..salesforce import http, soql
from ..salesforce.errors import ApiError, SalesforceError
from ..services import lookups, queries
from ..services.describes import Describes
from .detail import page_context
from .gate import for_connection
from .streams import streamed


@for_connection(Deed.ASK_IDENTITY)
def identity(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """Whose token it is, and in which org."""
    context = page_context(request, connection, "identity")
    status = 200
    if request.method == "POST":
        try:
            with _cost(context):
                found = lookups.identity(connection, actor=request.user)
            context |= {"identity": found, "identity_rows": values.compared(found, connection)}
        except SalesforceError as error:
            status = _tell(context, error)
    return render(request, "sf_integration/identity.html", context, status=status)


# ---- Records --------------------------------------------------------------------------------------------------------


@for_connection(Deed.LOOK_UP)
def record(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """A record, or several to choose from. By the buttons beside it: the org's objects, or an object's fields."""
    context = page_context(request, connection, "record")
    status = 200
    if request.method == "POST":
        answer = {"objects": _list_objects, "fields": _list_fields}.get(request.POST.get("do", ""), _look_up)
        try:
            with _cost(context):
                status = answer(request, connection, context)
        except SalesforceError as error:
            status = _tell(context, error)
    recent = lookups.recent(connection, request.user)
    context.setdefault("form", RecordForm(initial={"sobject": recent[0].sobject if recent else ""}))
    context |= {"recent": recent, **_pickers(connection, context["form"])}
    return render(request, "sf_integration/record.html", context, status=status)


def _look_up(request: HttpRequest, connection: ConnectedApp, context: dict[str, Any]) -> int:
    form = context["form"] = RecordForm(request.POST)
    if not form.is_valid():
        return YOURS
    found = lookups.look_up(connection, form.wanted(), actor=request.user)
    context["form"] = form.now_of(found.described.name)
    if isinstance(found, lookups.Hits):
        context["hits"] = found
    else:
        context |= {"found": found, "shown": values.shown_record(found)}
    return 200


def _list_objects(request: HttpRequest, connection: ConnectedApp, context: dict[str, Any]) -> int:
    context["form"] = RecordForm.so_far(request.POST)
    context["listed"] = len(Describes(connection).sobjects())
    return 200


def _list_fields(request: HttpRequest, connection: ConnectedApp, context: dict[str, Any]) -> int:
    asked = ObjectForm(request.POST)
    form = context["form"] = RecordForm.so_far(request.POST)
    if not asked.is_valid():
        context["form"] = RecordForm(request.POST)
        context["form"].add_error("sobject", asked.errors["sobject"])
        return YOURS
    described = lookups.describe(connection, asked.cleaned_data["sobject"])
    form.initial["sobject"] = described.name
    context["fields_open"] = True
    return 200


def _pickers(connection: ConnectedApp, form: RecordForm) -> dict[str, Any]:
    """What is known of the org's objects and fields without asking it."""
    known = Describes(connection)
    described = known.known_sobject(form["sobject"].value() or "")
    return {
        "objects": known.known_sobjects(),
        "described": described,
        "field_groups": values.field_groups(described, form["fields"].value() or ()) if described else [],
    }


# ---- SOQL -----------------------------------------------------------------------------------------------------------


@for_connection(Deed.RUN_SOQL)
def query(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """SOQL; it can only read. One page of up to 2,000 rows at a time."""
    form = QueryForm(request.POST if request.method == "POST" else None)
    context = _query_context(request, connection, form)
    status = _run_query(request, connection, context) if form.is_bound else 200
    return render(request, "sf_integration/query.html", context, status=status)


def _query_context(request: HttpRequest, connection: ConnectedApp, form: QueryForm) -> dict[str, Any]:
    most_rows = values.number(queries.MOST_ROWS)
    return page_context(request, connection, "query") | {"form": form, "most_rows": most_rows}


def _run_query(request: HttpRequest, connection: ConnectedApp, context: dict[str, Any]) -> int:
    form: QueryForm = context["form"]
    next_page = NextPageForm(request.POST)
    if not form.is_valid() or not next_page.is_valid():
        return YOURS
    path, before = next_page.cleaned_data["next_path"], next_page.cleaned_data["before"] or 0
    statement = form.cleaned_data["soql"]
    try:
        with _cost(context):
            answer = queries.run(
                connection, statement, sobjects=form.sobjects(), actor=request.user, path=path
            )
    except SalesforceError as error:
        return _tell(context, error, statement)
    context |= {
        "table": values.table(answer),
        "first_row": before + 1,
        "last_row": before + len(answer.page),
        "first_row_shown": values.number(before + 1),
        "last_row_shown": values.number(before + len(answer.page)),
        "next_path": answer.page.next_path,
    }
    return 200


@for_connection(Deed.DOWNLOAD_ROWS)
def rows(request: HttpRequest, connection: ConnectedApp, kind: str) -> HttpResponseBase:
    """All rows of a query as a file that is written as they come. What the org refuses at once is told on the query's page."""
    if kind not in queries.KINDS:
        raise Http404("Files are made as csv and as json.")
    if request.method != "POST":
        return redirect("sf_integration:query", connection.name)
    form = QueryForm(request.POST)
    context = _query_context(request, connection, form)
    status = YOURS
    if form.is_valid():
        statement = form.cleaned_data["soql"]
        try:
            found = queries.download(connection, statement, sobjects=form.sobjects(), actor=request.user)
        except SalesforceError as error:
            status = _tell(context, error, statement)
        else:
            return _file(request, found, kind)
    return render(request, "sf_integration/query.html", context, status=status)


def _file(request: HttpRequest, found: queries.Download, kind: str) -> HttpResponseBase:
    content_type, written = queries.KINDS[kind]
    parts = written(found)
    headers = {
        "Content-Disposition": f'attachment; filename="{found.name}.{kind}"',
        "X-Total-Rows": str(found.total),
        "X-Most-Rows": str(queries.MOST_ROWS),
    }
    return streamed(request, parts, content_type=content_type, headers=headers)


# ---- What they share ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    seconds: float
    calls: int
    """Of the org's API, sign-ins not counted."""


@contextmanager
def _cost(context: dict[str, Any]) -> Iterator[None]:
    """What a question took, told with its answer."""
    began = time.monotonic()
    with http.recorded() as calls:
        yield
    context["cost"] = Cost(time.monotonic() - began, sum(call.method == "GET" for call in calls))


@dataclass(frozen=True)
class Marked:
    """A query with the place that Salesforce found wrong."""

    row: int
    column: int
    before: str
    wrong: str
    after: str
    offset: int
    """Of the place, in characters from the beginning."""

    @classmethod
    def of(cls, statement: str, mistake: soql.Mistake) -> Marked | None:
        """None when there is no such place in the query."""
        lines = statement.split("\n")
        if mistake.row > len(lines) or mistake.column > len(lines[mistake.row - 1]) + 1:
            return None
        start = sum(len(line) + 1 for line in lines[: mistake.row - 1]) + mistake.column - 1
        word = re.compile(r"\w+|.|\Z", re.DOTALL).match(statement, start)
        end = word.end() if word else start
        return cls(
            mistake.row, mistake.column, statement[:start], statement[start:end], statement[end:], start
        )


def _tell(context: dict[str, Any], error: SalesforceError, statement: str = "") -> int:
    problem = problems.of_error(error)
    mistake = soql.mistake(error.message) if isinstance(error, ApiError) and statement else None
    if mistake and (marked := Marked.of(statement, mistake)):
        context["marked"] = marked
        problem = replace(problem, words=mistake.message)
    context["problem"] = problem
    return problem.status

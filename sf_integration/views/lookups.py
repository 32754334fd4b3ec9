"""Questions to the org: whose token this is, one record, a SOQL query. Each is a POST that renders its answer."""

from __future__ import annotations

from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .. import api, audit
from ..access import Act
from ..forms import NextPageForm, QueryForm, RecordForm
from ..models import ConnectedApp
from ..salesforce.errors import SalesforceError
from . import problems, values
from .detail import page_context
from .gate import for_connection
from .problems import YOURS


@for_connection(Act.RUN_CHECKS)
def identity(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """Whose token it is, and in which org."""
    context = page_context(request, connection, "identity")
    status = 200
    if request.method == "POST":
        try:
            found = api.get_client(connection.name).identity()
            context |= {"identity": found, "identity_rows": values.compared(found, connection)}
            audit.record("asked identity", connection, actor=request.user)
        except SalesforceError as error:
            status = _tell(context, error)
    return render(request, "sf_integration/identity.html", context, status=status)


@for_connection(Act.LOOK_UP_RECORDS)
def record(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    form = RecordForm(request.POST if request.method == "POST" else None, initial={"sobject": "Account"})
    context = page_context(request, connection, "record") | {"form": form}
    if not form.is_bound:
        return render(request, "sf_integration/record.html", context)
    return render(
        request, "sf_integration/record.html", context, status=_look_up_record(request, connection, context)
    )


def _look_up_record(request: HttpRequest, connection: ConnectedApp, context: dict[str, Any]) -> int:
    form: Form = context["form"]
    if not form.is_valid():
        return YOURS
    asked = form.cleaned_data
    try:
        client = api.get_client(connection.name)
        found = client.record(asked["sobject"], asked["record_id"], fields=asked["fields"])
    except SalesforceError as error:
        return _tell(context, error)
    audit.record("looked up", connection, actor=request.user, fields=[asked["sobject"]])
    context |= {
        "record": found,
        "record_id": asked["record_id"],
        "parts": values.parts_of(found, keep_empty=True),
    }
    return 200


@for_connection(Act.LOOK_UP_RECORDS)
def query(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """SOQL; it can only read. One page of up to 2,000 rows at a time."""
    form = QueryForm(request.POST if request.method == "POST" else None)
    context = page_context(request, connection, "query") | {"form": form}
    if not form.is_bound:
        return render(request, "sf_integration/query.html", context)
    return render(
        request, "sf_integration/query.html", context, status=_run_query(request, connection, context)
    )


def _run_query(request: HttpRequest, connection: ConnectedApp, context: dict[str, Any]) -> int:
    form: QueryForm = context["form"]
    next_page = NextPageForm(request.POST)
    if not form.is_valid() or not next_page.is_valid():
        return YOURS
    path, before = next_page.cleaned_data["next_path"], next_page.cleaned_data["before"] or 0
    try:
        client = api.get_client(connection.name)
        found = client.query_page(path) if path else client.query(form.cleaned_data["soql"])
    except SalesforceError as error:
        return _tell(context, error)
    audit.record("looked up", connection, actor=request.user, fields=form.sobjects())
    context |= {
        "table": values.table(found),
        "first_row": before + 1,
        "last_row": before + len(found),
        "next_path": found.next_path,
    }
    return 200


def _tell(context: dict[str, Any], error: SalesforceError) -> int:
    problem = problems.of_error(error)
    context["problem"] = problem
    return problem.status

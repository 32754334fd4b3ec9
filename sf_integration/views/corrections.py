"""The buttons that put right what a check has found, and the search for the fault."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from ..access import Deed
from ..models import ConnectedApp
from ..presentation import problems
from ..presentation.problems import YOURS
from ..presentation.telling import tell
from ..salesforce.errors import SalesforceError
from ..services import corrections, fault_finder
from ..services.corrections import OtherOrg
from ..services.fault_finder import Address
from ..services.operations import Outcome
from .detail import page_context
from .gate import for_connection


@for_connection(Deed.ACCEPT_ORG)
def accept_org(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """Asks by GET, showing both orgs; does it by POST."""
    other = corrections.other_org(connection)
    if request.method == "POST":
        found, is_meant = request.POST.get("found", ""), request.POST.get("is_meant") == "yes"
        if other and other.found == found and not (other.was_refreshed or is_meant):
            return _ask(request, connection, other, _("Tick the box if this is the org you mean."))
        outcome = corrections.accept_org(connection, actor=request.user, found=found, is_meant=is_meant)
        return _told(request, connection, outcome)
    if other is None:
        messages.info(
            request,
            _("Connection %(name)s: there is no other org to accept. A check would find one.")
            % {"name": connection.name},
        )
        return redirect(connection)
    return _ask(request, connection, other)


def _ask(request: HttpRequest, connection: ConnectedApp, other: OtherOrg, error: str = "") -> HttpResponse:
    context = page_context(request, connection, "accept_org") | {"other": other, "error": error}
    return render(request, "sf_integration/accept_org.html", context, status=YOURS if error else 200)


@for_connection(Deed.CORRECT)
def use_own_login_url(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    if request.method != "POST":
        return redirect(connection)
    chosen = request.POST.get("login_url", "")
    outcome = corrections.use_own_login_url(connection, actor=request.user, login_url=chosen)
    return _told(request, connection, outcome)


@transaction.non_atomic_requests
@for_connection(Deed.FIND_FAULT)
def find_fault(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """Signs in with one pair after the other: up to 25 seconds."""
    if request.method != "POST":
        return redirect(connection)
    context = page_context(request, connection, "find_fault")
    try:
        context["finding"] = fault_finder.find(connection, actor=request.user)
    except SalesforceError as error:
        context["problem"] = problems.of_error(error)
        return render(request, "sf_integration/fault.html", context, status=context["problem"].status)
    return render(request, "sf_integration/fault.html", context)


@for_connection(Deed.CORRECT)
def save_found(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """Take the pair that worked."""
    if request.method != "POST":
        return redirect(connection)
    address = Address(request.POST.get("login_url", ""), request.POST.get("audience", ""))
    return _told(request, connection, fault_finder.save(connection, address, actor=request.user))


def _told(request: HttpRequest, connection: ConnectedApp, outcome: Outcome) -> HttpResponse:
    tell(request, outcome)
    return redirect(connection)

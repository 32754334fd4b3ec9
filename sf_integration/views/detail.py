"""One connection: its stored health, and the buttons that do something to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from .. import access, health
from ..access import Act
from ..models import ConnectedApp, ConnectionCheck, normal_username
from ..services import operations, rotation
from ..services.operations import Outcome
from . import facts, problems
from .gate import View, for_connection
from .offers import Offers

HISTORY = 20


@for_connection(Act.VIEW_HEALTH)
def detail(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    now = timezone.now()
    history = list(connection.checks.all()[:HISTORY])
    shown = _shown_check(connection, history, request.GET.get("check"))
    context = page_context(request, connection, "detail")
    token_rows = facts.token_rows(connection)
    advice = problems.of_advice(connection.session_advice(token_rows), may_manage=context["may_manage"])
    context |= {
        "problems": problems.things_to_do(connection, now, may_run=context["may_run"])
        or [each for each in (advice,) if each],
        "check": shown,
        "steps": facts.ladder(shown) if shown else [],
        "trace": health.trace_text(connection, shown) if shown and shown.trace else "",
        "trace_url": reverse("sf_integration:trace", args=[connection.name, shown.pk]) if shown else "",
        "history": history,
        "tokens": facts.tokens_of(token_rows, now),
        "sign_in_limit": facts.SIGN_IN_LIMIT,
        "usage": facts.api_usage(connection),
        "checks_per_day": health.CALLS_PER_DAY,
        "scheduler": facts.scheduler_note(now),
        "rotation": rotation.stand(connection, now),
        "offers": Offers.of(connection, may_run=context["may_run"], may_manage=context["may_manage"]),
    }
    return render(request, "sf_integration/detail.html", context)


@for_connection(Act.VIEW_HEALTH)
def trace(request: HttpRequest, connection: ConnectedApp, check_id: UUID) -> HttpResponse:
    """The sign-in of a check, to be attached to a ticket. It tells what the connection's page tells, and no secret."""
    found = connection.checks.filter(pk=check_id).first()
    if found is None or not found.trace:
        raise Http404("This check is no longer kept, or it made no sign-in.")
    return HttpResponse(
        health.trace_text(connection, found),
        content_type="text/plain; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{connection.name}-{found.at:%Y%m%dT%H%M%SZ}.txt"'
        },
    )


@for_connection(Act.VIEW_HEALTH)
def certificate(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """The public certificate, to be uploaded to the app in Salesforce."""
    if not connection.signing_key.certificate:
        raise Http404("The certificate of this signing key is not known here.")
    return HttpResponse(
        connection.signing_key.certificate,
        content_type="application/x-x509-ca-cert",
        headers={"Content-Disposition": f'attachment; filename="{connection.name}.crt"'},
    )


def _button(act: Callable[..., Outcome], needs: Act = Act.RUN_CHECKS) -> View:
    """A view that does one thing on POST and leads back to the connection. Whoever comes by GET, as after signing in
    anew, is led there too and nothing is done."""

    @for_connection(needs)
    def press(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
        if request.method == "POST":
            _tell(request, act(connection, actor=request.user))
        return redirect(connection)

    return press


check = _button(operations.check)
pause = _button(operations.pause)
resume = _button(operations.resume)
shorten_session = _button(operations.shorten_session, Act.MANAGE_KEYS)


@for_connection(Act.RUN_CHECKS)
def refresh(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """A button, too; with `username` for another user of the connection."""
    if request.method == "POST":
        _tell(request, operations.renew(connection, actor=request.user, username=_user(request, connection)))
    return redirect(connection)


@for_connection(Act.RUN_CHECKS)
def revoke(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """Asks by GET, does it by POST. Whoever may pause the connection may do this, which disturbs its callers less."""
    username = _user(request, connection)
    if request.method == "POST":
        _tell(request, operations.revoke(connection, actor=request.user, username=username))
        return redirect(connection)
    context = page_context(request, connection, "revoke") | {"username": username}
    return render(request, "sf_integration/revoke.html", context)


def _user(request: HttpRequest, connection: ConnectedApp) -> str | None:
    """Whose token is meant: None for the connection's own user's. 404 for users without one."""
    named = (request.POST if request.method == "POST" else request.GET).get("username", "")
    if not named or normal_username(named) == normal_username(connection.username):
        return None
    if not connection.tokens.filter(username=normal_username(named)).exists():
        raise Http404("The connection has no token of this user.")
    return named


def _tell(request: HttpRequest, outcome: Outcome) -> None:
    messages.add_message(request, messages.SUCCESS if outcome.done else messages.ERROR, outcome.sentence)


def page_context(request: HttpRequest, connection: ConnectedApp, page: str) -> dict[str, Any]:
    """What the head of every page of one connection needs."""
    return {
        "connection": connection,
        "summary": facts.Summary.of(connection, timezone.now()),
        "page": page,
        "may_run": access.may(request.user, Act.RUN_CHECKS),
        "may_look_up": access.may(request.user, Act.LOOK_UP_RECORDS),
        "may_manage": access.may(request.user, Act.MANAGE_KEYS),
    }


def _shown_check(
    connection: ConnectedApp, history: list[ConnectionCheck], wanted: str | None
) -> ConnectionCheck | None:
    """The one asked for; else the last one that failed just now or took the whole ladder: a light one tells little."""
    if wanted:
        try:
            return next(check for check in history if check.pk == UUID(wanted))
        except (ValueError, StopIteration) as exc:
            raise Http404("This check is no longer kept.") from exc
    if not history or not history[0].healthy or not history[0].light:
        return history[0] if history else None
    return connection.checks.filter(light=False).first() or history[0]

"""One connection: its stored health, and the buttons that do something to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from .. import access, health
from ..access import Deed
from ..models import ConnectedApp, ConnectionCheck, normal_username
from ..presentation import callers, certificates, charts, facts, org, problems, timeline, vitals
from ..presentation.offers import Offers
from ..presentation.telling import tell
from ..services import operations, rotation
from ..services.operations import Outcome
from .gate import View, for_connection

LATELY = 8
"""How many of the last happenings the page shows."""


@for_connection(Deed.SEE)
def detail(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    now = timezone.now()
    context = page_context(request, connection, "detail")
    token_rows = facts.token_rows(connection)
    tokens = facts.tokens_of(token_rows, now)
    own = next((token for token in tokens if token.is_own), None)
    advice = problems.of_advice(connection.session_advice(token_rows), may_manage=context["may_manage"])
    drawn = charts.of_connection(connection, now)
    context |= _shown_check(connection, request.GET.get("check")) | {
        "problems": problems.things_to_do(connection, now, may_run=context["may_run"])
        or [each for each in (advice,) if each],
        "vitals": vitals.of_connection(connection, checks=drawn[0], token=own, now=now),
        "charts": drawn,
        "chart": next((each for each in drawn if each.period.key == request.GET.get("period")), drawn[0]),
        "lately": timeline.lately(connection, most=LATELY),
        "compared": org.compared(connection, scopes=own.scopes if own else ""),
        "tokens": tokens,
        "callers": callers.of_connection(connection, request.user, now),
        "sign_in_limit": facts.SIGN_IN_LIMIT,
        "checks_per_day": health.CALLS_PER_DAY,
        "scheduler": facts.scheduler_note(now),
        "rotation": rotation.stand(connection, now),
        "offers": Offers.of(connection, may_run=context["may_run"], may_manage=context["may_manage"]),
    }
    return render(request, "sf_integration/detail.html", context)


@for_connection(Deed.SEE)
def history(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """The line of time, at the place that the address asks for; at its end when that is none."""
    question = timeline.Question(request.GET)
    asked = question.cleaned_data if question.is_valid() else {}
    context = page_context(request, connection, "timeline") | {
        "question": question,
        "asked": asked.get("at"),
        "kind": asked.get("kind", ""),
        "kinds": timeline.Kind.choices,
        "timeline": timeline.page_of(
            connection, question.window, kind=asked.get("kind", ""), asked=asked.get("at")
        ),
        "is_newest": not question.window.before and not question.window.after,
    }
    return render(request, "sf_integration/timeline.html", context)


@for_connection(Deed.SEE)
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


@for_connection(Deed.SEE)
def certificate(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """The public certificate, to be uploaded to the app in Salesforce."""
    return certificates.download(connection.signing_key.certificate, f"{connection.name}.crt")


def _button(act: Callable[..., Outcome], deed: Deed) -> View:
    """A view that does one thing on POST and leads back to the connection. Whoever comes by GET, as after signing in
    anew, is led there too and nothing is done."""

    @for_connection(deed)
    def press(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
        if request.method == "POST":
            tell(request, act(connection, actor=request.user))
        return redirect(connection)

    return press


check = _button(operations.check, Deed.CHECK)
pause = _button(operations.pause, Deed.PAUSE)
resume = _button(operations.resume, Deed.PAUSE)
shorten_session = _button(operations.shorten_session, Deed.CORRECT)


@for_connection(Deed.RENEW)
def refresh(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """A button, too; with `username` for another user of the connection."""
    if request.method == "POST":
        tell(request, operations.renew(connection, actor=request.user, username=_user(request, connection)))
    return redirect(connection)


@for_connection(Deed.REVOKE)
def revoke(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """Asks by GET, does it by POST. Whoever may pause the connection may do this, which disturbs its callers less."""
    username = _user(request, connection)
    if request.method == "POST":
        tell(request, operations.revoke(connection, actor=request.user, username=username))
        return redirect(connection)
    context = page_context(request, connection, "revoke") | {"username": username}
    return render(request, "sf_integration/revoke.html", context)


def _user(request: HttpRequest, connection: ConnectedApp) -> str | None:
    """Whose token is meant: None for the connection's own user's. 404 for users without one."""
    named = (request.POST if request.method == "POST" else request.GET).get("username", "")
    if not named or normal_username(named) == normal_username(connection.username):
        return None
    if "\0" in named or not connection.tokens.filter(username=normal_username(named)).exists():
        raise Http404("The connection has no token of this user.")
    return named


def page_context(request: HttpRequest, connection: ConnectedApp, page: str) -> dict[str, Any]:
    """What the head of every page of one connection needs."""
    return {
        "connection": connection,
        "summary": facts.Summary.of(connection, timezone.now()),
        "page": page,
        "may_run": access.may(request.user, Deed.CHECK),
        "may_look_up": access.may(request.user, Deed.LOOK_UP),
        "may_manage": access.may(request.user, Deed.CHANGE),
        "may_audit": access.may(request.user, Deed.SEE_AUDIT),
    }


def _shown_check(connection: ConnectedApp, wanted: str | None) -> dict[str, Any]:
    """Of the check that is shown: steps and trace."""
    shown = _wanted_check(connection, wanted) if wanted else _telling_check(connection)
    if shown is None:
        return {"check": None}
    return {
        "check": shown,
        "is_older": bool(wanted),
        "steps": facts.ladder(shown),
        "trace": health.trace_text(connection, shown) if shown.trace else "",
        "trace_url": reverse("sf_integration:trace", args=[connection.name, shown.pk]),
    }


def _wanted_check(connection: ConnectedApp, wanted: str) -> ConnectionCheck:
    try:
        return connection.checks.get(pk=UUID(wanted))
    except (ValueError, ConnectionCheck.DoesNotExist) as exc:
        raise Http404("This check is no longer kept.") from exc


def _telling_check(connection: ConnectedApp) -> ConnectionCheck | None:
    """The last one that failed just now or took the whole ladder: a light one tells little."""
    newest, newest_whole = (
        Subquery(rows.order_by("-at").values("pk")[:1])
        for rows in (connection.checks.all(), connection.checks.filter(light=False))
    )
    found = list(connection.checks.filter(Q(pk=newest) | Q(pk=newest_whole)).order_by("-at"))
    return found[-1] if found and found[0].healthy else next(iter(found), None)

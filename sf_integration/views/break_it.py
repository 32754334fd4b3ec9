"""The panel that breaks and heals the stand-in org a connection leads to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from ..access import Deed
from ..models import ConnectedApp
from ..presentation import problems
from ..presentation.problems import Shown
from ..salesforce.errors import SalesforceError, TransportError
from ..services import break_it, breakages
from ..services.stand_in import NoStandIn, StandIn
from .detail import page_context
from .gate import for_connection

PAGE = "sf_integration/break_it.html"

View = Callable[[HttpRequest, ConnectedApp], HttpResponse]


def _at_a_stand_in(view: View) -> View:
    """404 where the connection leads to no stand-in; a page that says so where it doesn't answer."""

    @wraps(view)
    def guarded(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
        try:
            return view(request, connection)
        except NoStandIn as exc:
            raise Http404(_("This connection leads to no stand-in org.")) from exc
        except SalesforceError as error:
            problem = _problem(error)
            # The page is well, even if the stand-in isn't: it goes on looking, and shows it when it is back.
            status = 200 if request.method == "GET" else problem.status
            context = page_context(request, connection, "break_it") | {"problem": problem}
            return render(request, PAGE, context, status=status)

    return guarded


def _problem(error: SalesforceError) -> Shown:
    if not isinstance(error, TransportError):
        return problems.of_error(error)
    return Shown.of(
        str(error),
        remedy=_(
            "Wait a few seconds if it was started by “make run”, which starts it again. If you started it yourself, by "
            "“manage.py fake_salesforce”, start it again at the same port."
        ),
    )


@for_connection(Deed.BREAK_STAND_IN)
@_at_a_stand_in
def panel(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """By GET what can be broken, and what is; by POST one thing is broken, checked, and shown on the connection's page.

    The GET asks the stand-in, which is no call to Salesforce: it runs on this machine, and others may have healed it.
    """
    if request.method == "POST":
        return _broken(request, connection)
    seen = StandIn.of(connection).look()
    broken = breakages.broken(connection, seen)
    context = page_context(request, connection, "break_it") | {
        "groups": breakages.catalogue(connection),
        "broken": broken,
        "broken_keys": [breakage.key for breakage in broken],
        "faults": seen.faults,
    }
    return render(request, PAGE, context)


def _broken(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    breakage = breakages.find(connection, request.POST.get("what", ""))
    if breakage is None:
        raise Http404(_("There is no such thing to break."))
    break_it.do(connection, breakage, actor=request.user)
    done = _("“%(title)s” is done. Here is what a check makes of it.") % {"title": breakage.title}
    back = reverse("sf_integration:break_it", args=[connection.name])
    messages.warning(request, format_html('{} <a href="{}">{}</a>', done, back, _("Heal it, or break more")))
    return redirect(connection)


@for_connection(Deed.BREAK_STAND_IN)
@_at_a_stand_in
def heal(request: HttpRequest, connection: ConnectedApp) -> HttpResponse:
    """Whoever comes by GET, as after signing in anew, is led to the panel and nothing is done."""
    if request.method == "POST":
        outcome = break_it.heal(connection, actor=request.user)
        level = messages.SUCCESS if outcome.done else messages.ERROR
        messages.add_message(request, level, f"{_('The stand-in org is healed.')} {outcome.sentence}")
    return redirect("sf_integration:break_it", connection.name)

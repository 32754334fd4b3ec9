"""What a check found, in the admin as on the connection's page."""

from __future__ import annotations

from django.template.loader import render_to_string
from django.utils import timezone

from .. import health
from ..models import ConnectedApp, ConnectionCheck
from ..presentation import facts, problems


def shown_ladder(check: ConnectionCheck) -> str:
    """The steps, and the trace of the sign-in."""
    outcomes = {step["status"] for step in check.steps}
    context = {
        "check": check,
        "is_well": outcomes == {health.OK},
        "has_failed": health.FAILED in outcomes,
        "steps": facts.ladder(check),
        "trace": health.trace_text(check.connection, check) if check.trace else "",
    }
    return render_to_string("sf_integration/partials/_steps.html", context)


def shown_problems(connection: ConnectedApp) -> str:
    """Who must act, what to do, where to click."""
    found = problems.things_to_do(connection, timezone.now(), may_run=True)
    return render_to_string("sf_integration/partials/_things_to_do.html", {"problems": found})

"""What came of an act, as the messages above the next page."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import ngettext

from ..services.operations import Outcome

_MOST = 10


def tell(request: HttpRequest, outcome: Outcome) -> None:
    """Without the advice: below the message, pages show the steps and what to do."""
    _add(request, outcome, outcome.sentence)


def tell_with_advice(request: HttpRequest, outcome: Outcome) -> None:
    _add(request, outcome, f"{outcome.sentence} {outcome.advice}".strip())


def tell_all(request: HttpRequest, outcomes: Iterable[Outcome]) -> None:
    """One by one as long as somebody would read them, what went wrong first; the others as a number."""
    told = sorted(outcomes, key=lambda outcome: outcome.done)
    for outcome in told[:_MOST]:
        tell_with_advice(request, outcome)
    if more := told[_MOST:]:
        bad = sum(not outcome.done for outcome in more)
        words = ngettext("And %(count)d more", "And %(count)d more", len(more)) % {"count": len(more)}
        failed = ngettext("%(count)d of them failed", "%(count)d of them failed", bad) % {"count": bad}
        messages.add_message(
            request,
            messages.ERROR if bad else messages.SUCCESS,
            f"{words}: {failed}." if bad else f"{words}.",
        )


def _add(request: HttpRequest, outcome: Outcome, words: str) -> None:
    messages.add_message(request, messages.SUCCESS if outcome.done else messages.ERROR, words)

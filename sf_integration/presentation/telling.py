"""What came of an act, or of many, as the messages above the next page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import ngettext

from ..services.operations import Outcome

LATEST_START_SECONDS = 15.0
"""No act of many begins later: with the last one's ten seconds that is 25, and a web server gives up at 30."""
_MOST = 10


def tell(request: HttpRequest, outcome: Outcome) -> None:
    """Without the advice: below the message, pages show the steps and what to do."""
    _add(request, outcome, outcome.sentence)


def tell_with_advice(request: HttpRequest, outcome: Outcome) -> None:
    _add(request, outcome, f"{outcome.sentence} {outcome.advice}".strip())


def do_all(request: HttpRequest, acts: Sequence[Callable[[], Outcome]]) -> None:
    """One act after the other, as long as the person waits. What came of them is told one by one as long as somebody would
    read it, what went wrong first; the others as a number."""
    ends = time.monotonic() + LATEST_START_SECONDS
    done: list[Outcome] = []
    for act in acts:
        if done and time.monotonic() > ends:
            break
        done.append(act())
    _tell_all(request, done)
    if left := len(acts) - len(done):
        words = ngettext(
            "%(count)d was left, as time was up: choose it again.",
            "%(count)d were left, as time was up: choose them again.",
            left,
        )
        messages.warning(request, words % {"count": left})


def _tell_all(request: HttpRequest, outcomes: Iterable[Outcome]) -> None:
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

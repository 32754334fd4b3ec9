"""“Test without saving”: the values of the form before the person, run through the whole check and stored nowhere."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from ..forms import ConnectedAppForm, NeverSaved
from ..presentation import facts
from ..salesforce import trace
from ..salesforce.errors import SalesforceError
from ..services import operations

BUTTON = "_try"
_SCRIPT = "fetch"


def is_asked_for(request: HttpRequest) -> bool:
    return BUTTON in request.POST


def form_to_try(request: HttpRequest, form: type[ConnectedAppForm]) -> type[ConnectedAppForm]:
    """`form`, never saved."""
    return type("TriedForm", (NeverSaved, form), {"page_stays": _by_script(request)})


def answer(request: HttpRequest, page: TemplateResponse) -> HttpResponse:
    """The form's page with what came of the test; to the script of the page that part alone."""
    form: ConnectedAppForm = page.context_data["adminform"].form  # type: ignore[index]
    shown = _try(request, form)
    if _by_script(request):
        return TemplateResponse(request, "sf_integration/partials/_trial.html", shown)
    page.context_data |= shown | {"was_tried": True}  # type: ignore[operator]
    return page


def _try(request: HttpRequest, form: ConnectedAppForm) -> dict[str, Any]:
    if form.errors:
        return {"mistakes": _mistakes(form)}
    try:
        connection, key = form.values_to_try()
    except SalesforceError as error:
        return {"mistakes": [str(error)]}
    trial = operations.try_values(connection, key, actor=request.user, fields=form.changed_names)
    return {
        "trial": trial,
        "steps": facts.shown_steps(step.as_json() for step in trial.steps),
        "trace": trace.as_text(trial.trace) if trial.trace else "",
        "key_is_gone": form.gives_key and not form.page_stays,
    }


def _mistakes(form: ConnectedAppForm) -> list[str]:
    return [
        f"{form.fields[name].label or name}: {text}" if name in form.fields else str(text)
        for name, texts in form.errors.items()
        for text in texts
    ]


def _by_script(request: HttpRequest) -> bool:
    return request.headers.get("X-Requested-With") == _SCRIPT

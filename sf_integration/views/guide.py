"""The set-up guide: from an address of the org to a connection that works, left and resumed at will."""

from __future__ import annotations

from functools import wraps
from typing import cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from .. import access, hosts
from ..access import Deed
from ..forms import read_login_url
from ..forms.guide import KeyForm, StartForm, ValuesForm, show_mistake
from ..models import ConnectedApp, ConnectionDraft
from ..presentation import certificates, facts, guide_rooms, problems
from ..presentation.problems import YOURS
from ..salesforce import setup_guide
from ..salesforce.errors import SalesforceError
from ..salesforce.setup_guide import KIND_WORDS, Kind, Step
from ..sensitive import takes_secret_inputs
from ..services import drafts
from ..services.operations import Outcome
from .gate import View, allowed, refusal

managing = allowed(Deed.MAKE)
reading = allowed(Deed.READ_GUIDE)


def for_draft(view: View) -> View:
    """For pages of one set-up: the view gets it in place of its id. To others it does not exist."""

    @managing
    @wraps(view)
    def gated(request: HttpRequest, draft_id: UUID) -> HttpResponseBase:
        found = access.visible_drafts(request.user).select_related("signing_key", "connection__signing_key")
        draft = found.filter(pk=draft_id).first()
        return _no_such_draft(request) if draft is None else view(request, draft)

    return gated


def _no_such_draft(request: HttpRequest) -> HttpResponse:
    problem = problems.Shown.of(
        _("This set-up is finished, discarded, or somebody else's."),
        remedy=_("Look in the list: a set-up that is finished has become a connection."),
    )
    context = {"title": _("No such set-up"), "problem": problem}
    return render(request, "sf_integration/refused.html", context, status=404)


def posted(view: View) -> View:
    """For what a button does. Whoever comes by GET, as after signing in anew, is led to the guide and nothing is done."""

    @wraps(view)
    def gated(request: HttpRequest, draft: ConnectionDraft) -> HttpResponseBase:
        if request.method == "POST":
            return view(request, draft)
        messages.warning(
            request, _("Nothing was saved just now: what was sent got lost on the way. Send it again.")
        )
        return redirect("sf_integration:draft", draft.pk)

    return gated


# ---- beginning ------------------------------------------------------------------------------------------------------


@managing
def new(request: HttpRequest) -> HttpResponse:
    """Begin a set-up, or go on with one."""
    form = StartForm(request.POST or None)
    if form.is_bound and form.is_valid():
        draft = drafts.begin(form.cleaned_data, actor=request.user)
        _tell_note(request, draft.login_url, form.note)
        return redirect("sf_integration:draft", draft.pk)
    context = {"form": form, "unfinished": access.visible_drafts(request.user).select_related("made_by")}
    return render(request, "sf_integration/guide_new.html", context, status=YOURS if form.is_bound else 200)


@require_POST
@managing
def login_url(request: HttpRequest) -> JsonResponse:
    """What is made of an address, while it is typed. Nobody is called."""
    try:
        address = read_login_url(request.POST.get("login_url", ""))
    except ValidationError as error:
        return JsonResponse({"error": error.message})
    problem = hosts.app_kind_problem(
        request.POST.get("app_kind", ""), login_url=address.login_url, audience=address.audience
    )
    if problem:
        return JsonResponse({"error": problem[1]})
    same = address.audience == address.login_url
    told = _("Login URL %(login_url)s, audience %(audience)s, %(environment)s.") % {
        "login_url": address.login_url,
        "audience": _("the same") if same else address.audience,
        "environment": address.environment or _("kind of org not known yet"),
    }
    return JsonResponse({"told": f"{told} {address.note}".rstrip()})


@for_draft
def change(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    """Correct what the set-up began with."""
    form = StartForm(request.POST or None, draft=draft)
    if form.is_bound and form.is_valid():
        drafts.change(draft, form.cleaned_data)
        _tell_note(request, draft.login_url, form.note)
        return redirect("sf_integration:draft", draft.pk)
    context = {"form": form, "draft": draft}
    return render(
        request, "sf_integration/guide_change.html", context, status=YOURS if form.is_bound else 200
    )


# ---- on the way -----------------------------------------------------------------------------------------------------


@for_draft
def draft(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    return _guide(request, draft)


@for_draft
@posted
def steps(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    """Keep which steps of a room are done."""
    room = next((room for room in setup_guide.ROOMS if room.id == request.POST.get("room")), None)
    if room is None:
        raise Http404(_("The guide has no such room."))
    drafts.set_steps(draft, {step.id for step in room.steps}, request.POST.getlist("done"))
    if request.accepts("text/html"):
        return redirect(_anchor(draft, room.id))
    shown = guide_rooms.rooms(cast("Kind", draft.app_kind), values={}, done=draft.steps_done)
    return JsonResponse(guide_rooms.progress(shown))


@takes_secret_inputs("private_key", "passphrase", "certificate")
@for_draft
@posted
def key(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    """Make a signing key, take one in, or choose a stored one."""
    form = KeyForm(request.POST, request.FILES, choices=access.visible_keys(request.user))
    if not form.is_valid():
        return _guide(request, draft, key_form=form)
    if form.cleaned_data["make_key"]:
        instead_of = request.POST.get("instead_of", "")
        drafts.make_key(draft, lambda: form.take_key(draft.name), instead_of=instead_of, actor=request.user)
    elif form.cleaned_data["stored"]:
        drafts.choose_key(draft, form.cleaned_data["stored"], actor=request.user)
    else:
        drafts.take_key(draft, lambda: form.take_key(draft.name), actor=request.user)
        if form.key_notes:
            messages.info(request, " ".join(form.key_notes))
    return redirect(_anchor(draft, "signing-key"))


@for_draft
def certificate(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    """The public certificate, to be uploaded to the app in Salesforce."""
    known = draft.signing_key.certificate if draft.signing_key else ""
    return certificates.download(known, f"{slugify(draft.name) or 'connection'}.crt")


# ---- the end --------------------------------------------------------------------------------------------------------


@for_draft
@posted
def check(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    """Keep the values; with “Save and check” make the connection of them and sign in."""
    later = "later" in request.POST
    form = ValuesForm(request.POST, draft=draft, needs_all=not later)
    if not form.is_valid():
        return _guide(request, draft, values_form=form)
    drafts.change(draft, form.cleaned_data)
    _tell_note(request, draft.login_url, form.note)
    if later:
        messages.success(request, _("Saved. The list of connections leads back here."))
        return redirect(_anchor(draft, "values"))
    try:
        outcome = drafts.save_and_check(draft, actor=request.user)
    except access.AccessDenied as error:
        return refusal(request, error, status=403)
    except SalesforceError as error:
        form.add_error(None, str(error))
        return _guide(request, draft, values_form=form)
    return _after_check(request, draft, outcome)


def _after_check(request: HttpRequest, draft: ConnectionDraft, outcome: Outcome) -> HttpResponse:
    if not outcome.done:
        if not access.may(request.user, Deed.CHECK):
            messages.info(request, outcome.sentence)
        return redirect(_anchor(draft, "outcome"))
    messages.success(request, _("%(sentence)s The set-up is finished.") % {"sentence": outcome.sentence})
    return redirect(cast("ConnectedApp", draft.connection))


@for_draft
def discard(request: HttpRequest, draft: ConnectionDraft) -> HttpResponse:
    """Asks by GET, does it by POST."""
    if request.method == "POST":
        drafts.discard(draft, actor=request.user, with_leftovers="leftovers" in request.POST)
        messages.success(request, _("The set-up of %(draft)s is discarded.") % {"draft": draft})
        return redirect("sf_integration:new")
    context = {"draft": draft, "left": drafts.leftovers(draft)}
    return render(request, "sf_integration/guide_discard.html", context)


# ---- to read --------------------------------------------------------------------------------------------------------


@reading
def guide(request: HttpRequest) -> HttpResponse:
    """The guide without a set-up; `connection` fills in its values, `step` goes to one step."""
    connection = _named(request)
    kind = request.GET.get("kind") or (connection.app_kind if connection else "")
    kind = kind if kind in KIND_WORDS else setup_guide.EXTERNAL
    asked = {"kind": kind} | ({"connection": connection.name} if connection else {})
    step = request.GET.get("step", "")
    if step in setup_guide.STEP_IDS:
        return redirect(f"{reverse('sf_integration:guide')}?{urlencode(asked)}#step-{step}")
    values = drafts.copied_values(connection) if connection else setup_guide.FIXED_VALUES
    context = {
        "rooms": guide_rooms.rooms(kind, values=values),
        "kinds": [
            {"words": words, "href": "?" + urlencode(asked | {"kind": each}), "current": each == kind}
            for each, words in KIND_WORDS.items()
        ],
        "connection": connection,
        "disclaimer": setup_guide.DISCLAIMER,
        "may_manage": access.may(request.user, Deed.MAKE),
    }
    return render(request, "sf_integration/guide_read.html", context)


def _named(request: HttpRequest) -> ConnectedApp | None:
    name = request.GET.get("connection", "")
    return (
        access.visible_to(request.user).select_related("signing_key").filter(name=name).first()
        if name and "\0" not in name
        else None
    )


# ---- what the pages need --------------------------------------------------------------------------------------------


def _guide(
    request: HttpRequest,
    draft: ConnectionDraft,
    *,
    key_form: KeyForm | None = None,
    values_form: ValuesForm | None = None,
) -> HttpResponse:
    """The guide at its present state; with a form that was refused, that form and its mistakes."""
    found = _found(draft)
    explaining = _explaining(draft, found)
    shown = guide_rooms.rooms(
        cast("Kind", draft.app_kind),
        values=drafts.copied_values(draft),
        done=draft.steps_done,
        explaining=explaining,
    )
    context = {
        "draft": draft,
        "rooms": shown,
        "progress": guide_rooms.progress(shown)[""],
        "steps_done": sum(room.done for room in shown),
        "steps_total": len(setup_guide.STEPS),
        "is_stand_in": facts.is_stand_in(draft),
        "audience": (draft.connection.audience if draft.connection else "")
        or hosts.default_audience(draft.login_url),
        "environment": hosts.environment_told_by(draft.login_url) or _("kind unknown"),
        "key_form": key_form or KeyForm(choices=access.visible_keys(request.user)),
        "values_form": values_form or ValuesForm(draft=draft),
        "problem": found,
        "explaining": explaining,
        "ladder": _ladder(draft) if found else [],
        "disclaimer": setup_guide.DISCLAIMER,
        "may_run": access.may(request.user, Deed.CHECK),
    }
    refused = key_form or values_form
    if refused:
        show_mistake(refused)
    return render(request, "sf_integration/guide.html", context, status=YOURS if refused else 200)


def _found(draft: ConnectionDraft) -> problems.Shown | None:
    """What the last check of its connection found wrong."""
    if draft.connection is None or draft.connection.last_checked_at is None:
        return None
    return problems.first_thing_to_do(draft.connection, timezone.now(), may_run=True)


def _explaining(draft: ConnectionDraft, found: problems.Shown | None) -> list[Step]:
    return problems.steps_left_out(draft.connection) if found and draft.connection else []


def _ladder(draft: ConnectionDraft) -> list[facts.ShownStep]:
    last = draft.connection.checks.filter(light=False).first() if draft.connection else None
    return facts.ladder(last) if last else []


def _anchor(draft: ConnectionDraft, place: str) -> str:
    return f"{reverse('sf_integration:draft', args=[draft.pk])}#{place}"


def _tell_note(request: HttpRequest, login_url: str, note: str) -> None:
    if note:
        messages.info(
            request,
            _("Taken from the address you pasted: %(login_url)s. %(note)s")
            % {"login_url": login_url, "note": note},
        )

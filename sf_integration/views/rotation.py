"""The board of a signing key: where each connection stands on its way to the next one, and the buttons for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from .. import access
from ..access import Deed
from ..models import ConnectedApp, SigningKey
from ..presentation import certificates
from ..presentation.problems import YOURS
from ..presentation.telling import tell
from ..salesforce import keys as key_kinds
from ..salesforce.errors import SalesforceError
from ..services import rotation
from ..services.operations import Outcome
from ..services.rotation import Letter, Stage, Stand, letters, progress, trying
from .gate import allowed

PAGE_SIZE = 50
_NAMED = 5
_LOOKS = {
    Stage.FAILING: ("bad", "cross"),
    Stage.ACCEPTED: ("info", "check"),
    Stage.NOT_UPLOADED: ("warn", "clock"),
    Stage.UNDONE: ("mute", "renew"),
    Stage.STAGED: ("mute", "clock"),
    Stage.PROMOTED: ("good", "check"),
    Stage.NOTHING: ("mute", "dash"),
}
managing = allowed(Deed.ROTATE)
seeing = allowed(Deed.SEE_KEYS)


class StartForm(forms.Form):
    """What to stage: a signing key made now, or a stored one."""

    stored = forms.ModelChoiceField(
        SigningKey.objects.none(),
        required=False,
        label=gettext_lazy("Signing key"),
        empty_label=gettext_lazy("a new one, made here"),
        help_text=gettext_lazy(
            "A new one gets a certificate that it signs itself: Salesforce asks for no other."
        ),
    )
    bits = forms.TypedChoiceField(
        choices=[(size, format_lazy(gettext_lazy("{size} bits"), size=size)) for size in key_kinds.SIZES],
        coerce=int,
        label=gettext_lazy("Size of a new one"),
    )
    days = forms.IntegerField(
        min_value=1, max_value=7300, initial=365, label=gettext_lazy("Days until its end")
    )

    def __init__(
        self, data: Any = None, *, key: SigningKey, actor: Any, following: SigningKey | None = None
    ) -> None:
        super().__init__(data, initial={"stored": following})
        stored = access.visible_keys(actor).exclude(pk=key.pk).exclude(private_key__isnull=True, signer="")
        self.fields["stored"].queryset = stored.exclude(certificate="").order_by("name")  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Row:
    """A line of the board."""

    stand: Stand
    colour: str
    icon: str
    letter: Letter | None
    """For the org's admin, while there is something to be uploaded."""
    lacks_certificate: bool
    """There is something to be uploaded, but not here."""

    @classmethod
    def of(cls, stand: Stand) -> Row:
        key = stand.next_key if stand.stage is not Stage.PROMOTED else None
        letter = rotation.letter(stand.connection, key) if key and key.certificate else None
        return cls(stand, *_LOOKS[stand.stage], letter, lacks_certificate=key is not None and letter is None)


@seeing
def keys(request: HttpRequest) -> HttpResponse:
    """The signing keys in use, and which of them are being changed."""
    now = timezone.now()
    found = progress.keys_in_use(request.user).order_by("not_after", "name")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    shown = [
        {
            "key": key,
            "ends": key.end_in_words(now),
            "is_near": key.ending_stage(now) is not None,
            "told": _told(key),
        }
        for key in page
    ]
    return render(request, "sf_integration/rotation_keys.html", {"page": page, "rows": shown})


@seeing
def board(request: HttpRequest, key_id: UUID) -> HttpResponse:
    return _board(request, _key(request, key_id))


@seeing
def certificate(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """The public certificate, to be uploaded to the app in Salesforce."""
    key = _key(request, key_id)
    return certificates.download(key.certificate, letters.file_name(key))


@managing
def start(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """Stage the next signing key for all connections that have none staged."""
    key = _key(request, key_id)
    if request.method != "POST":
        return _back(key)
    form = StartForm(request.POST, key=key, actor=request.user)
    if not form.is_valid():
        return _board(request, key, form=form)
    given = form.cleaned_data
    chosen = _without_next(key, request.user)
    try:
        started = rotation.start(
            chosen, actor=request.user, new_key=given["stored"], bits=given["bits"], days=given["days"]
        )
    except SalesforceError as error:
        messages.error(request, str(error))
        return _board(request, key, form=form)
    _tell(request, started.outcomes, _("“%(name)s” is staged for") % {"name": started.key.name})
    return _back(key)


@transaction.non_atomic_requests
@allowed(Deed.TRY_STAGED)
def try_staged(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """Sign in with the staged signing keys: of one connection, or of all, as far as the time of a request goes."""
    key = _key(request, key_id)
    if request.method != "POST":
        return _back(key)
    chosen = _chosen(request, key)
    since = request.POST.get("since", "")
    started_at = since or timezone.now().isoformat()
    waiting = [each.connection for each in _to_try(chosen, since)]
    tried = rotation.try_all(waiting, actor=request.user)
    if len(chosen) == 1 and tried.outcomes:
        _tell(request, tried.outcomes, "")
    else:
        messages.info(request, _summary(tried))
    return _back(key, since=started_at if tried.left else "")


@managing
def act(request: HttpRequest, key_id: UUID, what: str) -> HttpResponse:
    """Promote, undo or cancel: of one connection, or of all that it fits."""
    key = _key(request, key_id)
    if what not in _ACTS:
        raise Http404(_("There is no such button."))
    if request.method != "POST":
        return _back(key)
    doing, fits, words = _ACTS[what]
    chosen = [each.connection for each in _chosen(request, key) if fits(each)]
    _tell(request, [doing(each, actor=request.user) for each in chosen], _(words))
    return _back(key)


_ACTS: dict[str, tuple[Any, Any, str]] = {
    "promote": (rotation.promote, lambda stand: stand.may_promote, gettext_noop("Promoted:")),
    "undo": (rotation.undo, lambda stand: stand.may_undo, gettext_noop("Taken back:")),
    "cancel": (rotation.cancel, lambda stand: stand.may_cancel, gettext_noop("Cancelled:")),
}


def _board(request: HttpRequest, key: SigningKey, *, form: StartForm | None = None) -> HttpResponse:
    since = request.GET.get("since", "")
    now = timezone.now()
    stands = progress.board(key, actor=request.user, now=now)
    page = Paginator(stands, PAGE_SIZE).get_page(request.GET.get("page"))
    next_key = next((each.next_key for each in stands if each.next_key and each.next_key != key), None)
    context = {
        "key": key,
        "ends": key.end_in_words(now),
        "is_near": key.ending_stage(now) is not None,
        "next_key": next_key,
        "next_fingerprint": key_kinds.colon_pairs(next_key.certificate_fingerprint) if next_key else "",
        "page": page,
        "rows": [Row.of(each) for each in page],
        "counts": [(stage.value, *_LOOKS[stage], count) for stage, count in progress.counts(stands)],
        "to_try": sum(each.may_try for each in stands),
        "to_promote": sum(each.may_promote for each in stands),
        "to_cancel": sum(each.may_cancel for each in stands),
        "without_next": sum(_lacks_next(each, key) for each in stands),
        "may_manage": access.may(request.user, Deed.ROTATE),
        "may_run": access.may(request.user, Deed.TRY_STAGED),
        "form": form or StartForm(key=key, actor=request.user, following=next_key),
        "rest": len(_to_try(stands, since)) if since else 0,
        "since": since,
    }
    return render(request, "sf_integration/rotation.html", context, status=YOURS if form else 200)


def _told(key: Any) -> str:
    """Of a signing key with the numbers of `keys_in_use`."""
    parts = {_("staged"): key.staged, _("promoted"): key.promoted, _("to come to it"): key.awaited}
    return ", ".join(f"{number} {word}" for word, number in parts.items() if number)


def _key(request: HttpRequest, key_id: UUID) -> SigningKey:
    return get_object_or_404(access.visible_keys(request.user), pk=key_id)


def _back(key: SigningKey, *, since: str = "") -> HttpResponse:
    """To the board; with `since` to one that offers to go on with a round of trials."""
    url = reverse("sf_integration:rotation", args=[key.pk])
    return redirect(f"{url}?{urlencode({'since': since})}" if since else url)


def _to_try(stands: Iterable[Stand], since: str) -> list[Stand]:
    return [
        each
        for each in stands
        if each.may_try and not (since and trying.was_tried_since(each.connection, since))
    ]


def _chosen(request: HttpRequest, key: SigningKey) -> list[Stand]:
    """Those of the board, or the one that the button belongs to."""
    name = request.POST.get("connection")
    stands = progress.board(key, actor=request.user)
    return [each for each in stands if name is None or each.connection.name == name]


def _lacks_next(stand: Stand, key: SigningKey) -> bool:
    return stand.connection.signing_key_id == key.pk and stand.stage is Stage.NOTHING


def _without_next(key: SigningKey, actor: Any) -> Sequence[ConnectedApp]:
    return [each.connection for each in progress.board(key, actor=actor) if _lacks_next(each, key)]


def _summary(tried: rotation.Round) -> str:
    number = len(tried.outcomes)
    told = ngettext(
        "Tried 1 connection: %(accepted)d accepted.",
        "Tried %(number)d connections: %(accepted)d accepted.",
        number,
    ) % {"number": number, "accepted": tried.accepted}
    rest = _(" %(left)d left: press “Try the rest”.") % {"left": tried.left} if tried.left else ""
    return told + rest


def _tell(request: HttpRequest, outcomes: Iterable[Outcome], words: str) -> None:
    """Few in a sentence each; of many that went well only how many."""
    outcomes = list(outcomes)
    done = [outcome for outcome in outcomes if outcome.done]
    if len(done) > _NAMED:
        messages.success(
            request, _("%(words)s %(number)d connections.") % {"words": words, "number": len(done)}
        )
        done = []
    failed = [outcome for outcome in outcomes if not outcome.done]
    for outcome in [*done, *failed[:_NAMED]]:
        tell(request, outcome)
    if len(failed) > _NAMED:
        messages.error(
            request, _("And %(number)d more that were not done.") % {"number": len(failed) - _NAMED}
        )

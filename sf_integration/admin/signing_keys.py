from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from .. import access, audit, keystore
from ..access import Deed
from ..conf import settings
from ..forms import KeyInputs, NewSigningKeyForm, SigningKeyForm
from ..models import AppKind, SigningKey
from ..presentation import certificates
from ..salesforce import keys
from ..sensitive import takes_secret_inputs
from ..services.rotation import letters, progress
from ..templatetags.sf_integration_tags import when
from .cells import exactly
from .filters import ByCertificate, Choice, Choices
from .permissions import Deeds, ManagedAdmin

_FOR_MANAGERS = ("new_certificate", "new_certificate_file", "replacing")
_MOST_NAMES = 20


class ByOrigin(Choice):
    title = _("origin")
    parameter_name = "origin"

    def choices_for(self, request: HttpRequest) -> Choices:
        return SigningKey.Origin.choices


class Ending(ByCertificate):
    field = "not_after"


@admin.register(SigningKey)
class SigningKeyAdmin(ManagedAdmin):
    """A key can be added, renamed and deleted; replacing one is adding another.

    A private key is never changed in place: all connections that share it would be refused at once, until each org has the
    new certificate. A new row beside the old one can be tried first, and chosen connection by connection.
    """

    deeds = Deeds(Deed.SEE_KEYS, *3 * [Deed.CHANGE_KEYS])
    what = _("Key pairs and their certificates; one may serve many connections.")
    list_display = ("name", "size", "origin", "ends", "used_by", "encryption")
    list_filter = (ByOrigin, Ending)
    search_fields = ("name",)
    search_help_text = _("Name")
    readonly_fields = (
        "public_sha256",
        "certificate_sha256",
        "size",
        "origin",
        "begins",
        "ends_on",
        "stored",
        "encryption",
        "reference",
        "users_by_name",
        "download",
        "replacing",
    )
    add_fieldsets = (
        (None, {"fields": ("name",)}),
        (_("Give a key pair"), {"fields": NewSigningKeyForm.KEY_FIELDS[:-1]}),
        (
            _("Or have one made"),
            {
                "fields": ("make_key", *NewSigningKeyForm.PAIR_FIELDS),
                "description": _("With a certificate that it signs itself: Salesforce asks for no other."),
            },
        ),
    )
    outside_fieldsets = (
        (_("Or name one that is held outside"), {"fields": NewSigningKeyForm.OUTSIDE_FIELDS}),
    )
    fieldsets = (
        (None, {"fields": ("name", "users_by_name", "encryption", "reference")}),
        (
            _("Certificate"),
            {
                "fields": (
                    "ends_on",
                    "download",
                    "certificate_sha256",
                    "begins",
                    "new_certificate",
                    "new_certificate_file",
                )
            },
        ),
        (_("Key pair"), {"fields": ("public_sha256", "size", "origin", "stored", "replacing")}),
    )

    begins = exactly("not_before", _("Certificate begins"))
    stored = exactly("created_at", _("Stored"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[SigningKey]:
        return access.visible_keys(request.user).annotate(users=Count("connections")).order_by("name")

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> SigningKey | None:
        """With its `viewer`, who may not know of all connections that use it."""
        key: SigningKey | None = super().get_object(request, *args, **kwargs)
        if key:
            key.viewer = request.user  # type: ignore[attr-defined]
        return key

    def get_form(
        self, request: HttpRequest, obj: SigningKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = SigningKeyForm if obj else NewSigningKeyForm
        # The other inputs are the form's own. Two of them share their names with columns, which Django would refuse.
        kwargs["fields"] = ("name",)
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.visible_keys = access.visible_keys(request.user)
        return form

    def get_fieldsets(self, request: HttpRequest, obj: SigningKey | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets + (self.outside_fieldsets if settings.SIGNERS else ())
        hidden = set() if self.has_change_permission(request, obj) else {*_FOR_MANAGERS}
        if not obj.signer:
            hidden.add("reference")
        return [
            (title, {"fields": [name for name in options["fields"] if name not in hidden]})
            for title, options in self.fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: SigningKey | None = None) -> Any:
        return self.readonly_fields if obj else ()

    @admin.display(description=_("Certificate ends"), ordering="not_after")
    def ends(self, key: SigningKey) -> str:
        words = key.end_in_words(timezone.now()) or gettext("not known")
        return format_html('<span class="{}">{}</span>', _warned(key), words)

    @admin.display(description=_("Certificate ends"))
    def ends_on(self, key: SigningKey) -> str:
        if key.not_after is None:
            return gettext("not known: add the certificate below, so that you are warned before it ends")
        return format_html(
            '<span class="{}">{}</span>',
            _warned(key),
            when(key.not_after, exact=True),
        )

    @admin.display(description=_("SHA-256 of the certificate"))
    def certificate_sha256(self, key: SigningKey) -> str:
        """As certificate viewers show it."""
        return _shown_pairs(key.certificate_fingerprint)

    @admin.display(description=_("SHA-256 of the public key"))
    def public_sha256(self, key: SigningKey) -> str:
        return _shown_pairs(key.fingerprint)

    @admin.display(description=_("Used by"))
    def users_by_name(self, key: SigningKey) -> str:
        """Those that the viewer may know of; how many others there are."""
        shown = list(access.visible_to(key.viewer).filter(signing_key=key).order_by("name")[:_MOST_NAMES])  # type: ignore[attr-defined]
        links = format_html_join(
            ", ",
            '<a href="{}">{}</a>',
            (
                (reverse("admin:sf_integration_connectedapp_change", args=[each.pk]), each.name)
                for each in shown
            ),
        )
        others = key.users - len(shown)  # type: ignore[attr-defined]
        if not others:
            return links or gettext("nobody")
        if not links:
            return gettext("%(others)d more") % {"others": others}
        return format_html(gettext("{links} and {others} more"), links=links, others=others)

    @admin.display(description=_("Replace it"))
    def replacing(self, key: SigningKey) -> str:
        return format_html(
            '{}<a href="{}">{}</a>{}',
            _board_link(key),
            reverse("admin:sf_integration_signingkey_add"),
            gettext("Add the new key pair"),
            gettext(
                ", stage it on each connection, and have its certificate uploaded in each org. Connections go on with this one "
                "until their org takes the other."
            ),
        )

    @admin.display(description=_("Used by"))
    def used_by(self, key: SigningKey) -> str:
        """A number, not names: not every viewer may know every connection."""
        count = key.users  # type: ignore[attr-defined]
        if not count:
            return gettext("nobody")
        found = reverse("admin:sf_integration_connectedapp_changelist") + f"?key={key.pk}"
        return format_html('<a href="{}">{}</a>', found, _connections(count))

    @admin.display(description=_("Private key"))
    def encryption(self, key: SigningKey) -> str:
        if key.signer and key.can_sign:
            return gettext("held outside, by %(signer)s") % {"signer": key.signer}
        return key.signing_problem or gettext("stored encrypted")

    @admin.display(description=_("Known there as"))
    def reference(self, key: SigningKey) -> str:
        return key.signer_reference

    @admin.display(description=_("Certificate"))
    def download(self, key: SigningKey) -> str:
        if not key.certificate:
            return gettext("not known here")
        return certificate_to_upload(key)

    @method_decorator(takes_secret_inputs("private_key", "passphrase", "certificate", "new_certificate"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: SigningKey, form: Any, change: bool) -> None:
        if change:
            # The sealed private key is not written back: it may have been re-encrypted since it was read.
            obj.save(update_fields=["name"])
        else:
            # A new one is stored already: its secret can't be sealed otherwise.
            tell_of_new_key(request, form, obj)
        act = "changed key" if change else "added key"
        audit.record(act, obj, actor=request.user, fields=form.changed_names)

    def delete_model(self, request: HttpRequest, obj: SigningKey) -> None:
        audit.record("deleted key", obj, actor=request.user)
        super().delete_model(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Names what is in the way only to those who may know all of it."""
        *shown, protected = super().get_deleted_objects(objs, request)
        if protected and not access.sees_all(request.user):
            protected = [_connections(len(protected))]
        return *shown, protected

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        audit.record_many("deleted key", queryset, actor=request.user)
        super().delete_queryset(request, queryset)

    def get_urls(self) -> list[URLPattern]:
        certificate = path(
            "<uuid:key_id>/certificate/",
            self.admin_site.admin_view(self.certificate_view),
            name="sf_integration_signingkey_certificate",
        )
        return [certificate, *super().get_urls()]

    def certificate_view(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        """The public certificate as a file."""
        access.require(request.user, self.deeds.view)
        key = get_object_or_404(access.visible_keys(request.user), pk=key_id)
        return certificates.download(key.certificate, letters.file_name(key))


def certificate_to_upload(key: SigningKey) -> str:
    """The link to the file, and where it goes in Salesforce."""
    url = reverse("admin:sf_integration_signingkey_certificate", args=[key.pk])
    return format_html(
        '<span><a href="{}">{}</a>{}<br>External Client App: {}<br>Connected App: {}</span>',
        url,
        gettext("Download %(file)s") % {"file": letters.file_name(key)},
        gettext(" and upload it to the app in Salesforce."),
        keystore.UPLOAD_PATHS[AppKind.EXTERNAL_CLIENT_APP],
        keystore.UPLOAD_PATHS[AppKind.CONNECTED_APP],
    )


def tell_of_new_key(request: HttpRequest, form: KeyInputs, key: SigningKey) -> None:
    """After a form took a key in or made one: what was repaired, and what to do with the certificate."""
    if form.key_notes:
        told = gettext("Signing key %(name)s:") % {"name": key.name}
        messages.info(request, f"{told} {' '.join(form.key_notes)}")
    if key.origin == SigningKey.Origin.MADE:
        messages.info(request, certificate_to_upload(key))


def _warned(key: SigningKey) -> str:
    """The class of what tells the certificate's end."""
    return "" if key.ending_stage(timezone.now()) is None else "sf-warned"


def _shown_pairs(fingerprint: str) -> str:
    if not fingerprint:
        return gettext("not known here")
    return format_html('<code class="sf-pairs">{}</code>', keys.colon_pairs(fingerprint))


def _board_link(key: SigningKey) -> str:
    url = progress.board_url(key.pk)
    return (
        format_html('<a href="{}">{}</a>{}', url, gettext("Rotate it without a gap"), gettext(". By hand: "))
        if url
        else ""
    )


def _connections(count: int) -> str:
    return ngettext("%(count)d connection", "%(count)d connections", count) % {"count": count}

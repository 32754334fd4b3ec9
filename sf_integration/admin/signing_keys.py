from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.text import slugify

from .. import access, audit
from ..forms import NewSigningKeyForm, SigningKeyForm
from ..models import SigningKey
from ..sensitive import takes_secret_inputs
from ..templatetags.sf_integration_tags import when
from .permissions import ManagedAdmin


@admin.register(SigningKey)
class SigningKeyAdmin(ManagedAdmin):
    """A key can be added, renamed and deleted; replacing one is adding another."""

    list_display = ("name", "size", "origin", "ends", "used_by", "encryption")
    list_filter = ("origin",)
    list_per_page = 50
    search_fields = ("name",)
    readonly_fields = (
        "fingerprint",
        "certificate_fingerprint",
        "size",
        "origin",
        "not_before",
        "not_after",
        "created_at",
        "encryption",
        "used_by",
        "download",
    )
    add_fieldsets = (
        (None, {"fields": ("name",)}),
        ("Give a key pair", {"fields": NewSigningKeyForm.KEY_FIELDS[:-1]}),
        ("Or have one made", {"fields": ("make_key",)}),
    )
    fieldsets = (
        (None, {"fields": ("name", "used_by", "encryption")}),
        (
            "Certificate",
            {"fields": ("download", "certificate_fingerprint", "not_before", "not_after", "new_certificate")},
        ),
        ("Key pair", {"fields": ("fingerprint", "size", "origin", "created_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[SigningKey]:
        return access.visible_keys(request.user).annotate(users=Count("connections")).order_by("name")

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
            return self.add_fieldsets
        if self.has_change_permission(request, obj):
            return self.fieldsets
        return [
            (title, {"fields": [name for name in options["fields"] if name != "new_certificate"]})
            for title, options in self.fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: SigningKey | None = None) -> Any:
        return self.readonly_fields if obj else ()

    @admin.display(description="Certificate ends", ordering="not_after")
    def ends(self, key: SigningKey) -> str:
        return when(key.not_after, never="not known")

    @admin.display(description="Used by")
    def used_by(self, key: SigningKey) -> str:
        """A number, not names: not every viewer may know every connection."""
        count = key.users  # type: ignore[attr-defined]
        return f"{count} connection{'' if count == 1 else 's'}" if count else "nobody"

    @admin.display(description="Private key")
    def encryption(self, key: SigningKey) -> str:
        return key.sealing_problem or "stored encrypted"

    @admin.display(description="Certificate")
    def download(self, key: SigningKey) -> str:
        if not key.certificate:
            return "not known here"
        url = reverse("admin:sf_integration_signingkey_certificate", args=[key.pk])
        return format_html(
            '<a href="{}">Download {}.crt</a>, to be uploaded to the app in Salesforce', url, _slug(key)
        )

    @method_decorator(takes_secret_inputs("private_key", "passphrase"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: SigningKey, form: Any, change: bool) -> None:
        if change:
            # The sealed private key is not written back: it may have been re-encrypted since it was read.
            obj.save(update_fields=["name"])
        # A new one is stored already: its secret can't be sealed otherwise.
        audit.record("changed" if change else "added", obj, actor=request.user, fields=form.changed_names)

    def delete_model(self, request: HttpRequest, obj: SigningKey) -> None:
        audit.record("deleted", obj, actor=request.user)
        super().delete_model(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Names what is in the way only to those who may know all of it."""
        *shown, protected = super().get_deleted_objects(objs, request)
        if protected and not access.sees_all(request.user):
            count = len(protected)
            protected = [f"{count} connection{'' if count == 1 else 's'}"]
        return *shown, protected

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        for key in queryset:
            audit.record("deleted", key, actor=request.user)
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
        access.require(request.user, access.Act.VIEW_HEALTH)
        key = get_object_or_404(access.visible_keys(request.user), pk=key_id)
        if not key.certificate:
            raise Http404("The certificate of this signing key is not known here.")
        return HttpResponse(
            key.certificate,
            content_type="application/x-x509-ca-cert",
            headers={"Content-Disposition": f'attachment; filename="{_slug(key)}.crt"'},
        )


def _slug(key: SigningKey) -> str:
    return slugify(key.name) or "certificate"

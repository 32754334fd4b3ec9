"""Many connections at once in the admin: import with a preview, export, and “Save as new” for one like another."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from .. import access
from ..access import Deed
from ..forms import ConnectedAppForm
from ..models import ConnectedApp
from ..salesforce.errors import InvalidInput
from ..services import connection_file, transfer
from ..services.connection_file import Row
from ..services.profiles import listed, word
from ..services.transfer import Report, Result
from .permissions import ManagedAdmin

LARGEST_UPLOAD = 1_000_000
"""Bytes. The text goes to the browser and back, within what Django takes of a form."""
_SAVE_AS_NEW = "_saveasnew"


class _Rows(forms.Form):
    """A form that brings the text of the file, read and ready in `rows`."""

    rows: list[Row]
    file_text: str
    file_name: str

    def _read(self, data: bytes, name: str) -> None:
        try:
            text = connection_file.decode(data, name=name, most=LARGEST_UPLOAD)
            self.rows = connection_file.read(text, name=name)
        except InvalidInput as error:
            raise ValidationError(str(error)) from error
        self.file_text, self.file_name = text, name


class UploadForm(_Rows):
    file = forms.FileField(
        label=_("CSV or JSON file"),
        help_text=_(
            "One connection per row, 1 MB at most. Nothing is saved before you have seen what would happen."
        ),
    )

    def clean_file(self) -> UploadedFile[Any]:
        upload: UploadedFile[Any] = self.cleaned_data["file"]
        name = upload.name or "The file"
        # One byte more tells that there is more.
        self._read(upload.read(LARGEST_UPLOAD + 1), name)
        return upload


class ConfirmForm(_Rows):
    """The file that was looked at, in hidden inputs, and whether its refused rows are to be left out."""

    name = forms.CharField(widget=forms.HiddenInput, max_length=255)
    # As JSON: browsers rewrite line breaks in form values, and a cell may hold some.
    text = forms.CharField(widget=forms.HiddenInput, strip=False)
    keep_going = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "text" in data and "name" in data:
            try:
                text = json.loads(data["text"])
            except (ValueError, RecursionError) as error:
                raise ValidationError(gettext("The file got lost on the way: choose it again.")) from error
            self._read(str(text).encode(errors="surrogatepass"), data["name"])
        return data


class ManyAtOnceAdmin(ManagedAdmin):
    change_list_template = "admin/sf_integration/connectedapp/change_list.html"
    save_as = True

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("import/", view(self.import_view), name="sf_integration_connectedapp_import"),
            path("export/", view(require_POST(self.export_view)), name="sf_integration_connectedapp_export"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        shown = {"may_transfer": access.may(request.user, Deed.IMPORT)}
        return super().changelist_view(request, {**(extra_context or {}), **shown})

    # ---- import ----

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Asks for the file, shows what would happen, and does it: three pages at one address."""
        access.require(request.user, Deed.IMPORT)
        if request.method != "POST":
            return self._page(request, {"form": UploadForm()})
        if "text" in request.POST:
            return self._save(request)
        form = UploadForm(request.POST, request.FILES)
        if not form.is_valid():
            return self._page(request, {"form": form})
        return self._preview(request, form)

    def _preview(self, request: HttpRequest, form: _Rows) -> HttpResponse:
        report = transfer.bring_in(form.rows, actor=request.user, dry_run=True)
        confirm = ConfirmForm(
            initial={"name": form.file_name, "text": json.dumps(form.file_text, ensure_ascii=False)}
        )
        return self._page(request, _told(report) | {"name": form.file_name, "confirm": confirm})

    def _save(self, request: HttpRequest) -> HttpResponse:
        form = ConfirmForm(request.POST)
        if not form.is_valid():
            reasons = [reason for reasons in form.errors.values() for reason in reasons]
            return self._page(request, {"form": UploadForm(), "refusals": reasons})
        report = transfer.bring_in(form.rows, actor=request.user, keep_going=form.cleaned_data["keep_going"])
        return self._page(request, _told(report) | {"name": form.file_name, "is_done": True})

    def _page(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        shown = {
            **self.admin_site.each_context(request),
            "title": gettext("Import many connections"),
            "opts": self.opts,
            "media": self.media,
            "columns": connection_file.COLUMNS,
            "file_columns": connection_file.FILE_COLUMNS,
            **context,
        }
        return TemplateResponse(request, "admin/sf_integration/connectedapp/import.html", shown)

    # ---- export ----

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """All that the person may see, not only what the list is filtered to."""
        text = connection_file.write_csv(transfer.everything(request.user))
        day = timezone.localdate().isoformat()
        return HttpResponse(
            connection_file.as_download(text),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="connections-{day}.csv"'},
        )

    # ---- save as new ----

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """A copy leaves behind what checks found out about the original's org."""
        saved = super().save_form(request, form, change)
        if not change and _SAVE_AS_NEW in request.POST:
            original = self.get_object(request, request.resolver_match.kwargs.get("object_id", ""))  # type: ignore[union-attr]
            _forget_facts(saved, original)
        return saved


def _forget_facts(copy: ConnectedApp, original: ConnectedApp | None) -> None:
    """Unless the person typed others for the copy."""
    for name in ConnectedAppForm.STORED_BY_CHECKS:
        if original is None or getattr(copy, name) == getattr(original, name):
            setattr(copy, name, "")


def _told(report: Report) -> dict[str, Any]:
    return {
        "report": report,
        # What somebody has to look at comes first.
        "lines": [
            _line(each, report.told(each.outcome))
            for each in sorted(report.results, key=lambda each: each.outcome != "refused")
        ],
        "can_save": report.changes > 0,
    }


def _line(result: Result, told: str) -> dict[str, Any]:
    return {
        "row": result.row,
        "name": result.name,
        "outcome": result.outcome,
        "told": told,
        "changed": listed(map(word, result.changed)) if result.outcome == "changed" else "",
        "problems": list(result.problems.items()),
        "note": result.note,
    }

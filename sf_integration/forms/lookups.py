"""Looking up records and running SOQL."""

from __future__ import annotations

import re
from typing import Any, Self

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..salesforce import columns, ids, soql
from ..salesforce.errors import InvalidInput
from ..services.lookups import Wanted

_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}
_QUOTED = re.compile("[\"'\u201c\u201e\u201d\u2018](.*)[\"'\u201c\u201d\u2019]", re.DOTALL)


class _Ticked(forms.MultipleHiddenInput):
    """What is ticked, by as many inputs of one name; each may hold several names with commas between."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        given = data.getlist(name) if hasattr(data, "getlist") else [data.get(name, "")]
        parts = (part.strip() for text in given for part in text.split(","))
        return list(dict.fromkeys(filter(None, parts)))


class RecordForm(forms.Form):
    sobject = forms.CharField(
        label=gettext_lazy("Object"),
        required=False,
        max_length=80,
        help_text=gettext_lazy("Label or API name. An id tells its object by itself."),
        widget=forms.TextInput({**_PLAIN, "list": "sf-objects", "placeholder": "Account"}),
    )
    record = forms.CharField(
        label=gettext_lazy("Id, address or name"),
        max_length=2_000,
        help_text=gettext_lazy(
            "An id of 15 or 18 characters, the address of the record's page in Salesforce, or part of its name. "
            "In quotes it is always a name."
        ),
        widget=forms.TextInput({**_PLAIN}),
    )
    fields = forms.Field(required=False, widget=_Ticked)  # type: ignore[assignment]  # apart from the form's own
    fields_of = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput)
    """The object that the ticked fields are of: those of another mean nothing."""

    def clean_fields(self) -> list[str]:
        try:
            return [soql.name(name, "field") for name in self.cleaned_data["fields"] or ()]
        except InvalidInput as error:
            raise ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or {}
        text = asked.get("record", "")
        quoted = _QUOTED.fullmatch(text)
        try:
            asked["pointer"] = None if quoted else ids.read(text)
        except InvalidInput as error:
            self.add_error("record", str(error))
            return asked
        asked["text"] = (quoted[1] if quoted else text).strip()
        if text and asked["pointer"] is None and not asked.get("sobject"):
            self.add_error("sobject", _("Name the object to search in; an id would tell it by itself."))
        return asked

    def wanted(self) -> Wanted:
        asked = self.cleaned_data
        ticked_of = asked["fields_of"] or asked["sobject"]
        fields = asked["fields"] if ticked_of == asked["sobject"] else ()
        return Wanted(asked["sobject"], asked["pointer"], asked["text"], fields)

    @classmethod
    def so_far(cls, data: Any) -> Self:
        """What was typed and ticked, not yet to be judged."""
        given = cls(data)
        return cls(initial={name: given[name].value() for name in cls.base_fields})

    def now_of(self, sobject: str) -> Self:
        """The same for the object that was found, to go on from."""
        ticked = self.wanted().fields
        return type(self)(
            initial={**self.cleaned_data, "record": self.data["record"], "sobject": sobject, "fields": ticked}
        )


class ObjectForm(forms.Form):
    """The record form's first half, for listing an object's fields."""

    sobject = forms.CharField(label=gettext_lazy("Object"), max_length=80)


class _Statement(forms.CharField):
    def bound_data(self, data: Any, initial: Any) -> str:
        """The box shows what was sent: the place of a mistake is counted from its first letter."""
        return str(data or "").strip()


class QueryForm(forms.Form):
    soql = _Statement(
        label="SOQL",
        max_length=100_000,
        help_text=gettext_lazy(
            "SELECT only: nothing can be changed here. It runs as the connection's user and sees what that user may see."
        ),
        widget=forms.Textarea(
            {
                "rows": 6,
                "spellcheck": "false",
                "autocapitalize": "off",
                "class": "sf-mono",
                "placeholder": "SELECT Id, Name FROM Account ORDER BY Name LIMIT 50",
            }
        ),
    )

    def clean_soql(self) -> str:
        # Browsers send lines that end by two characters; Salesforce would count a column too many.
        statement: str = self.cleaned_data["soql"].replace("\r\n", "\n").rstrip("; \n")
        if not re.match(r"SELECT\s", statement, re.IGNORECASE):
            raise ValidationError(
                _("Begin with SELECT: this page reads only, and SOQL has no other statement.")
            )
        return statement

    def sobjects(self) -> list[str]:
        """The objects asked for, for the audit trail. Texts in the query are left out: they are data."""
        return columns.sources(self.cleaned_data["soql"])


class NextPageForm(forms.Form):
    """The hidden part of the query form: where the next page is, and how many rows came before."""

    next_path = forms.CharField(required=False, max_length=300)
    before = forms.IntegerField(required=False, min_value=0)

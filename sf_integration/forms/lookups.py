"""Looking up records and running SOQL."""

from __future__ import annotations

import re
from collections.abc import Callable

from django import forms
from django.core.exceptions import ValidationError

from ..salesforce import ids, soql
from ..salesforce.errors import InvalidInput


class RecordForm(forms.Form):
    sobject = forms.CharField(
        label="sObject",
        max_length=80,
        help_text="API name, e.g. Account or Invoice__c.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    record_id = forms.CharField(
        label="Record id",
        max_length=60,
        help_text="15 or 18 characters, as in the record's address in Salesforce.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "class": "sf-mono"}),
    )
    fields = forms.CharField(  # type: ignore[assignment]  # of the same name as the form's own, but apart from it
        required=False,
        max_length=10_000,
        help_text="API names with commas between; empty: all that the user may see.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean_sobject(self) -> str:
        return _checked(soql.name, self.cleaned_data["sobject"])

    def clean_record_id(self) -> str:
        return _checked(ids.to_18, self.cleaned_data["record_id"])

    def clean_fields(self) -> list[str]:
        names = [name.strip() for name in self.cleaned_data["fields"].split(",")]
        return [
            _checked(lambda text: soql.name(text, "field"), name) for name in dict.fromkeys(names) if name
        ]


class QueryForm(forms.Form):
    soql = forms.CharField(
        label="SOQL",
        max_length=100_000,
        help_text="SELECT only: nothing can be changed here. It runs as the connection's user and sees what that user may see.",
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
        statement: str = self.cleaned_data["soql"].rstrip("; \n")
        if not re.match(r"SELECT\s", statement, re.IGNORECASE):
            raise ValidationError("Begin with SELECT: this page reads only, and SOQL has no other statement.")
        return statement

    def sobjects(self) -> list[str]:
        """The objects asked for, for the audit trail. Texts in the query are left out: they are data."""
        without_texts = re.sub(r"'(?:[^'\\]|\\.)*'", "''", self.cleaned_data["soql"])
        return sorted(set(re.findall(r"\bFROM\s+(\w+)", without_texts, re.IGNORECASE)))


class NextPageForm(forms.Form):
    """The hidden part of the query form: where the next page is, and how many rows came before."""

    next_path = forms.CharField(required=False, max_length=300)
    before = forms.IntegerField(required=False, min_value=0)


def _checked(check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except InvalidInput as error:
        raise ValidationError(str(error)) from error

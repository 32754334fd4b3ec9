"""The forms of pages and admin. A form refuses bad input with a sentence; it never calls Salesforce.

Private keys and passphrases go in and never come out: their inputs are empty again on every page.
"""

from __future__ import annotations

from .addresses import LoginURLInput, read_login_url
from .api_clients import ApiClientForm
from .connections import ConnectedAppForm, LinesField, NeverSaved
from .key_inputs import LARGEST_UPLOAD, KeyInputs, WriteOnlyTextarea
from .lookups import NextPageForm, ObjectForm, QueryForm, RecordForm
from .signing_keys import NewSigningKeyForm, SigningKeyForm

__all__ = [
    "LARGEST_UPLOAD",
    "ApiClientForm",
    "ConnectedAppForm",
    "KeyInputs",
    "LinesField",
    "LoginURLInput",
    "NeverSaved",
    "NewSigningKeyForm",
    "NextPageForm",
    "ObjectForm",
    "QueryForm",
    "RecordForm",
    "SigningKeyForm",
    "WriteOnlyTextarea",
    "read_login_url",
]

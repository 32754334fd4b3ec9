"""Stored tokens under another encryption key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..fields import Sealed, keyring, seal
from ..models import AccessToken
from ..salesforce.secret import SecretBytes
from ..sealed_columns import SealedColumn

Opened = tuple[Any, Sealed, SecretBytes]
"""Primary key of a row, its sealed value as it was seen, and what that holds."""


def reseal(opened: Iterable[Opened]) -> int:
    """Seal these tokens with the first encryption key, where the row still holds what was seen; how many.

    The row's version stays: a renewal under way, which writes under the version that it has claimed, then stores its token as
    if nothing had been. The fingerprint changes with the key: a token that the org refuses must be found by it also when the
    old key is gone.
    """
    return SealedColumn(AccessToken, "value").swap(
        (
            pk,
            seen,
            {
                "value": seal(AccessToken, "value", pk, token),
                "fingerprint": keyring().fingerprints(token.decode())[0],
            },
        )
        for pk, seen, token in opened
    )

"""An answer as it came, and its JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import TransportError
from .failures import without_frames
from .masking import excerpt, mask

_MOST_SKEW_SECONDS = 1e10
"""Three hundred years. Times that are further off can't be reckoned with."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The decoded body. Raises TransportError, with a harmless excerpt, when it is not JSON."""
        try:
            data = json.loads(self.body, parse_constant=_refuse_constant)
            return _whole(data) if _may_have_halves(self.body) and _HALF.search(self.body) else data
        except (ValueError, RecursionError) as exc:
            content_type = self.headers.get("Content-Type", "").partition(";")[0] or "no content type"
            raise TransportError(
                f"The host answered {self.status} with {mask(content_type)[:80]} instead of JSON: “{excerpt(self.body)}”",
                code=f"http_{self.status}" if self.status >= 400 else "not_json",
                status_code=self.status,
            ) from without_frames(exc)

    def clock_skew_seconds(self, now: float) -> float | None:
        """How far our clock (`now`, seconds since 1970) is ahead of the answering host's; None without a date that can be right."""
        try:
            skew = now - parsedate_to_datetime(self.headers["Date"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError):
            return None
        return skew if abs(skew) < _MOST_SKEW_SECONDS else None


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are Python's own additions to JSON."""
    raise ValueError(name)


_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def _may_have_halves(body: bytes) -> bool:
    """The search for them takes as long as reading the JSON does; to see that there can be none, next to nothing."""
    return (b"\\" in body and b"\\u" in body) or b"\xed" in body


def _whole(data: Any) -> Any:
    """The same without halves of surrogate pairs, as of an emoji cut in two: JSON may have them, no page or file can."""
    text = json.dumps(data, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

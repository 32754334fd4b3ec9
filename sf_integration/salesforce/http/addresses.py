"""Web addresses: which are some, and whose they are."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..errors import InvalidInput

_ADDRESS = re.compile(
    r"https?://(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:/[!-\[\]-~]*)?", re.ASCII | re.IGNORECASE
)


def is_web_address(url: str) -> bool:
    """Whether `url` is an http(s) address in which every parser finds the same host: no user, backslash or blank."""
    try:
        return _ADDRESS.fullmatch(url) is not None and urlsplit(url).port != 0
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Host and port, for messages; empty when there is none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def same_origin(url: str, other: str) -> bool:
    return _origin(url) == _origin(other)


def require_same_origin(url: str, instance_url: str) -> None:
    """Raise InvalidInput when a call to `url` would take the bearer of `instance_url` elsewhere."""
    if not same_origin(url, instance_url):
        raise InvalidInput(
            f"The access token belongs to {host_of(instance_url)} and is not sent to {host_of(url)}."
        )


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return (
        parts.scheme.lower(),
        (parts.hostname or "").lower(),
        parts.port or {"https": 443, "http": 80}.get(parts.scheme.lower()),
    )

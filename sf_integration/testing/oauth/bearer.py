"""The token of a request."""

from __future__ import annotations

from ..messages import Incoming


def token_of(request: Incoming) -> str | None:
    """The token of the Authorization header; None when there is no header of a known scheme."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "oauth") else None

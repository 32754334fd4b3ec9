"""Which org a token is of: told by the answer that brought it, by the token itself, or by the org when it is asked.

Source: Salesforce Help, "Identity URLs"; the form of opaque tokens as the Salesforce CLI knows it; headers of JWT-based access
tokens as the Mobile SDK's tests have them.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import jwt

from . import ids, oauth
from .http import Http
from .oauth import Token

_ORG_ID = re.compile(r"00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?", re.ASCII)


def told_by(token: Token) -> str:
    """Its org's id, 18 characters; empty when neither identity URL nor token tells it. Never raises, whatever they hold."""
    for candidate in (_of_identity_url(token.identity_url), _of_opaque(token.value), _of_jwt(token.value)):
        if _ORG_ID.fullmatch(candidate):
            # The three last characters are reckoned, not believed: ids are compared by the first 15.
            return candidate[:15] + ids.checksum(candidate[:15])
    return ""


def ask(token: Token, *, timeout_seconds: float, http: Http) -> str:
    """Its org's id, asked of the org; empty when that answers with something else.

    Raises ApiError when the org refuses, TransportError when there is no usable answer.
    """
    found = oauth.userinfo(token, timeout_seconds=timeout_seconds, http=http).organization_id
    return found[:15] + ids.checksum(found[:15]) if _ORG_ID.fullmatch(found) else ""


def same(one: str, other: str) -> bool:
    """Whether two ids name one org, in whichever form. Capital and small letters are told apart."""
    return one[:15] == other[:15]


def _of_identity_url(url: str) -> str:
    """`…/id/ORG/USER`, behind the path of a site for its users."""
    try:
        parts = urlsplit(url).path.rstrip("/").split("/")
    except ValueError:
        return ""
    return parts[-2] if len(parts) >= 4 and parts[-3] == "id" else ""


def _of_opaque(value: str) -> str:
    return value.partition("!")[0] if "!" in value else ""


def _of_jwt(value: str) -> str:
    """From the header's `tnk`, `core/INSTANCE/ORG`. The signature is Salesforce's to judge."""
    if not oauth.is_jwt(value):
        return ""
    try:
        tenant = jwt.get_unverified_header(value).get("tnk")
    except (jwt.InvalidTokenError, TypeError, ValueError, AttributeError, RecursionError):
        return ""
    parts = tenant.split("/") if isinstance(tenant, str) else []
    return parts[2] if len(parts) == 3 and parts[0] == "core" else ""

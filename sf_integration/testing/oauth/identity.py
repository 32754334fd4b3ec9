"""Who a token belongs to: identity URL, userinfo, introspection, and the end of a token."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

from ..messages import Answer, Incoming, json_answer, oauth_error
from ..orgs import Org, Session, User

_TEXT = "text/plain;charset=UTF-8"


def identity(org: Org, request: Incoming, org_id: str, user_id: str) -> Answer:
    """Answer `GET /id/{org}/{user}`. Its refusals are bare words, not JSON."""
    session = _session(org, request)
    if isinstance(session, Answer):
        return session
    if org_id[:15] != org.id[:15]:
        return _word(403, "Wrong_Org")
    user = next((user for user in org.users.values() if user.id[:15] == user_id[:15]), None)
    if user is None:
        return _word(404, "Bad_Id")
    if user is not session.user or not session.allows("api", "id", "openid", "profile"):
        return _word(404, "No_Access")
    version = request.query.get("version")
    if version == "latest":
        version = f"{org.newest_version}.0"
    return json_answer(_identity_body(org, user, version)).of(user.username)


def userinfo(org: Org, request: Incoming) -> Answer:
    """Answer `/services/oauth2/userinfo`."""
    session = _session(org, request)
    if isinstance(session, Answer):
        return session
    user = session.user
    identity = _identity_body(org, user, None)
    body = {
        "sub": identity["id"],
        "user_id": user.id,
        "organization_id": org.id,
        "preferred_username": user.username,
        "nickname": identity["nick_name"],
        "name": user.name,
        "email": user.email,
        "email_verified": True,
        "given_name": user.first_name,
        "family_name": user.last_name,
        "zoneinfo": identity["timezone"],
        "photos": identity["photos"],
        "profile": f"{org.url}/{user.id}",
        "picture": identity["photos"]["picture"],
        "address": {"country": "DE"},
        "is_salesforce_integration_user": True,
        "urls": identity["urls"],
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "de_DE",
        "utcOffset": 3600000,
        "updated_at": "2026-08-01T09:30:00Z",
    }
    return json_answer(body).of(user.username)


def introspect(org: Org, request: Incoming) -> Answer:
    """Answer `POST /services/oauth2/introspect`, which asks for the app's consumer secret."""
    parameters = request.form()
    key, secret = _client_credentials(request, parameters)
    app = org.apps.get(key)
    if app is None:
        return oauth_error("invalid_client_id", "client identifier invalid")
    if not hmac.compare_digest(secret.encode(), app.consumer_secret.encode()):
        return oauth_error("invalid_client", "invalid client credentials")
    session = org.find_session(parameters.get("token", ""))
    if session is None or session.app is not app:
        return json_answer({"active": False})
    started = int(session.started + org.clock_offset_seconds)
    return json_answer(
        {
            "active": True,
            "scope": " ".join(session.scopes),
            "client_id": app.consumer_key,
            "username": session.user.username,
            "sub": f"{org.url}/id/{org.id}/{session.user.id}",
            "token_type": "access_token",
            "exp": int(org.ends_at(session) + org.clock_offset_seconds),
            "iat": started,
            "nbf": started,
        }
    )


def revoke(org: Org, request: Incoming) -> Answer:
    """Answer `/services/oauth2/revoke`: the token is all it takes."""
    if not org.end_session(request.form().get("token", "")):
        return oauth_error("invalid_token", "invalid token")
    return Answer(200)


def bearer_token(request: Incoming) -> str | None:
    """The token of the Authorization header; None when there is no header of a known scheme."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "oauth") else None


def _session(org: Org, request: Incoming) -> Session | Answer:
    token = bearer_token(request) or request.query.get("oauth_token") or request.query.get("access_token")
    if not token:
        return _word(403, "Missing_OAuth_Token")
    session = org.find_session(token)
    if session is None:
        return _word(403, "Bad_OAuth_Token")
    org.touch(session)
    return session


def _word(status: int, word: str) -> Answer:
    return Answer(status, word.encode(), _TEXT, error=word)


def _client_credentials(request: Incoming, parameters: dict[str, str]) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return key, secret
    return parameters.get("client_id", ""), parameters.get("client_secret", "")


def _identity_body(org: Org, user: User, version: str | None) -> dict[str, Any]:
    return {
        "id": f"{org.url}/id/{org.id}/{user.id}",
        "asserted_user": True,
        "user_id": user.id,
        "organization_id": org.id,
        "username": user.username,
        "nick_name": user.username.partition("@")[0],
        "display_name": user.name,
        "email": user.email,
        "email_verified": True,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "timezone": "Europe/Berlin",
        "photos": {
            "picture": f"{org.url}/profilephoto/005/F",
            "thumbnail": f"{org.url}/profilephoto/005/T",
        },
        "addr_street": None,
        "addr_city": None,
        "addr_state": None,
        "addr_country": "DE",
        "addr_zip": None,
        "mobile_phone": None,
        "mobile_phone_verified": False,
        "is_lightning_login_user": False,
        "status": {"created_date": None, "body": None},
        "urls": _urls(org, user, version or "{version}"),
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "de_DE",
        "utcOffset": 3600000,
        "last_modified_date": "2026-08-01T09:30:00Z",
        "is_app_installed": True,
    }


def _urls(org: Org, user: User, version: str) -> dict[str, str]:
    rest = f"{org.url}/services/data/v{version}"
    soap = f"{org.url}/services/Soap"
    return {
        "enterprise": f"{soap}/c/{version}/{org.id[:15]}",
        "metadata": f"{soap}/m/{version}/{org.id[:15]}",
        "partner": f"{soap}/u/{version}/{org.id[:15]}",
        "rest": f"{rest}/",
        "sobjects": f"{rest}/sobjects/",
        "search": f"{rest}/search/",
        "query": f"{rest}/query/",
        "recent": f"{rest}/recent/",
        "tooling_soap": f"{soap}/T/{version}/{org.id[:15]}",
        "tooling_rest": f"{rest}/tooling/",
        "profile": f"{org.url}/{user.id}",
        "feeds": f"{rest}/chatter/feeds",
        "groups": f"{rest}/chatter/groups",
        "users": f"{rest}/chatter/users",
        "feed_items": f"{rest}/chatter/feed-items",
        "feed_elements": f"{rest}/chatter/feed-elements",
        "custom_domain": org.url,
    }

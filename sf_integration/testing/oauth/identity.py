"""Who a token belongs to: identity URL, userinfo, introspection, and the end of a token.

Source: Salesforce Help, "Identity URLs", "Revoke OAuth Tokens Programmatically"; RFC 7662; recorded answers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from dataclasses import replace
from typing import Any

from ..messages import Answer, Incoming, as_asked, json_answer, oauth_error, unknown_here
from ..orgs import Org
from ..sessions import Session
from ..users import User
from . import bearer, formats

_TEXT = "text/plain;charset=UTF-8"
_NIL = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_SCRIPT = "application/javascript;charset=UTF-8"
_CALLBACK = re.compile(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*", re.ASCII)
_ANY_TOKEN = re.compile(r"00D\w{12,15}![\w.]+|eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
# The scope `id` stands for the four others; tokens of the flow with `api` may read both resources, too.
_IDENTITY_SCOPES = ("id", "profile", "email", "address", "phone", "api")
_LAST_MODIFIED = "2026-08-01T09:30:00Z"


def identity(org: Org, request: Incoming, org_id: str, user_id: str) -> Answer:
    """Answer `GET /id/{org}/{user}`. Its refusals are bare words, not JSON."""
    session = _session(org, request)
    if isinstance(session, Answer):
        return session
    if given := org.answers.for_request(request):
        return given
    if org_id[:15] != org.id[:15]:
        return _word(403, "Wrong_Org")
    user = next((user for user in org.users.values() if user.id[:15] == user_id[:15]), None)
    if user is None:
        return _word(404, "Bad_Id")
    if user is not session.user or not session.allows(*_IDENTITY_SCOPES):
        return _word(404, "No_Access")
    if (version := _wanted_version(org, request)) is None:
        return _word(406, "Invalid_Version")
    return _in_format(_identity_body(org, user, version), request).of(user.username)


def userinfo(org: Org, request: Incoming) -> Answer:
    """Answer `/services/oauth2/userinfo`."""
    session = _session(org, request)
    if isinstance(session, Answer):
        return session
    if given := org.answers.for_request(request):
        return given
    if not session.allows("openid", *_IDENTITY_SCOPES):
        return _word(403, "Bad_OAuth_Token")
    user = session.user
    return as_asked(json_answer(_userinfo_body(org, user)), request).of(user.username)


def introspect(org: Org, request: Incoming) -> Answer:
    """Answer `POST /services/oauth2/introspect`, which asks for the app's consumer secret."""
    if request.method != "POST":
        return oauth_error("invalid_request", "must use HTTP POST")
    parameters = request.form()
    key, secret = _client_credentials(request, parameters)
    app = org.apps.get(key)
    if app is None:
        return oauth_error("invalid_client_id", "client identifier invalid")
    if not hmac.compare_digest(secret.encode(), app.consumer_secret.encode()):
        return oauth_error("invalid_client", "invalid client credentials")
    session = org.find_session(parameters.get("token", ""))
    if session is None or not (session.app is app or app.introspects_all):
        return json_answer({"active": False})
    started = int(session.started + org.clock_offset_seconds)
    return json_answer(
        {
            "active": True,
            "scope": " ".join(session.scopes),
            "client_id": session.app.consumer_key,
            "username": session.user.username,
            "sub": f"{org.url}/id/{org.id}/{session.user.id}",
            "token_type": "access_token",
            "exp": int(session.ends + org.clock_offset_seconds),
            "iat": started,
            "nbf": started,
        }
    )


def revoke(org: Org, request: Incoming) -> Answer:
    """Answer `/services/oauth2/revoke`: the token is all it takes. With `callback` the answer is a script."""
    if request.method not in ("GET", "POST"):
        return oauth_error("invalid_request", "must use HTTP GET or POST")
    parameters = request.form()
    token = parameters.get("token", "")
    error = None if org.sessions.end(token) else _revocation_error(token)
    if callback := parameters.get("callback"):
        return _called_back(callback, {"error": error} if error else {})
    if error is None:
        return Answer(200)
    refusal = oauth_error(
        error, "invalid token" if error == "invalid_token" else "this token type is not supported"
    )
    if formats.wanted(request, "urlencoded") == "urlencoded":
        return replace(formats.as_form(json.loads(refusal.body), refusal.status), error=error)
    return refusal


def _session(org: Org, request: Incoming) -> Session | Answer:
    parameters = request.form()
    token = bearer.token_of(request) or parameters.get("oauth_token") or parameters.get("access_token")
    if not token:
        return _word(403, "Missing_OAuth_Token")
    session = org.find_session(token)
    if session is None:
        return _word(403, "Bad_OAuth_Token")
    session.touch()
    return session


def _word(status: int, word: str) -> Answer:
    return Answer(status, word.encode(), _TEXT, error=word)


def _revocation_error(token: str) -> str:
    """A dead token is told from what never was one."""
    return "invalid_token" if _ANY_TOKEN.fullmatch(token) else "unsupported_token_type"


def _client_credentials(request: Incoming, parameters: dict[str, str]) -> tuple[str, str]:
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            key, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return key, secret
    return parameters.get("client_id", ""), parameters.get("client_secret", "")


# Formats


def _wanted_version(org: Org, request: Incoming) -> str | None:
    """What stands for `{version}` in the URLs; None when that is no version of this org."""
    version = request.query.get("version", "{version}").removesuffix(".0")
    if version == "{version}":
        return version
    if version == "latest":
        version = str(org.newest_version)
    known = map(str, range(org.oldest_version, org.newest_version + 1))
    return f"{version}.0" if version in known else None


def _in_format(body: dict[str, Any], request: Incoming) -> Answer:
    wanted = formats.wanted(request, "xml")
    if wanted == "xml":
        return formats.as_xml("user", body, attributes=_NIL)
    if wanted != "json":
        return Answer(406, unknown_here(f"format={wanted}", "org.answer_path(path, …)").encode(), _TEXT)
    if callback := request.form().get("callback"):
        return _called_back(callback, body)
    return as_asked(json_answer(body), request)


def _called_back(callback: str, body: dict[str, Any]) -> Answer:
    """JSONP: a script that calls the function named."""
    if not _CALLBACK.fullmatch(callback):
        return _word(406, "Invalid_Callback")
    return Answer(200, f"{callback}({json.dumps(body, separators=(',', ':'))});".encode(), _SCRIPT)


# Bodies


def _identity_body(org: Org, user: User, version: str) -> dict[str, Any]:
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
        "urls": _urls(org, user, version),
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "de_DE",
        "utcOffset": 3600000,
        "last_modified_date": _LAST_MODIFIED,
        "is_app_installed": True,
    }


def _userinfo_body(org: Org, user: User) -> dict[str, Any]:
    identity = _identity_body(org, user, "{version}")
    return {
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
        "phone_number": None,
        "phone_number_verified": False,
        "address": {"country": "DE"},
        "is_salesforce_integration_user": True,
        "urls": identity["urls"],
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "de_DE",
        "utcOffset": 3600000,
        "updated_at": _LAST_MODIFIED,
    }


def _urls(org: Org, user: User, version: str) -> dict[str, str]:
    rest = f"{org.instance_url}/services/data/v{version}"
    soap = f"{org.instance_url}/services/Soap"
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
        "profile": f"{org.instance_url}/{user.id}",
        "feeds": f"{rest}/chatter/feeds",
        "groups": f"{rest}/chatter/groups",
        "users": f"{rest}/chatter/users",
        "feed_items": f"{rest}/chatter/feed-items",
        "feed_elements": f"{rest}/chatter/feed-elements",
        "custom_domain": org.url,
    }

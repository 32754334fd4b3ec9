"""The token endpoint: judges an assertion step by step, as Salesforce is seen to do.

Source: Salesforce Help, "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration"; RFC 7523 section 3.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import jwt

from ..apps import App
from ..messages import Answer, Incoming, Refused, json_answer, oauth_error
from ..orgs import Org
from ..sessions import Session
from ..users import User
from . import formats

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PRODUCTION_LOGIN_URL = "https://login.salesforce.com"
SANDBOX_LOGIN_URL = "https://test.salesforce.com"
SHARED_LOGIN_URLS = (PRODUCTION_LOGIN_URL, SANDBOX_LOGIN_URL)

_jws = jwt.PyJWS()
# Three segments of base64url without padding. Source: RFC 7515 section 7.1.
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def token_endpoint(org: Org, request: Incoming) -> Answer:
    """Answer `POST /services/oauth2/token`."""
    if request.method != "POST":
        return oauth_error("invalid_request", "must use HTTP POST")
    parameters = request.form()
    try:
        session = _judge(org, parameters, request)
    except Refused as refusal:
        return refusal.answer
    return _granted(org, session, formats.wanted(request, "xml", "urlencoded")).of(session.user.username)


def names_app_of(assertion: str, org: Org) -> bool:
    """Whether the assertion, not yet believed, names an app of this org; not so when it can't be read."""
    issuer = _claims_of(assertion).get("iss")
    return isinstance(issuer, str) and issuer in org.apps


def names_user_of(assertion: str, org: Org) -> bool:
    """Whether the assertion, not yet believed, names a user of this org."""
    return _named_user(org, _claims_of(assertion)) is not None


def _claims_of(assertion: str) -> dict[str, Any]:
    try:
        return _read(assertion)
    except Refused:
        return {}


def _judge(org: Org, parameters: dict[str, str], request: Incoming) -> Session:
    if parameters.get("grant_type") != GRANT_TYPE:
        _refuse("unsupported_grant_type", "grant type not supported")
    assertion = parameters.get("assertion", "")
    if not assertion:
        _refuse("invalid_request", "missing required parameter: assertion")
    claims = _read(assertion)
    app = _find_app(org, claims, parameters, request.shared_login_url)
    _verify_signature(assertion, app)
    _check_expiry(org, claims)
    _check_audience(org, claims, app, request.called_url)
    if not org.active:
        _refuse("invalid_grant", "inactive organization")
    user = _find_user(org, claims)
    _check_app_scopes(app)
    _check_approval(app, user)
    jti = claims.get("jti")
    if org.refuse_replayed_jti and jti is not None and org.is_replayed(str(jti)):
        _refuse("invalid_grant", "invalid assertion")
    return org.start_session(user, app)


def _refuse(error: str, description: str) -> NoReturn:
    raise Refused(oauth_error(error, description))


def _read(assertion: str) -> dict[str, Any]:
    """The claims, not yet believed."""
    if not _COMPACT.fullmatch(assertion):
        _refuse("invalid_grant", "invalid assertion")
    try:
        read = _jws.decode_complete(assertion, options={"verify_signature": False})
        claims = json.loads(read["payload"])
    except (jwt.PyJWTError, ValueError, RecursionError):
        _refuse("invalid_grant", "invalid assertion")
    if read["header"].get("alg") != "RS256" or not isinstance(claims, dict):
        _refuse("invalid_grant", "invalid assertion")
    return claims


def _find_app(
    org: Org, claims: dict[str, Any], parameters: dict[str, str], shared_login_url: str | None
) -> App:
    issuer = claims.get("iss")
    app = org.apps.get(issuer) if isinstance(issuer, str) else None
    if app is None or not app.known or (shared_login_url and shared_login_url != shared_login_url_of(org)):
        _refuse("invalid_client_id", "client identifier invalid")
    # External client apps are unknown at the login hosts all orgs share, as host and as audience.
    shared = shared_login_url or _bare(claims.get("aud")) in SHARED_LOGIN_URLS
    if app.kind == "external" and (shared or not app.installed):
        _refuse("app_not_found", "External client app is not installed in this org")
    if parameters.get("client_secret", app.consumer_secret) != app.consumer_secret:
        _refuse("invalid_client", "invalid client credentials")
    return app


def shared_login_url_of(org: Org) -> str | None:
    """The login host this org shares with others; None when its My Domain policy forbids signing in there."""
    if not org.shared_login_allowed:
        return None
    return SANDBOX_LOGIN_URL if org.is_sandbox else PRODUCTION_LOGIN_URL


def _verify_signature(assertion: str, app: App) -> None:
    try:
        _jws.decode_complete(assertion, key=app.public_key, algorithms=["RS256"])
    except jwt.PyJWTError:
        _refuse("invalid_grant", "invalid assertion")


def _check_expiry(org: Org, claims: dict[str, Any]) -> None:
    """`exp` may be a numeric string, or in milliseconds: then it merely lies far ahead, which is allowed."""
    expires = claims.get("exp")
    if isinstance(expires, bool) or not isinstance(expires, int | float | str):
        _refuse("invalid_grant", "invalid assertion")
    try:
        seconds = float(expires)
    except (ValueError, OverflowError):
        _refuse("invalid_grant", "invalid assertion")
    if not math.isfinite(seconds):
        _refuse("invalid_grant", "invalid assertion")
    if seconds + org.expiry_tolerance_seconds < org.now():
        _refuse("invalid_grant", "expired authorization code")


def _check_audience(org: Org, claims: dict[str, Any], app: App, called_url: str) -> None:
    """One string: the My Domain, which is this server, or the login host of this kind of org (connected apps only)."""
    accepted = {org.url}
    if called_url != org.instance_url:  # an instance the org has moved to is no audience
        accepted.add(called_url)
    if app.kind == "connected" and (shared := shared_login_url_of(org)):
        accepted.add(shared)
    if _bare(claims.get("aud")) not in accepted:
        _refuse("invalid_grant", "audience is invalid")


def _bare(audience: object) -> str | None:
    return audience.removesuffix("/") if isinstance(audience, str) else None


def _find_user(org: Org, claims: dict[str, Any]) -> User:
    """The user who may sign in now."""
    user = _named_user(org, claims)
    if user is None:
        _refuse("invalid_grant", "user hasn't approved this consumer")
    if not user.may_act:
        _refuse("invalid_grant", "inactive user")
    if org.login_rate_reached(user):
        _refuse("invalid_grant", "login rate exceeded")
    if user.ip_restricted:
        _refuse("invalid_grant", "ip restricted")
    return user


def _named_user(org: Org, claims: dict[str, Any]) -> User | None:
    """The user named by `prn`, the old name, which wins over `sub`."""
    username = claims.get("prn", claims.get("sub"))
    return org.find_user(username) if isinstance(username, str) else None


def _check_app_scopes(app: App) -> None:
    offline = {"refresh_token", "offline_access"} & set(app.scopes)
    if not offline or len(app.scopes) < 2 or not app.installed:
        _refuse(
            "invalid_request",
            "refresh_token scope is required and the connected app should be installed and preauthorized.",
        )


def _check_approval(app: App, user: User) -> None:
    if app.permitted_users == "admin_approved" and not app.is_attached_to(user):
        _refuse("invalid_app_access", "user is not admin approved to access this app")
    if app.permitted_users == "self_authorize" and not user.authorized:
        _refuse("invalid_grant", "user hasn't approved this consumer")


def _granted(org: Org, session: Session, wanted_format: str) -> Answer:
    """The fields of this flow's answer: neither `expires_in` nor `refresh_token` is among them."""
    fields = {
        "access_token": session.token,
        "scope": " ".join(session.scopes),
        "instance_url": org.instance_url,
        "id": f"{org.url}/id/{org.id}/{session.user.id}",
        "token_type": "Bearer",
    }
    if session.fixed_end is not None:
        fields["token_format"] = "jwt"  # noqa: S105  name of a format
    if wanted_format == "urlencoded":
        return formats.as_form(fields)
    if wanted_format == "xml":
        return formats.as_xml("OAuth", fields)
    return json_answer(fields)

"""Every exception of the package.

SalesforceError
  RetryableError          .retry_after seconds; trying later can help
    TransportError          no usable answer: DNS, TLS, deadline, not JSON
      OutcomeUnknown          to a POST, which may have been carried out
    LoginUnavailable        login host in trouble, limit reached, another process still signing in
    ApiUnavailable          also ApiError: a locked row, a limit, Salesforce too busy
  ActionNeeded            a person must act; .cause .remedy .who
    AuthenticationError     token endpoint refused; .error .description
    InvalidPrivateKey       also ValueError
    WrongOrg  NotAllowedHere  EncryptionKeyMissing  ConnectionPaused  UsernameNotAllowed  PermissionMissing  ApiKeyRefused
  ApiError                REST refused; .status_code .error_code .message .fields .cause .remedy .who
    SessionExpired          401 INVALID_SESSION_ID, also after the one replay
    NotFound                404
    QueryCursorLost         the query must be started again
  InvalidInput            a name, id or SOQL that can be refused before any call; also ValueError
  UnknownConnection       also LookupError

The text of each is a sentence an operator can act on and holds no secret. Each can be made of its `args` alone, as Celery's
JSON results do; it is then of the same class and has the same text.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class SalesforceError(Exception):
    """Base of everything this package raises on purpose."""

    code: str = ""
    """What Salesforce said (`invalid_client_id`), or our own word for it (`wrong_org`)."""
    connection: str = ""
    """Name of the connection that it is about; empty where there is none, as for a Client made by hand."""
    results: tuple[Any, ...] = ()
    """Of a call for many records that broke off: a SaveResult for each record that was answered before, in order."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are copied by calling the class with the text, which does not tell all that they hold.
        return _copied, (type(self), self.args, vars(self))


@contextmanager
def about(connection: str) -> Iterator[None]:
    """Have errors of the block tell their connection, also in tracebacks."""
    try:
        yield
    except SalesforceError as exc:
        if connection and not exc.connection:
            exc.connection = connection
            exc.add_note(f"Connection: {connection}")
        raise


def _copied(kind: type[SalesforceError], args: tuple[Any, ...], state: dict[str, Any]) -> SalesforceError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class RetryableError(SalesforceError):
    """Nothing is wrong with the set-up; trying again after `retry_after` seconds can help."""

    code = "unavailable"

    def __init__(self, message: str, *, code: str | None = None, retry_after: float = 5.0) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.retry_after = retry_after


class TransportError(RetryableError):
    """No usable answer came: name, connection, TLS, deadline, or a body that is not what it should be.

    `code` is one of `dns_failure`, `connection_refused`, `connection_failed`, `tls_failure`, `timeout`, `cut_off`,
    `redirected`, `not_json`, `too_large`, `malformed_answer`, `connection_stale`, `proxy_failure`,
    `no_common_api_version`, `http_503` (any status).
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after: float = 5.0,
        status_code: int | None = None,
    ) -> None:
        super().__init__(message, code=code, retry_after=retry_after)
        self.status_code = status_code


class OutcomeUnknown(TransportError):
    """A POST was sent and no usable answer came, so it may have been carried out: whoever repeats it may do it twice.

    For tasks that may not: `autoretry_for=(RetryableError,), dont_autoretry_for=(OutcomeUnknown,)`.
    """

    @classmethod
    def after(cls, error: TransportError) -> OutcomeUnknown:
        return cls(
            f"{error} What was sent may have been written all the same: look before it is sent again, or use upsert with an "
            "external id, which may be repeated.",
            code=error.code,
            retry_after=error.retry_after,
            status_code=error.status_code,
        )


class LoginUnavailable(RetryableError):
    """No token can be had at this moment, though nothing is known to be wrong with the connection."""

    code = "login_unavailable"
    description = ""
    """Salesforce's own words beside the code, where it said any."""


class ActionNeeded(SalesforceError):
    """A person must act before this works. `cause`, `remedy` and `who` are ready to be shown."""

    code = "action_needed"

    def __init__(self, cause: str, *, remedy: str = "", who: str = "", code: str | None = None) -> None:
        super().__init__(f"{cause} {remedy}".strip())
        self.code = code or type(self).code
        self.cause = cause
        self.remedy = remedy
        self.who = who


class AuthenticationError(ActionNeeded):
    """The token endpoint refused. `error` and `description` are Salesforce's own words."""

    code = "authentication_failed"

    def __init__(
        self,
        cause: str,
        *,
        error: str = "",
        description: str = "",
        status_code: int = 400,
        remedy: str = "",
        who: str = "",
    ) -> None:
        super().__init__(cause, remedy=remedy, who=who, code=error)
        if error:
            said = f"{error}: {description}" if description else error
            self.args = (f"Salesforce refused the sign-in ({said}). {cause} {remedy}".strip(),)
        self.error = error
        self.description = description
        self.status_code = status_code


class InvalidPrivateKey(ActionNeeded, ValueError):
    """What was given is no usable RSA private key; the sentence names what it is instead."""

    code = "invalid_private_key"


class WrongOrg(ActionNeeded):
    """The sign-in led to another org than the one this connection is pinned to.

    `code` is `sandbox_refreshed` where that explains it, `org_unknown` where nothing tells which org it is.
    """

    code = "wrong_org"

    def __init__(
        self,
        cause: str,
        *,
        remedy: str = "",
        who: str = "",
        code: str | None = None,
        organization_id: str = "",
    ) -> None:
        super().__init__(cause, remedy=remedy, who=who, code=code)
        self.organization_id = organization_id
        """The other org's, so that it can be accepted; empty when it is unknown."""


class NotAllowedHere(ActionNeeded):
    """This installation may not talk to that host or to that kind of org."""

    code = "not_allowed_here"


class EncryptionKeyMissing(ActionNeeded):
    """A secret was sealed with an encryption key that this installation does not have.

    `code` is `secret_damaged` for one that is no use with any, `signer_missing` where an unknown signer holds a signing key.
    """

    code = "encryption_key_missing"


class ConnectionPaused(ActionNeeded):
    """The connection is switched off."""

    code = "paused"


class UsernameNotAllowed(ActionNeeded):
    """Another Salesforce user was asked for that the connection does not list."""

    code = "username_not_allowed"


class PermissionMissing(ActionNeeded):
    """The signed-in person or API client may not do this."""

    code = "permission_missing"


class ApiKeyRefused(ActionNeeded):
    """The API key is unknown, expired or revoked."""

    code = "api_key_refused"


class ApiError(SalesforceError):
    """The REST API refused a request. `cause`, `remedy` and `who` are the catalogue's, empty where it knows nothing."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 0,
        error_code: str = "",
        fields: tuple[str, ...] = (),
        cause: str = "",
        remedy: str = "",
        who: str = "",
    ) -> None:
        said = f"Salesforce answered {status_code} {error_code}".rstrip()
        super().__init__(f"{said}: {message}" if status_code else message)
        self.status_code = status_code
        self.error_code = error_code
        self.code = error_code or f"http_{status_code}"
        self.message = message
        self.fields = fields
        self.cause = cause or message
        self.remedy = remedy
        self.who = who


class ApiUnavailable(ApiError, RetryableError):
    """The REST API refused a request for now: nothing was done, and the same call can succeed after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 5.0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class SessionExpired(ApiError):
    """The access token is dead: 401 `INVALID_SESSION_ID`, or 403 `Bad_OAuth_Token` at the identity URLs."""


class NotFound(ApiError):
    """404: absent, or hidden from this user; Salesforce does not tell the two apart."""


class QueryCursorLost(ApiError):
    """The rest of a paged query can no longer be fetched; start the query again."""


class InvalidInput(SalesforceError, ValueError):
    """Refused before any call: a malformed record id, name, SOQL or setting."""

    code = "invalid_input"


class UnknownConnection(SalesforceError, LookupError):
    """There is no connection of that name, empty if none was named; `suggestion` is the nearest one or None."""

    code = "unknown_connection"

    def __init__(self, name: str, suggestion: str | None = None) -> None:
        super().__init__(name, suggestion)
        self.name = name
        self.suggestion = suggestion

    def __str__(self) -> str:
        if not self.name:
            return "There is not just one connection: name one, or set SF_INTEGRATION['DEFAULT']."
        near, every = f"Did you mean “{self.suggestion}”?", "See “manage.py salesforce list”."
        return f"There is no connection “{self.name}”. {near if self.suggestion else every}"


def without_secrets(error: BaseException) -> dict[str, Any]:
    """The parts of an error that may be stored and shown, as texts."""
    return {
        "code": getattr(error, "code", "") or type(error).__name__,
        "message": str(error),
        "cause": getattr(error, "cause", str(error)),
        "remedy": getattr(error, "remedy", ""),
        "who": getattr(error, "who", ""),
        "description": getattr(error, "description", ""),
    } | other_org(error)


def other_org(error: BaseException) -> dict[str, str]:
    """`organization_id`, where an error tells of another org than the expected one."""
    found = error.organization_id if isinstance(error, WrongOrg) else ""
    return {"organization_id": found} if found else {}

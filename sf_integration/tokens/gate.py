"""The one gate before every sign-in, and the errors that it hands to those who come too early."""

from __future__ import annotations

import datetime as dt

from ..models import AccessToken
from ..salesforce import errors
from ..salesforce.errors import ActionNeeded, AuthenticationError, LoginUnavailable, SalesforceError, WrongOrg
from . import claims, lifecycle, pin


def require_open(row: AccessToken, now: dt.datetime) -> None:
    """Raise the stored error while the gate is shut. An edit opens it: the error was that of other settings."""
    if row.next_try_at is None or row.next_try_at <= now or row.last_error is None or _is_over(row):
        return
    if row.next_try_at - now > lifecycle.LONGEST_WAIT.get(
        row.last_error.get("kind", ""), lifecycle.LONGEST_WAIT["set-up"]
    ):
        return  # shut by a clock that was ahead
    raise stored_error(row.last_error, retry_after=(row.next_try_at - now).total_seconds())


def require_pause(row: AccessToken, now: dt.datetime) -> None:
    """“Try now” passes the gate, but at most once in ten seconds while it fails."""
    if row.last_try_at is None or row.last_error is None or _is_over(row):
        return
    wait = row.last_try_at + lifecycle.TRY_NOW_EVERY - now
    if dt.timedelta(0) < wait <= lifecycle.TRY_NOW_EVERY:  # more is no time that a clock put right has told
        raise stored_error(row.last_error, retry_after=wait.total_seconds())


def require_logins_left(row: AccessToken, now: dt.datetime) -> None:
    """Raise the stored error while Salesforce refuses this user any more sign-ins: nothing passes that."""
    stored, until = row.last_error, row.next_try_at
    if stored is not None and stored.get("kind") == "rate" and until is not None and until > now:
        raise stored_error(stored, retry_after=(until - now).total_seconds())


def require_fuse(row: AccessToken, now: dt.datetime, *, uncounted: int = 0) -> None:
    """Stop well before Salesforce locks the user out. `uncounted` sign-ins are not in the database yet."""
    used = claims.logins_this_hour([row.username], now).get(row.username, 0) + uncounted
    if used >= lifecycle.FUSE_LOGINS:
        raise LoginUnavailable(
            f"{row.username} signed in {used} times within the hour; we stop at {lifecycle.FUSE_LOGINS}, well before "
            "Salesforce locks the user out at 3,600. Something ends its sessions, or asks for tokens that don't last.",
            code="fuse_blown",
            retry_after=600,
        )


def refusal(row: AccessToken, now: dt.datetime) -> SalesforceError | None:
    """Why the last sign-in failed, if that still matters: a person must act, or there is no token left."""
    stored = row.last_error
    if stored is None or _is_over(row):
        return None
    if stored.get("kind") != "set-up" and row.has_token(now):
        return None
    left = (row.next_try_at - now).total_seconds() if row.next_try_at else 0.0
    return stored_error(stored, retry_after=left)


def _is_over(row: AccessToken) -> bool:
    """Whether the failure was that of other settings, or of an org that is the expected one now."""
    other_org = (row.last_error or {}).get("organization_id", "")
    return not row.fits_settings or bool(other_org and pin.fits(row.connection, other_org))


def stored_error(stored: dict[str, str], *, retry_after: float) -> SalesforceError:
    """A stored failure as the exception it was."""
    if stored.get("kind") != "set-up":
        unavailable = LoginUnavailable(
            stored["message"], code=stored.get("code"), retry_after=max(retry_after, 1.0)
        )
        unavailable.description = stored.get("description", "")
        return unavailable
    cause, remedy, who = stored["cause"], stored.get("remedy", ""), stored.get("who", "")
    kind = getattr(errors, stored.get("type", ""), ActionNeeded)
    if kind is AuthenticationError:
        return AuthenticationError(
            cause, error=stored["code"], description=stored.get("description", ""), remedy=remedy, who=who
        )
    if not issubclass(kind, ActionNeeded):
        kind = ActionNeeded
    error: ActionNeeded = kind(cause, remedy=remedy, who=who, code=stored.get("code"))
    if isinstance(error, WrongOrg):
        error.organization_id = stored.get("organization_id", "")
    return error


def still_signing_in() -> LoginUnavailable:
    return LoginUnavailable(
        "Another process is still signing in for this connection.", code="sign_in_under_way", retry_after=2.0
    )

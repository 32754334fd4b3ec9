"""The data. Models say true sentences about themselves; they never open a connection and `save()` does nothing else."""

from .alarms import Alarm, AlarmMessage
from .base import Base, NormalUsername, normal_username
from .connections import (
    RESERVED_NAMES,
    SIGN_IN_FIELDS,
    UNDO_FOR,
    AppKind,
    ConnectedApp,
    ConnectedAppQuerySet,
    GroupAccess,
)
from .drafts import ConnectionDraft
from .history import AuditEvent, CheckDay, ConnectionCheck, ConnectionEvent, Heartbeat, Total
from .people import ApiClient, RecentLookup
from .sessions import EARLY_ENDS_THAT_TELL, SESSION_MINUTES, SessionAdvice, session_length
from .signing_keys import SigningKey, missing_signers
from .tokens import (
    EXTRA_USERNAME_FORGOTTEN_AFTER,
    EXTRA_USERNAME_IDLES_AFTER,
    FARTHEST_CLAIM,
    AccessToken,
    AccessTokenQuerySet,
    settings_fingerprint,
)

__all__ = [
    "EARLY_ENDS_THAT_TELL",
    "EXTRA_USERNAME_FORGOTTEN_AFTER",
    "EXTRA_USERNAME_IDLES_AFTER",
    "FARTHEST_CLAIM",
    "RESERVED_NAMES",
    "SESSION_MINUTES",
    "SIGN_IN_FIELDS",
    "UNDO_FOR",
    "AccessToken",
    "AccessTokenQuerySet",
    "Alarm",
    "AlarmMessage",
    "ApiClient",
    "AppKind",
    "AuditEvent",
    "Base",
    "CheckDay",
    "ConnectedApp",
    "ConnectedAppQuerySet",
    "ConnectionCheck",
    "ConnectionDraft",
    "ConnectionEvent",
    "GroupAccess",
    "Heartbeat",
    "NormalUsername",
    "RecentLookup",
    "SessionAdvice",
    "SigningKey",
    "Total",
    "missing_signers",
    "normal_username",
    "session_length",
    "settings_fingerprint",
]

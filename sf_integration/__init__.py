"""Salesforce connections for Django: one fresh access token for everybody who needs it.

Imported before Django's apps are ready, so nothing here touches models until it is called.
"""

from __future__ import annotations

from .api import AsyncClient, SalesforceAuth, aget_client, aget_token, get_client, get_token
from .salesforce.errors import (
    ActionNeeded,
    ApiError,
    ApiKeyRefused,
    ApiUnavailable,
    AuthenticationError,
    ConnectionPaused,
    EncryptionKeyMissing,
    InvalidInput,
    InvalidPrivateKey,
    LoginUnavailable,
    NotAllowedHere,
    NotFound,
    OutcomeUnknown,
    PermissionMissing,
    QueryCursorLost,
    RetryableError,
    SalesforceError,
    SessionExpired,
    TransportError,
    UnknownConnection,
    UsernameNotAllowed,
    WrongOrg,
)
from .salesforce.oauth import Identity, Token
from .salesforce.rest import Client
from .version import __version__ as __version__

__all__ = [
    "ActionNeeded",
    "ApiError",
    "ApiKeyRefused",
    "ApiUnavailable",
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "ConnectionPaused",
    "EncryptionKeyMissing",
    "Identity",
    "InvalidInput",
    "InvalidPrivateKey",
    "LoginUnavailable",
    "NotAllowedHere",
    "NotFound",
    "OutcomeUnknown",
    "PermissionMissing",
    "QueryCursorLost",
    "RetryableError",
    "SalesforceAuth",
    "SalesforceError",
    "SessionExpired",
    "Token",
    "TransportError",
    "UnknownConnection",
    "UsernameNotAllowed",
    "WrongOrg",
    "aget_client",
    "aget_token",
    "get_client",
    "get_token",
]

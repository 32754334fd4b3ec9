"""The settings of the app: one dict `SF_INTEGRATION`, read at use so that `override_settings` works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings as django_settings

_LOGIN_HOSTS = ("https://login.salesforce.com", "https://test.salesforce.com")
ENVIRONMENTS = ("production", "sandbox", "scratch", "developer", "trailhead")


@dataclass(frozen=True)
class SignerSettings:
    """Who holds signing keys outside."""

    backend: str
    """Dotted path of a class, or of a function that makes one."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What it is called with; a PIN or a password may be among it."""


@dataclass(frozen=True)
class ChannelSettings:
    """Where alarms go beside mail."""

    url: str = field(repr=False)
    """Apprise's: it holds the channel's secret."""
    tags: tuple[str, ...] = ()
    """Only for connections that have one of these; empty: for all."""


class Settings:
    """One property per setting, its default beside it."""

    @property
    def ENCRYPTION_KEYS(self) -> tuple[str, ...]:
        """Base64url keys of 32 bytes: the first seals, all open. Without one no secret can be stored. How they are changed:
        docs/encryption-keys.md."""
        return tuple(self._get("ENCRYPTION_KEYS", ()))

    @property
    def ALLOWED_HOSTS(self) -> tuple[str, ...]:
        """Login and instance hosts outside Salesforce's domains, as `host` or `host:port`; plain http on loopback only."""
        return tuple(host.lower() for host in self._get("ALLOWED_HOSTS", ()))

    @property
    def ALLOWED_ENVIRONMENTS(self) -> frozenset[str]:
        """Kinds of org that may be called, of `production`, `sandbox`, `scratch`, `developer`, `trailhead`; an unknown kind counts
        as `production`. Without `production` on staging, a copied production database calls no production org."""
        return frozenset(self._get("ALLOWED_ENVIRONMENTS", ()) or ENVIRONMENTS)

    @property
    def LOGIN_HOSTS(self) -> tuple[str, str]:
        """URLs of the login hosts that all production orgs, and all sandboxes, share: *Find the fault* tries them besides the
        org's own address. Stand-ins have others."""
        production, sandboxes = self._get("LOGIN_HOSTS", _LOGIN_HOSTS)
        return production.rstrip("/"), sandboxes.rstrip("/")

    @property
    def DEFAULT(self) -> str:
        """Name of the connection that `get_client()` without a name means; without it, the only one there is."""
        return str(self._get("DEFAULT", ""))

    @property
    def PROMOTE_STAGED_KEYS(self) -> bool:
        """Whether a connection takes its staged signing key for its own once the org takes it. Else calls go on with it, and a
        person promotes it: docs/rotating-keys.md."""
        return bool(self._get("PROMOTE_STAGED_KEYS", True))

    @property
    def SIGNERS(self) -> Mapping[str, SignerSettings]:
        """Who holds signing keys outside, by name: a dotted path, or `{"BACKEND": path, "OPTIONS": {…}}`. More:
        docs/overriding.md#who-holds-the-signing-keys."""
        given: Mapping[str, Any] = self._get("SIGNERS", {})
        return {name: _signer(each) for name, each in given.items()}

    @property
    def HOST_RULE(self) -> str:
        """Dotted path of a function that says which hosts may be called; without it the built-in rule alone decides. More:
        docs/overriding.md#which-hosts-may-be-called."""
        return str(self._get("HOST_RULE", ""))

    @property
    def KEEP_CHECKS_DAYS(self) -> int:
        """How long each check is kept. A summary of each day outlives it."""
        return int(self._get("KEEP_CHECKS_DAYS", 30))

    @property
    def KEEP_EVENTS_DAYS(self) -> int:
        """How long sign-ins, refusals, ended sessions, changes of state, and alarms that are over are kept."""
        return int(self._get("KEEP_EVENTS_DAYS", 14))

    @property
    def KEEP_DAYS(self) -> int:
        """How long the summary of each day is kept."""
        return int(self._get("KEEP_DAYS", 400))

    @property
    def TOKEN_API(self) -> bool:
        """Whether programs with an API key get tokens over HTTP; off, its addresses are not found. Your own site includes
        `sf_integration.token_api.urls` too: docs/http-api.md."""
        return bool(self._get("TOKEN_API", False))

    @property
    def TOKEN_API_CALLS_PER_MINUTE(self) -> int:
        """How many calls of the HTTP token API each API client may make. They are counted in Django's cache; where each process
        has one of its own, each counts by itself."""
        return int(self._get("TOKEN_API_CALLS_PER_MINUTE", 600))

    @property
    def SITE_URL(self) -> str:
        """Where browsers reach the site, as `https://connections.example`: for links in alarms, which have none without it."""
        return str(self._get("SITE_URL", "")).rstrip("/")

    @property
    def ALARM_MAIL(self) -> tuple[str, ...]:
        """Addresses of the site's own contacts: told of what concerns the site, of connections without contacts, and of all that
        lasts for a day. More: docs/alarms.md."""
        return tuple(self._get("ALARM_MAIL", ()))

    @property
    def ALARM_CHANNELS(self) -> Mapping[str, ChannelSettings]:
        """Apprise channels by name: a URL, or `{"URL": url, "TAGS": ["emea"]}` for connections with one of these tags. URLs are
        secrets. Needs the extra `notify`: docs/alarms.md#setting-it-up."""
        given: Mapping[str, Any] = self._get("ALARM_CHANNELS", {})
        return {name: _channel(each) for name, each in given.items()}

    @property
    def ALARM_AFTER_SECONDS(self) -> int:
        """How long something must be amiss before anybody is told: what passes by itself wakes nobody."""
        return int(self._get("ALARM_AFTER_SECONDS", 120))

    @property
    def DRAIN_FILE(self) -> str:
        """While this file is there, `/readyz` answers 503, so that load balancers send no more requests; all else goes on. More:
        docs/many-hosts.md#restarting-without-a-failed-request."""
        return str(self._get("DRAIN_FILE", ""))

    @property
    def METRICS_TOKEN(self) -> str:
        """What a scraper sends as `Authorization: Bearer` to read `/metrics`; without it, only people who may see connections read
        them: docs/metrics.md#who-may-read-it."""
        return str(self._get("METRICS_TOKEN", ""))

    def _get(self, name: str, default: Any) -> Any:
        configured: dict[str, Any] = getattr(django_settings, "SF_INTEGRATION", {})
        value = configured.get(name)
        if value is None:
            return default  # a variable that is not set must not make a METRICS_TOKEN “None”
        if isinstance(value, str) and isinstance(default, Sequence) and not isinstance(default, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value


def _channel(given: Any) -> ChannelSettings:
    if isinstance(given, Mapping):
        return ChannelSettings(str(given.get("URL", "")), tuple(given.get("TAGS", ())))
    return ChannelSettings(str(given))


def _signer(given: Any) -> SignerSettings:
    if isinstance(given, Mapping):
        return SignerSettings(str(given.get("BACKEND", "")), dict(given.get("OPTIONS", {})))
    return SignerSettings(str(given))


settings = Settings()
NAMES = tuple(name for name in vars(Settings) if name.isupper())

"""Which hosts may be called, and what kind of org a host tells of.

Source: Salesforce Help, "My Domain URL Formats"; see docs/protocol.md.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.utils.module_loading import import_string

from .conf import settings
from .salesforce import my_domain
from .salesforce.errors import InvalidInput, NotAllowedHere
from .salesforce.http import is_web_address

log = logging.getLogger("sf_integration.hosts")

HostRule = Callable[[str], bool | None]
"""A function named in HOST_RULE: whether a URL may be called; None leaves it to the built-in rule. It may raise NotAllowedHere
with words of its own. Asked from any thread, again and again for tokens in use: it answers at once, without a query."""

_SALESFORCE_DOMAINS = (
    ".salesforce.com",
    ".salesforce.mil",
    ".sfcrmproducts.cn",
    ".force.com",
    ".my.site.com",
)
_KINDS = (
    (
        re.compile(
            r"\.sandbox\.my\.(salesforce\.(com|mil)|sfcrmproducts\.cn)$|^test\.salesforce\.com$|^cs\d+(\.my)?\.salesforce\.com$"
        ),
        "sandbox",
    ),
    (re.compile(r"\.scratch\.my\.salesforce\.com$"), "scratch"),
    (re.compile(r"\.develop\.my\.salesforce\.com$|-dev-ed\.my\.salesforce\.com$"), "developer"),
    (re.compile(r"\.trailblaze\.my\.salesforce\.com$"), "trailhead"),
)


@dataclass(frozen=True)
class LoginAddress:
    """What was made of an address that somebody typed or pasted."""

    login_url: str
    audience: str
    """The default: right unless the connection says another."""
    environment: str
    """Empty if the host does not tell; the first check asks the org."""
    note: str
    """What was made of the text, in a sentence; empty when that is no more than form."""


def read_login_url(text: str) -> LoginAddress:
    """Raises InvalidInput when `text` holds no login URL, NotAllowedHere when that may not be called."""
    found = my_domain.read(text)
    require_allowed(found.url)
    return LoginAddress(found.url, default_audience(found.url), environment_told_by(found.url), found.note)


def normal_login_url(text: str) -> str:
    """`text` as scheme and host, without a trailing slash; a site path of Experience Cloud is kept.

    Raises InvalidInput when it is no usable URL.
    """
    return my_domain.read(text).url


def app_kind_problem(app_kind: str, *, login_url: str, audience: str) -> tuple[str, str] | None:
    """Field and sentence, when an app of this kind can't be found at these addresses; None when it can or may."""
    if app_kind != "external_client_app":
        return None
    for field, url in (("login_url", login_url), ("audience", audience)):
        if my_domain.is_shared_login(url):
            return field, (
                f"External Client Apps are not found through {urlsplit(url).hostname}: Salesforce answers app_not_found. "
                "Use the org's My Domain URL (Setup → My Domain), or choose Connected App if it is one."
            )
    return None


def require_allowed(url: str) -> None:
    """Raise NotAllowedHere unless login or API calls may go to `url`; InvalidInput for what no parser understands.

    HOST_RULE has the last word on which hosts; that they are called by https, and serve programs, it can't change.
    """
    if not is_web_address(url):
        raise NotAllowedHere(
            f"“{my_domain.without_user(my_domain.split(url))}” is no https address.",
            remedy="Use the org's My Domain URL.",
        )
    parts = urlsplit(url)
    host, netloc = (parts.hostname or "").lower(), parts.netloc.lower()
    if parts.scheme == "http" and not is_loopback(host):
        raise _refused(
            f"http://{netloc} would send the sign-in unprotected; plain http is for this machine itself only.",
            f"Use https://{netloc}.",
        )
    if my_domain.is_page_host(host):
        raise _refused(
            f"{host} serves pages, not sign-ins of programs.",
            "Use the My Domain URL: Setup → My Domain, it ends in .my.salesforce.com.",
        )
    verdict = _verdict_of_rule(url)
    if verdict is False:
        raise _refused(
            f"{netloc} is forbidden by this installation's own rule for hosts.",
            f"If it should be called, let {settings.HOST_RULE} allow it.",
        )
    if verdict is None and not _is_salesforces(host, parts.port) and not _is_listed(host, netloc):
        raise _refused(
            f"{netloc} is neither a host of Salesforce nor listed in SF_ALLOWED_HOSTS.",
            f"Check the address; if it is right, add {netloc} to SF_ALLOWED_HOSTS.",
        )


def _refused(why: str, remedy: str) -> NotAllowedHere:
    return NotAllowedHere(why, remedy=remedy, who="whoever runs this site")


def host_rule() -> HostRule | None:
    """Raises ImportError or TypeError when HOST_RULE leads nowhere."""
    if not settings.HOST_RULE:
        return None
    rule: HostRule = import_string(settings.HOST_RULE)
    if not callable(rule):
        raise TypeError(f"{settings.HOST_RULE} can't be called")
    return rule


def _verdict_of_rule(url: str) -> bool | None:
    """A rule that breaks forbids: nothing is called by accident."""
    try:
        rule = host_rule()
        verdict = rule(url) if rule else None
    except NotAllowedHere:
        raise
    except Exception as exc:  # noqa: BLE001 - somebody else's code
        log.error(
            "the rule for hosts %s broke, so nothing is called: %s", settings.HOST_RULE, type(exc).__name__
        )
        return False
    return verdict if verdict is None or verdict is True else False


def _is_salesforces(host: str, port: int | None) -> bool:
    return host.endswith(_SALESFORCE_DOMAINS) and port in (None, 443)


def _is_listed(host: str, netloc: str) -> bool:
    return netloc in settings.ALLOWED_HOSTS or (host in settings.ALLOWED_HOSTS and not is_loopback(host))


def is_allowed(url: str) -> bool:
    """Whether `require_allowed` lets it pass."""
    try:
        require_allowed(url)
    except (NotAllowedHere, InvalidInput):
        return False
    return True


def environment_of(url: str) -> str:
    """`production`, `sandbox`, `scratch`, `developer` or `trailhead`, as far as the host tells; unknown counts as production."""
    host = (my_domain.split(url).hostname or "").lower()
    return next((kind for pattern, kind in _KINDS if pattern.search(host)), "production")


def environment_told_by(url: str) -> str:
    """As `environment_of`, but empty for hosts that tell nothing: this machine itself, sites, names of one's own.

    `acme--uat.my.salesforce.com` tells nothing either: sandboxes had such names before they got hosts of their own.
    """
    host = (my_domain.split(url).hostname or "").lower()
    kind = environment_of(url)
    named, sandbox = my_domain.names(url)
    is_production = host == my_domain.SHARED_LOGIN_HOSTS[0] or bool(named and not sandbox)
    return kind if kind != "production" or is_production else ""


def environment_of_org(*, is_sandbox: bool, organization_type: str, trial: bool, login_url: str) -> str:
    """As `environment_of`, corrected by the org's own Organization record."""
    by_host = environment_of(login_url)
    if is_sandbox:
        return by_host if by_host in ("sandbox", "scratch") else ("scratch" if trial else "sandbox")
    if organization_type == "Developer Edition":
        return by_host if by_host in ("scratch", "trailhead") else "developer"
    return "production" if by_host == "sandbox" else by_host


def environment_allowed(environment: str) -> bool:
    return environment in settings.ALLOWED_ENVIRONMENTS


def default_audience(login_url: str) -> str:
    """The My Domain for both, or the login authority: in every case the login URL's own host."""
    parts = my_domain.split(login_url)
    path = parts.path if parts.netloc.endswith((".force.com", ".my.site.com")) else ""
    return f"{parts.scheme}://{parts.netloc}{path}".rstrip("/")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

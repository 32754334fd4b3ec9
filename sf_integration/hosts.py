"""Which hosts may be called, and what kind of org a host tells of.

Source: Salesforce Help, "My Domain URL Formats"; see docs/protocol.md.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from .conf import settings
from .salesforce.errors import InvalidInput, NotAllowedHere
from .salesforce.http import is_web_address

_SALESFORCE_DOMAINS = (
    ".salesforce.com",
    ".salesforce.mil",
    ".sfcrmproducts.cn",
    ".force.com",
    ".my.site.com",
)
_PAGE_DOMAINS = (".lightning.force.com", ".my.salesforce-setup.com", ".vf.force.com")
_KINDS = (
    (
        re.compile(
            r"\.sandbox\.my\.salesforce\.(com|mil)$|^test\.salesforce\.com$|^cs\d+(\.my)?\.salesforce\.com$"
        ),
        "sandbox",
    ),
    (re.compile(r"\.scratch\.my\.salesforce\.com$"), "scratch"),
    (re.compile(r"\.develop\.my\.salesforce\.com$|-dev-ed\.my\.salesforce\.com$"), "developer"),
    (re.compile(r"\.trailblaze\.my\.salesforce\.com$"), "trailhead"),
)


def normal_login_url(text: str) -> str:
    """`text` as scheme and host, without a trailing slash; a site path of Experience Cloud is kept.

    Raises InvalidInput when it is no usable URL.
    """
    text = text.strip()
    if "://" not in text:
        text = f"https://{text}"
    parts = _split(text)
    if parts.scheme not in ("https", "http"):
        raise InvalidInput(f"“{text[:80]}” is not a web address: begin it with https://.")
    url = f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
    if not is_web_address(url) or parts.query or parts.fragment:
        raise InvalidInput(
            f"“{_without_user(parts)}” is not a login URL: give scheme and host only, as in https://acme.my.salesforce.com, "
            "without user, password or query."
        )
    return url


def require_allowed(url: str) -> None:
    """Raise NotAllowedHere unless login or API calls may go to `url`."""
    if not is_web_address(url):
        raise NotAllowedHere(
            f"“{_without_user(_split(url))}” is no https address.", remedy="Use the org's My Domain URL."
        )
    parts = urlsplit(url)
    host, netloc = (parts.hostname or "").lower(), parts.netloc.lower()
    listed = netloc in settings.ALLOWED_HOSTS or (host in settings.ALLOWED_HOSTS and not is_loopback(host))
    if parts.scheme == "http" and not is_loopback(host):
        raise NotAllowedHere(
            f"http://{netloc} would send the sign-in unprotected; plain http is for this machine itself only.",
            remedy=f"Use https://{netloc}.",
            who="whoever runs this site",
        )
    if host.endswith(_PAGE_DOMAINS):
        raise NotAllowedHere(
            f"{host} serves pages, not sign-ins of programs.",
            remedy="Use the My Domain URL: Setup → My Domain, it ends in .my.salesforce.com.",
            who="whoever runs this site",
        )
    if not listed and not (host.endswith(_SALESFORCE_DOMAINS) and parts.port in (None, 443)):
        raise NotAllowedHere(
            f"{netloc} is neither a host of Salesforce nor listed in SF_ALLOWED_HOSTS.",
            remedy=f"Check the address; if it is right, add {netloc} to SF_ALLOWED_HOSTS.",
            who="whoever runs this site",
        )


def environment_of(url: str) -> str:
    """`production`, `sandbox`, `scratch`, `developer` or `trailhead`, as far as the host tells; unknown counts as production."""
    host = (_split(url).hostname or "").lower()
    return next((kind for pattern, kind in _KINDS if pattern.search(host)), "production")


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
    parts = _split(login_url)
    path = parts.path if parts.netloc.endswith((".force.com", ".my.site.com")) else ""
    return f"{parts.scheme}://{parts.netloc}{path}".rstrip("/")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is no number
    except ValueError as exc:
        raise InvalidInput("This is not a web address.") from exc
    return parts


def _without_user(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:80]

"""Addresses of an org: from whatever a browser shows to the one that programs sign in at, and back to its Setup pages.

Source: Salesforce Help, "My Domain URL Formats"; government and China hosts as the Salesforce CLI knows them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from .errors import InvalidInput
from .http import is_web_address

SHARED_LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")
"""Where orgs of all customers sign in; External Client Apps are not found through them."""

_MY_DOMAIN_OF = {
    "force.com": "my.salesforce.com",
    "crmforce.mil": "my.salesforce.mil",
    "force.mil": "my.salesforce.mil",
    "sfcrmapps.cn": "my.sfcrmproducts.cn",
    "sfcrmproducts.cn": "my.sfcrmproducts.cn",
    "salesforce-setup.com": "my.salesforce.com",
    "salesforce-setup.mil": "my.salesforce.mil",
}
_LIGHTNING_OF = {
    "my.salesforce.com": "lightning.force.com",
    "my.salesforce.mil": "lightning.crmforce.mil",
    "my.sfcrmproducts.cn": "lightning.sfcrmapps.cn",
}
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_PAGES = re.compile(
    rf"(?P<org>{_LABEL}(?:\.{_LABEL})?)\."
    r"(?:(?:lightning|file)\.(?P<root>force\.com|crmforce\.mil|force\.mil|sfcrmapps\.cn|sfcrmproducts\.cn)"
    r"|my\.(?P<setup>salesforce-setup\.(?:com|mil))|setup\.(?P<china>sfcrmproducts\.cn))"
)
# Visualforce adds the package's name: acme--c, or acme--uat--c in a sandbox.
_VISUALFORCE = re.compile(
    rf"(?P<domain>{_LABEL})--[a-z0-9_]+(?P<partition>\.{_LABEL})?"
    r"\.vf\.(?P<root>force\.com|crmforce\.mil|force\.mil|sfcrmapps\.cn|sfcrmproducts\.cn)"
)
_MY_DOMAIN = re.compile(
    rf"(?P<org>{_LABEL}(?:\.{_LABEL})?)\.(?P<root>my\.salesforce\.com|my\.salesforce\.mil|my\.sfcrmproducts\.cn)"
)
_INSTANCE = re.compile(r"[a-z]{2,4}\d+[a-z]?\.salesforce\.com")
_BEFORE_SIGN_IN = re.compile(r"(?:www|help|trailhead|welcome|developer|appexchange)\.salesforce\.com")
_PAGE_DOMAINS = re.compile(
    r"\.(?:(?:lightning|vf|file)\.(?:force\.com|crmforce\.mil|force\.mil|sfcrmapps\.cn|sfcrmproducts\.cn)"
    r"|salesforce-setup\.(?:com|mil)|setup\.sfcrmproducts\.cn)$"
)
_WRAPPED = re.compile(r"""[<"'\u201c\u2018\u201e\xab](.*)[>"'\u201d\u2019\u201c\xbb]""", re.DOTALL)
"""As in mails and quotations."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_EMPTY_LABEL = re.compile(r"(?:^|\.)\.")
_SITES = (".force.com", ".my.site.com")


@dataclass(frozen=True)
class Address:
    url: str
    """Scheme and host, without a trailing slash; the path is kept for Experience Cloud sites and other hosts."""
    note: str = ""
    """What was made of the text, when that is more than form."""


def read(text: str) -> Address:
    """The login URL in `text`: typed, or copied from a browser that shows the org.

    Raises InvalidInput when it is no usable address; for hosts of Salesforce that no program signs in at, it says where
    the right one is found.
    """
    wrapped = _WRAPPED.fullmatch(text.strip())
    typed = (wrapped[1] if wrapped else text).strip()
    if not _SCHEME.match(typed):
        typed = f"https://{typed}"
    parts = split(typed)
    if parts.scheme not in ("https", "http"):
        raise InvalidInput(f"“{without_user(parts)}” is not a web address: begin it with https://.")
    bare = f"{parts.scheme}://{parts.netloc.lower().rstrip('.')}"
    if not is_web_address(bare):
        raise _not_a_login_url(parts)
    host = (urlsplit(bare).hostname or "").rstrip(".")
    if _EMPTY_LABEL.search(host):
        raise _not_a_login_url(parts)
    if _is_salesforce(host) and split(bare).port in (None, 443):
        return _of_salesforce(parts, host)
    url = bare + parts.path.rstrip("/")
    if parts.query or parts.fragment or not is_web_address(url):
        raise _not_a_login_url(parts)
    return Address(url)


def my_domain_of(host: str) -> str:
    """The host programs sign in at, for one that serves pages of the same org; empty when `host` tells of none."""
    if found := _PAGES.fullmatch(host):
        return f"{found['org']}.{_MY_DOMAIN_OF[found['root'] or found['setup'] or found['china']]}"
    found = _VISUALFORCE.fullmatch(host)
    if not found or (found["partition"] == ".sandbox" and "--" not in found["domain"]):
        return ""
    return f"{found['domain']}{found['partition'] or ''}.{_MY_DOMAIN_OF[found['root']]}"


def is_page_host(host: str) -> bool:
    """Whether people see pages there, and no program can sign in."""
    return _PAGE_DOMAINS.search(host.lower()) is not None


def is_shared_login(url: str) -> bool:
    """Whether `url` is login.salesforce.com or test.salesforce.com."""
    try:
        return (urlsplit(url).hostname or "") in SHARED_LOGIN_HOSTS
    except ValueError:
        return False


def setup_url(login_url: str, path: str) -> str:
    """The page `path` of the org's own Setup; empty unless the login URL is a My Domain of Salesforce's."""
    found = _MY_DOMAIN.fullmatch(urlsplit(login_url).hostname or "")
    return f"https://{found['org']}.{_LIGHTNING_OF[found['root']]}{path}" if found and path else ""


def names(login_url: str) -> tuple[str, str]:
    """Name of the My Domain and of its sandbox, if it is one; twice empty when the URL is none.

    Developer Editions, scratch orgs and playgrounds have their kind beside the name, not in it.
    """
    found = _MY_DOMAIN.fullmatch(urlsplit(login_url).hostname or "")
    if not found:
        return "", ""
    domain, _, sandbox = found["org"].partition(".")[0].partition("--")
    return domain, sandbox


def split(url: str) -> SplitResult:
    """As urlsplit. Raises InvalidInput for what no parser understands."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is no number
    except ValueError as exc:
        raise InvalidInput("This is not a web address.") from exc
    return parts


def without_user(parts: SplitResult) -> str:
    """For messages: what stands before an @ may be a password."""
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:80]


def _of_salesforce(parts: SplitResult, host: str) -> Address:
    if my_domain := my_domain_of(host):
        return Address(
            f"https://{my_domain}",
            f"{host} serves pages; programs sign in to the same org at its My Domain URL.",
        )
    if _INSTANCE.fullmatch(host) or _BEFORE_SIGN_IN.fullmatch(host) or is_page_host(host):
        raise InvalidInput(
            f"{host} is not an address to sign in at. Use the org's My Domain URL: in Salesforce, Setup → My Domain "
            "shows it; or paste any address of the org's own pages here."
        )
    path = parts.path.rstrip("/")
    url = f"{parts.scheme}://{host}"
    if host.endswith(_SITES):
        url += path
        if not is_web_address(url):
            raise _not_a_login_url(parts)
        path = ""
    left_out = path or parts.query or parts.fragment
    return Address(url, "What follows the host was left out: it belongs to a page." if left_out else "")


def _is_salesforce(host: str) -> bool:
    return is_page_host(host) or host.endswith(
        (".salesforce.com", ".salesforce.mil", ".sfcrmproducts.cn", *_SITES)
    )


def _not_a_login_url(parts: SplitResult) -> InvalidInput:
    return InvalidInput(
        f"“{without_user(parts)}” is not a login URL: give scheme and host only, as in https://acme.my.salesforce.com, "
        "without user, password or query."
    )

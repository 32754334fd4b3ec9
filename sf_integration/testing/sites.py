"""Which org a request is for: told by the port it came to, the host name it used, or what it carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from urllib.parse import urlsplit

from .messages import Incoming
from .oauth import bearer, judge
from .orgs import Org

_LOGIN_HOSTS = {urlsplit(url).netloc: url for url in judge.SHARED_LOGIN_URLS}


@dataclass(slots=True)
class Sites:
    """All orgs of one stand-in, and the host names that tell them apart at a port they share."""

    orgs: list[Org] = field(default_factory=list)
    by_host: dict[str, Org] = field(default_factory=dict)

    @property
    def host_names(self) -> set[str]:
        """Every name besides its address that the server answers to."""
        return {*self.by_host, *_LOGIN_HOSTS}

    def find(self, request: Incoming, default: Org) -> tuple[Org, Incoming]:
        """The org a request is for, and the request, marked if it came through a shared login host.

        default: the org of the port.
        """
        name = request.host.partition(":")[0].lower()
        if name in self.by_host:
            return self.by_host[name], request
        if (login_url := request.shared_login_url or _LOGIN_HOSTS.get(name)) is None:
            return default, request
        concerned = [org for org in self.orgs if _concerns(request, org)]
        # One packaged app may be in many orgs, with one consumer key: then the username tells.
        assertion = request.form().get("assertion", "")
        found = max(concerned, key=partial(judge.names_user_of, assertion), default=default)
        return found, replace(request, shared_login_url=login_url)


def _concerns(request: Incoming, org: Org) -> bool:
    """Whether the assertion, the token or the path names something of this org."""
    parameters = request.form()
    tokens: Sequence[str | None] = (bearer.token_of(request), parameters.get("token"))
    return (
        judge.names_app_of(parameters.get("assertion", ""), org)
        or any(token and org.find_session(token) for token in tokens)
        or request.path.startswith(f"/id/{org.id[:15]}")
    )

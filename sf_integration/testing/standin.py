"""The stand-in: orgs behind real sockets, and the folder that lets an org outlive its process."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .apps import App
from .oauth import judge
from .orgs import Org
from .server import Listener
from .sites import Sites

_ALL_INTERFACES = {"", "0.0.0.0"}  # noqa: S104  told apart, not listened on unless asked for


class StandIn:
    """A server that behaves like Salesforce, on a free loopback port unless told otherwise.

    Use it as a context manager, or with start() and stop(). Each org has a port of its own, or a host name.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        consumer_key: str | None = None,
        certificate_pem: str | None = None,
        private_key_pem: str | None = None,
        state_dir: str | Path | None = None,
        org_type: type[Org] = Org,
        on_open: Callable[[str], None] = lambda address: None,
        **org_settings: Any,
    ) -> None:
        """Make the first org; it answers once start() is called.

        certificate_pem: trust this certificate; its private key stays unknown here, unless given too.
        state_dir: folder that keeps org id, consumer key, key and certificate, so that the next start is the same org.
        org_type: what the orgs are made of, for a subclass of Org that can do more.
        on_open: called with each address (`host:port`) before anybody can learn of it, also when an org is added or moved.
        org_settings: arguments of Org (org_id, name, username, is_sandbox, organization_type, seed, …) and of Policy.
        """
        self._host, self._port, self._tls = host, port, tls
        self._folder = Path(state_dir) if state_dir is not None else None
        self._certifier: _Certifier | None = None
        self.ca_file: Path | None = None
        """With tls: the certificate authority to trust, as PEM; there once the server runs."""
        self.key_file: Path | None = None
        """With state_dir: the app's private key, unless somebody's own certificate was given."""
        self.certificate_file: Path | None = None
        """With state_dir: the app's certificate, likewise."""
        self._on_open = on_open
        kept = _read_state(self._folder)
        org_settings["org_id"] = org_settings.get("org_id") or kept.get("org_id")
        app = _app(
            consumer_key=consumer_key or kept.get("consumer_key"),
            consumer_secret=kept.get("consumer_secret"),
            certificate_pem=certificate_pem or kept.get("certificate_pem"),
            private_key_pem=private_key_pem if certificate_pem else kept.get("private_key_pem"),
        )
        self._org_type = org_type
        self._sites = Sites([org_type(app=app, **org_settings)])
        if self._folder:
            self._write_state(self._folder)
        self._listeners: list[Listener] = []
        self._login_hosts: dict[str, str] = {}
        """Where a login host that all orgs share was opened, and which it stands for."""

    @property
    def orgs(self) -> list[Org]:
        return self._sites.orgs

    @property
    def org(self) -> Org:
        """The first org."""
        return self.orgs[0]

    @property
    def url(self) -> str:
        """Where the first org answers; empty before start()."""
        return self.org.url

    def add_org(self, *, host_name: str | None = None, **settings: Any) -> Org:
        """A further org with its own port; `settings` are arguments of Org and of Policy.

        host_name: it shares the first org's port instead, and is meant when the Host header names it.
        """
        org = self._org_type(**settings)
        self.orgs.append(org)
        if host_name:
            self._sites.by_host[host_name.lower()] = org
        if self._listeners:
            self._open(org)
        return org

    def open_login_host(self, *, for_sandboxes: bool = False) -> str:
        """Open a port that stands for login.salesforce.com, or test.salesforce.com, and give its URL.

        All production orgs, or all sandboxes, are signed in to there; external client apps are unknown. Requests that name
        these hosts in their Host header are taken so at every port.
        """
        shared = judge.SANDBOX_LOGIN_URL if for_sandboxes else judge.PRODUCTION_LOGIN_URL
        url = self._listen(self.org, shared_login_url=shared)
        self._login_hosts[url] = shared
        return url

    def start(self) -> Self:
        """Open the ports. A start after a stop takes the same ports again.

        Raises OSError when the port is in use.
        """
        if self._listeners:
            raise RuntimeError("the stand-in runs already")
        try:
            for org in self.orgs:
                self._open(org)
            for url, shared in self._login_hosts.items():
                self._listen(self.org, _port_of(url), shared_login_url=shared)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close the ports and all connections; harmless when not running."""
        for listener in self._listeners:
            listener.stop()
        self._listeners.clear()
        if self._certifier:
            self._certifier.close()
            self._certifier = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def open_port(self, org: Org) -> str:
        """Let the org be reached at one more port, and give the URL."""
        return self._listen(org)

    def _open(self, org: Org) -> None:
        """Let the org be reached, where it was before, if it was."""
        had_moved = org.instance_url != org.url
        if host_name := self._host_name_of(org):
            org.url = f"{self.org.url.partition('://')[0]}://{host_name}:{_port_of(self.org.url)}"
            self._on_open(_address_of(org.url))
            if self._certifier:
                self._certifier.certify(self._names())
        else:
            org.url = self._listen(org, _port_of(org.url) or (self._port if org is self.org else 0))
        org.instance_url = self._listen(org, _port_of(org.instance_url)) if had_moved else org.url
        org.server = self

    def _host_name_of(self, org: Org) -> str | None:
        return next((name for name, named in self._sites.by_host.items() if named is org), None)

    def _listen(self, org: Org, port: int = 0, *, shared_login_url: str | None = None) -> str:
        if self._tls and self._certifier is None:
            self._certifier = _Certifier(self._folder)
            self._certifier.certify(self._names())
            self.ca_file = self._certifier.ca_file
        listener = Listener(
            self._sites,
            org,
            host=self._host,
            port=port,
            tls=self._certifier.context if self._certifier else None,
            shared_login_url=shared_login_url,
        )
        # An address that means "all interfaces" can't be called; loopback is one of them.
        called = "127.0.0.1" if self._host in _ALL_INTERFACES else self._host
        url = f"{listener.scheme}://{called}:{listener.port}"
        self._on_open(_address_of(url))
        self._listeners.append(listener)
        listener.start()
        return url

    def _names(self) -> set[str]:
        return {"localhost", "127.0.0.1", self._host, *self._sites.host_names} - _ALL_INTERFACES

    def _write_state(self, folder: Path) -> None:
        app = self.org.app
        _write_private(folder / "org.json", json.dumps({
            "org_id": self.org.id,
            "consumer_key": app.consumer_key,
            "consumer_secret": app.consumer_secret,
        }, indent=2))  # fmt: skip
        if app.private_key_pem:
            self.certificate_file, self.key_file = folder / "app.crt", folder / "app.key"
            _write_private(self.certificate_file, app.certificate_pem)
            _write_private(self.key_file, app.private_key_pem)


class _Certifier:
    """A certificate authority of the stand-in's own, and the server certificate it signs for every name in use."""

    def __init__(self, folder: Path | None) -> None:
        import trustme  # only who wants TLS needs it

        home = folder or Path(tempfile.mkdtemp(prefix="salesforce-stand-in-"))
        self.close = weakref.finalize(self, _remove, None if folder else home, os.getpid())
        self.ca_file = home / "ca.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.ca_file))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def certify(self, names: set[str]) -> None:
        self._authority.issue_cert(*sorted(names)).configure_cert(self.context)


def _remove(folder: Path | None, process: int) -> None:
    """Remove a temporary folder, unless this is a fork of the process that made it."""
    if folder and os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _app(**known: Any) -> App:
    """An app with what is known of it; the rest is made."""
    return App(**{name: value for name, value in known.items() if value})


def _address_of(url: str) -> str:
    return url.partition("://")[2]


def _port_of(url: str) -> int:
    """0 for an empty URL, which takes a free port."""
    return int(url.rpartition(":")[2] or 0)


def _read_state(folder: Path | None) -> dict[str, str]:
    """What an earlier start left behind; empty the first time."""
    if folder is None:
        return {}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state: dict[str, str] = {}
    if (folder / "org.json").exists():
        state.update(json.loads((folder / "org.json").read_text()))
    if (folder / "app.key").exists() and (folder / "app.crt").exists():
        state["private_key_pem"] = (folder / "app.key").read_text()
        state["certificate_pem"] = (folder / "app.crt").read_text()
    return state


def _write_private(path: Path, text: str) -> None:
    """Readable by the owner alone from its first moment, and never half written."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)  # what lay there keeps its permissions, and may lead elsewhere
    with open(temporary, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    temporary.replace(path)

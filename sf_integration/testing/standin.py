"""The stand-in: orgs behind real sockets, and the folder that lets an org outlive its process."""

from __future__ import annotations

import json
import os
import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .orgs import App, Org
from .server import Listener

_ALL_INTERFACES = {"", "0.0.0.0"}  # noqa: S104  told apart, not listened on unless asked for


class StandIn:
    """A server that behaves like Salesforce, on a free loopback port unless told otherwise.

    Use it as a context manager, or with start() and stop(). Each org has a port of its own.
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
        **org_settings: Any,
    ) -> None:
        """Make the first org; it answers once start() is called.

        certificate_pem: trust this certificate; its private key stays unknown here, unless given too.
        state_dir: folder that keeps org id, consumer key, key and certificate, so that the next start is the same org.
        org_type: what the orgs are made of, for a subclass of Org that can do more.
        org_settings: arguments of Org (org_id, name, username, is_sandbox, organization_type, oldest_version, …).
        """
        self._host, self._port, self._tls = host, port, tls
        self._folder = Path(state_dir) if state_dir is not None else None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._context: ssl.SSLContext | None = None
        self.ca_file: Path | None = None
        """With tls: the certificate authority to trust, as PEM; there once the server runs."""
        self.key_file: Path | None = None
        """With state_dir: the app's private key, unless somebody's own certificate was given."""
        self.certificate_file: Path | None = None
        """With state_dir: the app's certificate, likewise."""
        kept = _read_state(self._folder)
        org_settings["org_id"] = org_settings.get("org_id") or kept.get("org_id")
        app = App(
            consumer_key=consumer_key or kept.get("consumer_key"),
            consumer_secret=kept.get("consumer_secret"),
            certificate_pem=certificate_pem or kept.get("certificate_pem"),
            private_key_pem=private_key_pem if certificate_pem else kept.get("private_key_pem"),
        )
        self._org_type = org_type
        self.orgs = [org_type(app=app, **org_settings)]
        if self._folder:
            self._write_state(self._folder)
        self._listeners: list[Listener] = []

    @property
    def org(self) -> Org:
        """The first org."""
        return self.orgs[0]

    @property
    def url(self) -> str:
        """Where the first org answers; empty before start()."""
        return self.org.url

    def add_org(self, **settings: Any) -> Org:
        """A further org with its own port; `settings` are arguments of Org."""
        org = self._org_type(**settings)
        self.orgs.append(org)
        if self._listeners:
            self._listen(org, 0)
        return org

    def start(self) -> Self:
        """Open the ports. A start after a stop takes the same ports again.

        Raises OSError when the port is in use.
        """
        if self._listeners:
            raise RuntimeError("the stand-in runs already")
        for org in self.orgs:
            self._listen(org, self._port if org is self.org else 0)
        return self

    def stop(self) -> None:
        """Close the ports and all connections; harmless when not running."""
        for listener in self._listeners:
            listener.stop()
        self._listeners.clear()
        if self._temporary:
            self._temporary.cleanup()
            self._temporary = self._context = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self, org: Org, port: int) -> None:
        if self._tls and self._context is None:
            self._context = self._make_tls_context()
        if org.url:
            port = int(org.url.rpartition(":")[2])
        listener = Listener(org, self._host, port, self._context)
        # An address that means "all interfaces" can't be called; loopback is one of them.
        called = "127.0.0.1" if self._host in _ALL_INTERFACES else self._host
        org.url = f"{listener.scheme}://{called}:{listener.port}"
        self._listeners.append(listener)
        listener.start()

    def _make_tls_context(self) -> ssl.SSLContext:
        """A certificate for this host from an authority of its own, whose certificate goes into `ca_file`."""
        import trustme  # only who wants TLS needs it

        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="salesforce-stand-in-")
        self.ca_file = Path(self._temporary.name if self._temporary else self._folder or ".") / "ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        names = {"localhost", "127.0.0.1", self._host} - _ALL_INTERFACES
        authority.issue_cert(*sorted(names)).configure_cert(context)
        return context

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
    with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    temporary.replace(path)

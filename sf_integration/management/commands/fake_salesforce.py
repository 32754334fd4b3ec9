"""`manage.py fake_salesforce`: a stand-in org to try things with, until it is told to stop. Needs no database."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...testing import App, StandIn, control


class Command(BaseCommand):
    help = "Run a stand-in for Salesforce, with an org, an app, a user and some data, until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to answer at (default: %(default)s)")
        parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free port")
        parser.add_argument(
            "--tls", action="store_true", help="speak https, with a certificate authority of its own"
        )
        parser.add_argument(
            "--certificate-file",
            type=Path,
            help="trust the key pair of this certificate (PEM), as Salesforce does after the upload",
        )
        parser.add_argument("--consumer-key", help="of the app; made up when not given")
        parser.add_argument("--username", help="of the integration user")
        parser.add_argument(
            "--state-dir",
            type=Path,
            help="folder that keeps org, app and key, so that the next start is the same org",
        )
        parser.add_argument("--sandbox", action="store_true", help="the org is a sandbox")
        parser.add_argument(
            "--seed", help="word that decides over the records: the same word, the same records"
        )
        parser.add_argument(
            "--records",
            nargs=2,
            action="append",
            default=[],
            metavar=("SOBJECT", "COUNT"),
            help="further records, as in: --records Contact 100000",
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a setting, as in session_seconds=900, user.active=false, app.kind=external",
        )
        parser.add_argument(
            "--fail",
            nargs="+",
            action="append",
            default=[],
            metavar=("KIND", "NAME=VALUE"),
            help="let requests go wrong, as in: --fail maintenance times=3 where=rest",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="first line of the output: what a program needs to connect, as JSON",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = _stop_event()
        with ExitStack() as stack:
            folder = options["state_dir"] or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="salesforce-stand-in-"))
            )
            server = _started(folder, options)
            stack.callback(server.stop)
            tell(server, options)
            facts = _facts(server, options)
            self.stdout.write(json.dumps(facts) if options["json"] else _welcome(facts))
            self.stdout.flush()
            stop.wait()


def _stop_event() -> threading.Event:
    """Set by SIGINT and SIGTERM; asking to stop is no error, so the process then exits with 0."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _assignment(text: str) -> tuple[str, Any]:
    """NAME=VALUE; the value is taken as JSON, or as it is."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"{text!r} should be NAME=VALUE, as in session_seconds=900.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def tell(server: StandIn, options: dict[str, Any]) -> None:
    """Hand on what was said about the org, by the same names as at its endpoint `/stand-in`."""
    try:
        control.change(server.org, dict(map(_assignment, options["set"])))
        for kind, *more in options["fail"]:
            control.act(server.org, "fail", {"kind": kind, **dict(map(_assignment, more))})
        for sobject, count in options["records"]:
            control.act(server.org, "add-records", {"sobject": sobject, "count": _whole_number(count)})
    except control.ControlError as exc:
        raise CommandError(str(exc)) from exc


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise CommandError(f"--records takes an sObject and a whole number, not {text!r}.")
    return int(text)


def _started(folder: Path, options: dict[str, Any]) -> StandIn:
    settings = {name: options[name] for name in ("username", "seed") if options[name]}
    try:
        server = StandIn(
            host=options["host"],
            port=options["port"],
            tls=options["tls"],
            consumer_key=options["consumer_key"],
            certificate_pem=_certificate(options["certificate_file"]),
            state_dir=folder.absolute(),
            is_sandbox=options["sandbox"],
            **settings,
        )
    except OSError as exc:
        raise CommandError(
            f"The folder {folder} can't be used: {exc.strerror}. Choose another --state-dir."
        ) from exc
    try:
        return server.start()
    except (OSError, OverflowError) as exc:
        raise CommandError(
            f"Can't listen at {options['host']}:{options['port']} ({exc}). "
            "Choose another --port, or leave it out to take a free one."
        ) from exc


def _certificate(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        pem = path.read_text()
        App(certificate_pem=pem)  # reads it, and raises ValueError for what Salesforce would refuse
    except OSError as exc:
        raise CommandError(f"The certificate file {path} can't be read: {exc.strerror}.") from exc
    except ValueError as exc:
        raise CommandError(
            f"{path} is no certificate that Salesforce would take: a PEM file with an RSA key of 2048 bits or more."
        ) from exc
    return pem


def _facts(server: StandIn, options: dict[str, Any]) -> dict[str, str | None]:
    """What it takes to connect. With somebody's own certificate the private key is theirs, so none is named."""
    given: Path | None = options["certificate_file"]
    facts = {
        "url": server.url,
        "consumer_key": server.org.app.consumer_key,
        "username": server.org.user.username,
        "key_file": None if given else str(server.key_file),
        "certificate_file": str(given.absolute() if given else server.certificate_file),
    }
    if server.ca_file:
        facts["ca_file"] = str(server.ca_file)
    return facts


def _welcome(facts: dict[str, str | None]) -> str:
    connect = [
        "python manage.py salesforce import trial",
        f"--login-url {facts['url']}",
        f"--consumer-key {facts['consumer_key']}",
        f"--username {facts['username']}",
        f"--key-file {facts['key_file'] or 'YOUR.key'}",
        f"--certificate-file {facts['certificate_file']}",
    ]
    lines = [
        f"The stand-in org answers at {facts['url']}; Ctrl-C stops it.",
        f"{facts['url']}{control.PATH} shows what it was asked and takes orders, from this machine alone.",
        "",
        "Allow its address in the environment of the site, and start the site anew (the port changes unless --port is given):",
        f"  SF_ALLOWED_HOSTS={urlsplit(str(facts['url'])).netloc}",
    ]
    if "ca_file" in facts:
        lines.append(f"  REQUESTS_CA_BUNDLE={facts['ca_file']}")
    lines += ["", "Make a connection to it, and see it work:", "  " + " \\\n    ".join(connect)]
    return "\n".join([*lines, "  python manage.py salesforce check trial"])

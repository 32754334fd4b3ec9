"""Many connections at once: `import --file`, `export`."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from ...access import Deed
from ...models import ConnectedApp, ConnectionCheck
from ...salesforce.errors import InvalidInput
from ...services import connection_file, operations, transfer
from ...services.profiles import listed, word
from ...services.transfer import Report, Result
from . import checking
from .files import PASSPHRASE_VARIABLE, read, read_passphrase
from .verb import Output, Verb

SECONDS_BETWEEN_CHECKS = 0.3
"""From one sign-in to the next. A burst of them from one address looks like an attack, and Salesforce counts the sign-ins of
a user, whom many rows may share."""

_OF_ONE_CONNECTION = {
    "name": "NAME",
    "env_file": "--env-file",
    "login_url": "--login-url",
    "consumer_key": "--consumer-key",
    "username": "--username",
    "audience": "--audience",
    "label": "--label",
    "app_kind": "--app-kind",
    "key_file": "--key-file",
    "signing_key": "--signing-key",
    "certificate_file": "--certificate-file",
}
_STYLES = {"created": "green", "changed": "cyan", "same": "dim", "refused": "red"}


def import_file(options: argparse.Namespace, output: Output) -> bool:
    """The verb `import`, when it is given a file of many."""
    _refuse_options_of_one(options)
    path: Path = options.file
    data = read(path, "import", most=connection_file.LARGEST_BYTES + 1)
    rows = connection_file.read(connection_file.decode(data, name=str(path)), name=str(path))
    passphrase = _passphrase(options)
    with output.bar("Reading and saving", None):
        report = transfer.bring_in(
            rows,
            actor=options.actor,
            read_file=lambda named, what: read(path.parent / named, what),
            passphrase=passphrase,
            dry_run=options.dry_run,
            keep_going=options.keep_going,
        )
    checks = _check(list(transfer.checkable(report)), output, actor=options.actor) if options.check else {}
    if output.as_json:
        output.data(_as_json(report, checks, dry_run=options.dry_run))
    else:
        _show(report, output)
    _conclude(report, checks, output, dry_run=options.dry_run)
    return not report.refused and all(check.healthy for check in checks.values())


def _refuse_options_of_one(options: argparse.Namespace) -> None:
    given = [told for name, told in _OF_ONE_CONNECTION.items() if getattr(options, name) is not None]
    if given:
        raise InvalidInput(f"{listed(given)} can't go with --file: the file says it all, row by row.")
    if options.dry_run and options.check:
        raise InvalidInput("--dry-run saves nothing, so there is nothing to --check. Leave one of them out.")


def _passphrase(options: argparse.Namespace) -> str | None:
    if options.passphrase_file:
        return read_passphrase(options.passphrase_file)
    return os.environ.get(PASSPHRASE_VARIABLE)


# ---- checks ---------------------------------------------------------------------------------------------------------


def _check(connections: list[ConnectedApp], output: Output, *, actor: Any) -> dict[str, ConnectionCheck]:
    """Sign in with each, one after the other; the result by name of the connection."""
    paced = output.progress(_paced(connections), total=len(connections), what="Checking")
    return {connection.name: operations.diagnose(connection, actor=actor) for connection in paced}


def _paced(connections: Iterable[ConnectedApp]) -> Iterator[ConnectedApp]:
    next_at = 0.0
    for connection in connections:
        time.sleep(max(0.0, next_at - time.monotonic()))
        next_at = time.monotonic() + SECONDS_BETWEEN_CHECKS
        yield connection


# ---- what is told ---------------------------------------------------------------------------------------------------


def _as_json(report: Report, checks: dict[str, ConnectionCheck], *, dry_run: bool) -> dict[str, object]:
    rows = []
    for result in report.results:
        check = checks.get(result.name)
        shown = {"check": checking.as_json(result.connection, check)} if check and result.connection else {}
        rows.append(result.as_json() | shown)
    return report.as_json() | {"dry_run": dry_run, "rows": rows}


def _show(report: Report, output: Output) -> None:
    shown = [result for result in report.results if result.outcome != "same"]
    # Nearest to the prompt stands what somebody has to look at.
    shown.sort(key=lambda result: result.outcome == "refused")
    if shown:
        output.table(
            ["Row", "Connection", "Outcome", "What"],
            [
                [
                    result.row,
                    result.name,
                    Text(report.told(result.outcome), _STYLES[result.outcome]),
                    _what(result),
                ]
                for result in shown
            ],
        )
        output.line("")


def _what(result: Result) -> str:
    if result.problems:
        return "\n".join(f"{name}: {reason}" if name else reason for name, reason in result.problems.items())
    # Of a new one all is new.
    return listed(map(word, result.changed)) if result.outcome == "changed" else result.note


def _conclude(report: Report, checks: dict[str, ConnectionCheck], output: Output, *, dry_run: bool) -> None:
    counts = report.in_words
    if report.saved:
        output.say(f"{counts}.")
    elif dry_run:
        output.say(f"Nothing was saved, this was a trial: {counts}.")
    else:
        output.say(
            f"Nothing was saved: {counts}. Mend the refused rows, or save the others with --keep-going."
        )
    failed = [check.connection for check in checks.values() if not check.healthy]
    for connection in failed:
        output.complain(f"{connection.name}: {connection.state_sentence()}")
    if checks:
        output.say(f"{len(checks) - len(failed)} of {len(checks)} checked connections work.")


# ---- export ---------------------------------------------------------------------------------------------------------


def _export(options: argparse.Namespace, output: Output) -> bool:
    connections = transfer.everything(options.actor)
    if _wants_json(options):
        text = connection_file.write_json(connections)
    else:
        text = connection_file.write_csv(connections)
    path: Path | None = options.out
    if path is None:
        output.raw(text.removesuffix("\n"))
        return True
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as exc:
        raise InvalidInput(f"The file {path} can't be written: {exc.strerror}.") from exc
    number = len(connections)
    output.note(f"{number} {'connection' if number == 1 else 'connections'} written to {path}.")
    return True


def _wants_json(options: argparse.Namespace) -> bool:
    if options.format or options.json:
        return bool(options.json or options.format == "json")
    return options.out is not None and options.out.suffix.lower() == ".json"


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("csv", "json"), help="default: as the file is called, else csv")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="instead of standard output; overwritten when it is there"
    )


VERBS = (
    Verb(
        "export",
        "all connections as a file that import --file takes, without secrets",
        _export,
        arguments=_export_arguments,
        examples=["export > orgs.csv", "export --format json --out orgs.json"],
        details="Signing keys are told by name. What begins like a formula of a spreadsheet has an apostrophe before it, "
        "which the import takes off again.",
        deed=Deed.EXPORT,
    ),
)

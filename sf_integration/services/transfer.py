"""Many connections at once: brought in from a file, row by row, and written out again without secrets.

Either all rows are saved, or with `keep_going` those that can be. What was refused is told by row, field and reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.core.exceptions import NON_FIELD_ERRORS
from django.db import transaction

from .. import access, audit, keystore
from ..access import Deed
from ..keystore import ProvedKey
from ..models import SESSION_MINUTES, AppKind, ConnectedApp, SigningKey
from ..salesforce.errors import (
    EncryptionKeyMissing,
    InvalidInput,
    InvalidPrivateKey,
    NotAllowedHere,
    SalesforceError,
)
from . import profiles
from .connection_file import COLUMNS, FILE_COLUMNS, LISTS, Row, list_of

Outcome = Literal["created", "changed", "same", "refused"]
ReadFile = Callable[[str, str], bytes]
"""From the path in a cell, and what is looked for there (`key`, `certificate`). Raises InvalidInput."""

_AS_THEY_ARE = ("label", "our_contacts", "org_contacts", "notes")
_YES = ("yes", "true", "1", "on", "ja", "wahr")
_NO = ("no", "false", "0", "off", "nein", "falsch")
_WHOLE_ROW = ""


@dataclass(frozen=True)
class Result:
    """What became of one row, or would become."""

    row: int
    name: str
    outcome: Outcome
    changed: tuple[str, ...] = ()
    """Names of fields that are new or other than before."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Reason by column; empty column: the row as a whole."""
    note: str = ""
    connection: ConnectedApp | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "row": self.row,
            "name": self.name,
            "outcome": self.outcome,
            "changed": list(self.changed),
            "problems": [{"field": name, "reason": reason} for name, reason in self.problems.items()],
        } | ({"note": self.note} if self.note else {})


@dataclass(frozen=True)
class Report:
    results: Sequence[Result]
    saved: bool
    """False after a trial, and when a refused row kept the others from being saved."""

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(result.outcome for result in self.results)
        return {outcome: found[outcome] for outcome in ("created", "changed", "same", "refused")}

    @property
    def refused(self) -> int:
        return self.counts["refused"]

    @property
    def changes(self) -> int:
        return self.counts["created"] + self.counts["changed"]

    @property
    def in_words(self) -> str:
        """`36 created, 4 refused`; of what was not saved `36 would be created`."""
        return ", ".join(
            f"{number} {self.told(outcome)}" for outcome, number in self.counts.items() if number
        )

    def told(self, outcome: str) -> str:
        """`created`; of what was not saved `would be created`."""
        is_only_wish = not self.saved and outcome in ("created", "changed")
        return f"would be {outcome}" if is_only_wish else outcome

    def as_json(self) -> dict[str, object]:
        return {"saved": self.saved, **self.counts, "rows": [result.as_json() for result in self.results]}


@dataclass(frozen=True)
class _Wanted:
    """A row with its cells turned into values."""

    row: Row
    values: Mapping[str, object]
    key: SigningKey | ProvedKey | None
    certificate: bytes | None
    problems: Mapping[str, str]


def bring_in(
    rows: Sequence[Row],
    *,
    actor: Any,
    read_file: ReadFile | None = None,
    passphrase: str | None = None,
    dry_run: bool = False,
    keep_going: bool = False,
) -> Report:
    """Save a connection for each row. Nobody is called.

    Without `read_file` rows that name files are refused; `passphrase` opens their private keys. Raises AccessDenied.
    """
    access.require(actor, Deed.IMPORT)
    # Before the transaction: proving keys takes its time, and SQLite has one writer.
    understand = _Understanding(actor, rows, read_file, passphrase)
    wanted = [understand(row) for row in rows]
    with transaction.atomic():
        results = [_save(each, actor) for each in wanted]
        is_refused = any(result.outcome == "refused" for result in results)
        saved = not dry_run and (keep_going or not is_refused)
        if not saved:
            transaction.set_rollback(True)
    return Report(results, saved)


def everything(actor: Any) -> list[dict[str, object]]:
    """All that `actor` may see, column by column, as `bring_in` takes it. Raises AccessDenied."""
    access.require(actor, Deed.EXPORT)
    found = access.visible_to(actor).select_related("signing_key").order_by("name")
    columns = [column for column in COLUMNS if column not in (*FILE_COLUMNS, "signing_key")]
    rows = [
        {column: getattr(connection, column) for column in columns}
        | {"signing_key": connection.signing_key.name}
        for connection in found
    ]
    audit.record("exported connections", actor=actor)
    return rows


# ---- a row becomes values -------------------------------------------------------------------------------------------


class _Understanding:
    """Turns rows into values, and remembers the keys it met: rows often share one."""

    def __init__(
        self, actor: Any, rows: Iterable[Row], read_file: ReadFile | None, passphrase: str | None
    ) -> None:
        named = {row.cells["signing_key"].strip() for row in rows if "signing_key" in row.cells}
        self._stored = {key.name: key for key in access.visible_keys(actor).filter(name__in=named)}
        self._read_file = read_file
        self._passphrase = passphrase
        self._proved: dict[tuple[str, str], ProvedKey | dict[str, str]] = {}

    def __call__(self, row: Row) -> _Wanted:
        values, problems = _values(row)
        key, certificate, key_problems = self._key(row)
        return _Wanted(row, values, key, certificate, {**row.problems, **problems, **key_problems})

    def _key(self, row: Row) -> tuple[SigningKey | ProvedKey | None, bytes | None, dict[str, str]]:
        stored, *files = (row.cells.get(column, "").strip() for column in ("signing_key", *FILE_COLUMNS))
        key_file, certificate_file = files
        if any(files) and self._read_file is None:
            return None, None, {column: _NO_FILES for column in FILE_COLUMNS if column in row.cells}
        if stored and key_file:
            return None, None, {"key_file": "Give either signing_key or key_file, not both."}
        if key_file:
            return self._prove(key_file, certificate_file)
        if stored and stored not in self._stored:
            return None, None, {"signing_key": f"There is no signing key “{stored}” that you may use."}
        try:
            certificate = self._read(certificate_file, "certificate") if certificate_file else None
        except InvalidInput as exc:
            return None, None, {"certificate_file": str(exc)}
        return self._stored.get(stored), certificate, {}

    def _prove(self, key_file: str, certificate_file: str) -> tuple[ProvedKey | None, None, dict[str, str]]:
        named = (key_file, certificate_file)
        if named not in self._proved:
            self._proved[named] = self._proved_anew(*named)
        found = self._proved[named]
        return (found, None, {}) if isinstance(found, ProvedKey) else (None, None, found)

    def _proved_anew(self, key_file: str, certificate_file: str) -> ProvedKey | dict[str, str]:
        """The key, or what is wrong by column."""
        column = "key_file"
        try:
            key = keystore.prove(self._read(key_file, "key"), passphrase=self._passphrase)
            if not certificate_file:
                return key
            column = "certificate_file"
            return keystore.with_certificate(key, self._read(certificate_file, "certificate"))
        except SalesforceError as exc:
            return {column: str(exc)}

    def _read(self, path: str, what: str) -> bytes:
        assert self._read_file  # noqa: S101 - rows with files were refused without it
        return self._read_file(path, what)


_NO_FILES = (
    "Files beside the list can be read at the command line only (salesforce import --file). Here name a stored signing "
    "key in the column signing_key."
)


def _values(row: Row) -> tuple[dict[str, object], dict[str, str]]:
    """Values of the row's cells, and what is wrong with them, by column."""
    values: dict[str, object] = {}
    problems: dict[str, str] = {}
    for column, cell in row.cells.items():
        if column not in profiles.FIELDS:
            continue
        try:
            values[column] = _value(column, cell)
        except InvalidInput as exc:
            problems[column] = str(exc)
    return values, problems


def _value(column: str, cell: str) -> object:
    if column in _AS_THEY_ARE:
        return cell
    if column in LISTS:
        return list_of(cell)
    return _READERS.get(column, str)(cell.strip())


def _minutes(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) in SESSION_MINUTES:
        return int(text)
    raise InvalidInput(
        f"“{text[:40]}” is no session length of Salesforce's: {', '.join(map(str, SESSION_MINUTES))} minutes."
    )


def _switch(text: str) -> bool:
    if text.lower() in (*_YES, *_NO):
        return text.lower() in _YES
    raise InvalidInput(f"“{text[:40]}” is neither yes nor no.")


def _app_kind(text: str) -> str:
    for kind in AppKind:
        if text.lower().replace(" ", "_") == kind.value:
            return kind.value
    raise InvalidInput(f"“{text[:40]}” is neither {' nor '.join(AppKind.values)}.")


def _api_version(text: str) -> str:
    """Spreadsheets make 67 or 67,0 of it."""
    whole, _, tenth = text.replace(",", ".").partition(".")
    return f"{whole}.0" if tenth in ("", "0") else text


_READERS: Mapping[str, Callable[[str], object]] = {
    "session_minutes": _minutes,
    "enabled": _switch,
    "app_kind": _app_kind,
    "api_version": _api_version,
}


# ---- values become a connection -------------------------------------------------------------------------------------


def _save(wanted: _Wanted, actor: Any) -> Result:
    row = wanted.row
    if wanted.problems:
        return _refused(row, wanted.problems)
    try:
        saved = profiles.save(
            row.name, wanted.values, actor=actor, key=wanted.key, certificate=wanted.certificate
        )
    except SalesforceError as exc:
        return _refused(row, _problems(exc, has_certificate=wanted.certificate is not None))
    return Result(
        row.number, row.name, saved.outcome, saved.changed, note=saved.note, connection=saved.connection
    )


def _refused(row: Row, problems: Mapping[str, str]) -> Result:
    return Result(row.number, row.name, "refused", problems=dict(sorted(problems.items(), key=_by_column)))


def _by_column(problem: tuple[str, str]) -> int:
    return COLUMNS.index(problem[0]) if problem[0] in COLUMNS else len(COLUMNS)


def _problems(error: SalesforceError, *, has_certificate: bool) -> dict[str, str]:
    """What was refused, by column."""
    match error:
        case profiles.Refused():
            return {
                _WHOLE_ROW if name == NON_FIELD_ERRORS else name: text
                for name, text in error.problems.items()
            }
        case profiles.Incomplete():
            return {name: _missing(name) for name in error.missing}
        case NotAllowedHere():
            return {"login_url": str(error)}
        case InvalidPrivateKey() | EncryptionKeyMissing():
            return {"key_file": str(error)}
        case access.AccessDenied():
            return {"name": str(error)}
        case _:
            # What is left of those that `save` raises: a certificate of another key.
            return {"certificate_file" if has_certificate else _WHOLE_ROW: str(error)}


def _missing(name: str) -> str:
    what = "a signing_key or key_file" if name == "signing_key" else "it"
    return f"It is missing: a new connection needs {what}."


def checkable(report: Report) -> Iterator[ConnectedApp]:
    """The connections of the report that may be called: neither refused nor paused."""
    for result in report.results if report.saved else ():
        if result.connection and result.connection.enabled:
            yield result.connection

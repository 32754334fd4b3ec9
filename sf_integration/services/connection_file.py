"""The file of many connections: CSV as spreadsheets write it, or JSON. Reads and writes text, and judges no value.

name,login_url,consumer_key,username,signing_key
acme-prod,https://acme.my.salesforce.com,3MVG9…,integration@acme.example,acme
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from ..salesforce.errors import InvalidInput
from .profiles import FIELDS

FILE_COLUMNS = ("key_file", "certificate_file")
"""Paths beside the file; never exported."""
_KEY_PLACE = FIELDS.index("username") + 1
COLUMNS = ("name", *FIELDS[:_KEY_PLACE], "signing_key", *FILE_COLUMNS, *FIELDS[_KEY_PLACE:])
LISTS = ("sample_fields", "extra_usernames", "tags")
LARGEST_BYTES = 10_000_000
MOST_ROWS = 5_000
"""About ten seconds in one transaction: on SQLite a renewal waits that long for the only writer, and gives up after 20."""
_MOST_UNKNOWN = 10
"""Columns that are none of ours; a file with more is about something else."""

_DELIMITERS = ",;\t"
_EXCEL_SAYS = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
# What a spreadsheet would run as a formula, or what looks like our mark before such a text.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY")


@dataclass(frozen=True)
class Row:
    number: int
    """As the spreadsheet counts, whose first row is the head; in JSON the place in the list, from 1."""
    cells: Mapping[str, str]
    """Column to text. Empty cells are left out: they ask for nothing."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with its form, by column; empty column: with all of it."""

    @property
    def name(self) -> str:
        return self.cells.get("name", "").strip()


def decode(data: bytes, *, name: str, most: int = LARGEST_BYTES) -> str:
    """The text of the file `name`. Raises InvalidInput when it is too large, or not in UTF-8."""
    if len(data) > most:
        raise InvalidInput(f"{name} is larger than {most // 1_000_000} MB: split it into several files.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidInput(
            f"{name} is no text in UTF-8. In Excel choose Save As → “CSV UTF-8 (Comma delimited)”."
        ) from exc
    if "\0" in text:
        raise InvalidInput(f"{name} holds zero bytes, so it is neither CSV nor JSON in UTF-8.")
    return text


def read(text: str, *, name: str) -> list[Row]:
    """The rows in `text`, the content of the file `name`. Raises InvalidInput when it can't be read as a whole; what is wrong with one row stands in it."""
    begins = text.lstrip()[:1]
    is_json = PurePath(name).suffix.lower() == ".json" or begins in ("[", "{")
    rows = _read_json(text, name) if is_json else _read_csv(text, name)
    if _PRIVATE_KEY.search(text):
        raise InvalidInput(
            f"{name} has a private key in it, which belongs in no list. Store the signing key first and name it in the column "
            "signing_key, or at the command line name its file in key_file."
        )
    if not rows:
        raise InvalidInput(f"{name} has no connection in it.")
    if len(rows) > MOST_ROWS:
        raise InvalidInput(f"{name} has {len(rows):,} rows, at most {MOST_ROWS:,} go at once: split it.")
    return _with_names_judged(rows)


def write_csv(connections: Iterable[Mapping[str, object]]) -> str:
    """The file of `connections`, each a mapping of columns to values. Without its byte-order mark, see `as_download`."""
    out = io.StringIO(newline="")
    columns = [column for column in COLUMNS if column not in FILE_COLUMNS]
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for connection in connections:
        writer.writerow([_shielded(_as_cell(connection.get(column, ""))) for column in columns])
    return out.getvalue()


def write_json(connections: Iterable[Mapping[str, object]]) -> str:
    """As `write_csv`; values keep their types."""
    columns = [column for column in COLUMNS if column not in FILE_COLUMNS]
    found = [{column: connection.get(column, "") for column in columns} for connection in connections]
    return json.dumps({"connections": found}, indent=2, ensure_ascii=False) + "\n"


def as_download(text: str) -> bytes:
    """CSV for a person's machine: Excel takes UTF-8 for its own encoding unless the byte-order mark says so."""
    return text.encode("utf-8-sig")


def list_of(cell: str) -> list[str]:
    """The items of a cell of LISTS: commas, semicolons or lines between, or a JSON list."""
    if cell.lstrip().startswith("["):
        try:
            found = json.loads(cell)
        except ValueError:
            found = None
        if isinstance(found, list) and all(isinstance(item, str) for item in found):
            return found
    return [item.strip() for item in re.split(r"[,;\r\n]", cell) if item.strip()]


# ---- CSV ------------------------------------------------------------------------------------------------------------


def _read_csv(text: str, name: str) -> list[Row]:
    said = _EXCEL_SAYS.match(text)
    text = text[said.end() :] if said else text
    delimiter = said[1] if said else _delimiter(text)
    try:
        head, *lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    except ValueError as exc:
        raise InvalidInput(f"{name} is empty.") from exc
    except csv.Error as exc:
        raise InvalidInput(
            f"{name} can't be read as CSV ({exc}): is a quotation mark missing or too much?"
        ) from exc
    columns = _columns(head, name)
    unknown = _unknown(filter(None, columns), tell_all=True)
    if len(unknown) > _MOST_UNKNOWN:
        raise InvalidInput(f"{name}: {_other_things(unknown)}")
    rows = [
        _row_of_line(number, columns, line)
        for number, line in enumerate(lines, start=2)
        if any(cell.strip() for cell in line)
    ]
    return [Row(1, {}, unknown), *rows] if unknown else rows


def _delimiter(text: str) -> str:
    """That of the first line, which holds nothing but names of columns."""
    first = text.lstrip("\r\n").partition("\n")[0]
    return max(_DELIMITERS, key=first.count)


def _columns(head: Sequence[str], name: str) -> list[str]:
    columns = [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in head]
    if "name" not in columns:
        raise InvalidInput(
            f"The first row of {name} must name the columns, and one must be “name”. There are: {', '.join(COLUMNS)}."
        )
    for column in set(filter(None, columns)):
        if columns.count(column) > 1:
            raise InvalidInput(f"{name} has the column “{column}” twice: leave one of them out.")
    return columns


def _row_of_line(number: int, columns: Sequence[str], line: Sequence[str]) -> Row:
    problems = {}
    surplus = [cell for cell in line[len(columns) :] if cell.strip()]
    nameless = [cell for column, cell in zip(columns, line, strict=False) if not column and cell.strip()]
    if more := len(surplus) + len(nameless):
        problems[""] = (
            f"It has {more} {'cell' if more == 1 else 'cells'} more than the first row names columns. "
            "A text with the delimiter in it needs quotation marks."
        )
    told = ((column, _unshielded(cell)) for column, cell in zip(columns, line, strict=False))
    cells = {column: cell for column, cell in told if column and cell.strip()}
    return Row(number, cells, problems | _unknown(cells))


def _shielded(cell: str) -> str:
    """Spreadsheets run what begins like a formula; the apostrophe is their own mark for text."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unshielded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _as_cell(value: object) -> str:
    if isinstance(value, bool):
        # Not true and false: a German Excel turns those into WAHR and FALSCH.
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        joined = ", ".join(value)
        return joined if list_of(joined) == list(value) else json.dumps(list(value), ensure_ascii=False)
    return str(value)


# ---- JSON -----------------------------------------------------------------------------------------------------------


def _read_json(text: str, name: str) -> list[Row]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        where = f", line {exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
        raise InvalidInput(f"{name} is no valid JSON{where}.") from exc
    if isinstance(found, dict):
        found = found.get("connections")
    if not isinstance(found, list):
        raise InvalidInput(
            f'{name} must be a list of connections, [{{"name": "acme-prod", …}}], or {{"connections": [ … ]}}.'
        )
    return [_row_of_entry(number, entry) for number, entry in enumerate(found, start=1)]


def _row_of_entry(number: int, entry: object) -> Row:
    if not isinstance(entry, dict):
        return Row(number, {}, {"": "It is no object with the columns as keys."})
    cells: dict[str, str] = {}
    problems: dict[str, str] = {}
    for column, value in entry.items():
        cell = _cell_of_value(value)
        if cell is None:
            problems[column] = "Give a text, a number, true or false, or a list of texts."
        elif cell.strip():
            cells[column] = cell
    unknown = _unknown(entry, tell_all=True)
    if len(unknown) > _MOST_UNKNOWN:
        return Row(number, cells, {"": _other_things(unknown)})
    return Row(number, cells, problems | unknown)


def _cell_of_value(value: object) -> str | None:
    """The cell that says the same; None when there is none."""
    match value:
        case None | []:
            return ""
        case bool() | int() | float() | str():
            text = _as_cell(value)
        case list() if all(isinstance(item, str) for item in value):
            text = json.dumps(value, ensure_ascii=False)
        case _:
            return None
    return text if _can_be_stored(text) else None


def _can_be_stored(text: str) -> bool:
    """JSON can say halves of characters and zero bytes, which no database takes."""
    return "\0" not in text and not re.search("[\ud800-\udfff]", text)


# ---- both -----------------------------------------------------------------------------------------------------------


def _unknown(columns: Iterable[str], *, tell_all: bool = False) -> dict[str, str]:
    """What is wrong with those that are none. `tell_all`: say which there are, once for a head or an entry."""
    return {column: _not_a_column(column, tell_all=tell_all) for column in columns if column not in COLUMNS}


def _other_things(unknown: Iterable[str]) -> str:
    names = list(unknown)
    return (
        f"There are {len(names):,} columns that no connection has, as “{names[0][:40]}” and “{names[1][:40]}”: leave them out. "
        f"A connection has: {', '.join(COLUMNS)}."
    )


@functools.lru_cache(maxsize=1000)
def _not_a_column(column: str, *, tell_all: bool) -> str:
    near = difflib.get_close_matches(column, COLUMNS, n=1, cutoff=0.6)
    if near:
        return f"There is no such column. Did you mean “{near[0]}”?"
    return "There is no such column." + (f" There are: {', '.join(COLUMNS)}." if tell_all else "")


def _with_names_judged(rows: list[Row]) -> list[Row]:
    """The rows, with a problem in those that have no name, or one that came before."""
    first: dict[str, int] = {}
    judged = []
    for row in rows:
        problem = ""
        if row.name:
            before = first.setdefault(row.name, row.number)
            if before != row.number:
                problem = f"“{row.name}” stands in row {before} already: join the two rows into one."
        elif not row.problems:
            problem = "It is missing: give the connection's handle in code, as acme-prod."
        judged.append(Row(row.number, row.cells, {**row.problems, "name": problem}) if problem else row)
    return judged

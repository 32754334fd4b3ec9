"""What a verb is, and how it prints."""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, TypeVar, cast

from django.contrib.auth import get_user_model
from django.core.management.base import OutputWrapper
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ... import access
from ...access import Deed
from ...models import ConnectedApp
from ...salesforce import diagnosis
from ...salesforce.errors import (
    ApiError,
    InvalidInput,
    RetryableError,
    SalesforceError,
    UnknownConnection,
)
from ...salesforce.rest import QueryResult
from ...tokens.rows import connection_named

_WIDTH_OF_PIPES = 120

Item = TypeVar("Item")


@dataclass(frozen=True)
class Verb:
    name: str
    help: str
    """One line for the list of verbs."""
    run: Callable[[argparse.Namespace, Output], bool]
    """Whether it did all it was asked. Raises SalesforceError, whose text is then the message."""
    arguments: Callable[[argparse.ArgumentParser], None]
    examples: Sequence[str] = ()
    """What is typed behind `manage.py salesforce`."""
    details: str = ""
    prints_data: bool = True
    """Whether it takes --json."""
    deed: Deed | None = None
    """What it does, and asks for as `options.deed`; None: no right is asked for."""


class Output:
    """Data to standard output; what is said about it too, unless that would spoil JSON."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, *, as_json: bool, colour: bool) -> None:
        self._stdout, self._stderr = stdout, stderr
        self.as_json = as_json
        self._console = Console(
            file=cast("IO[str]", stdout),
            width=None if stdout.isatty() else int(os.environ.get("COLUMNS") or _WIDTH_OF_PIPES),
            no_color=not colour,
            markup=False,
            highlight=False,
            emoji=False,
        )

    @property
    def is_terminal(self) -> bool:
        return self._stdout.isatty()

    def data(self, value: object) -> None:
        """One JSON text."""
        self._stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")

    def array(self, items: Iterable[object]) -> None:
        """What `data` prints of a list, but each item as it comes. Closed too when the items break off with one of our errors."""
        begins = "[\n"
        try:
            for item in items:
                text = json.dumps(item, indent=2, ensure_ascii=False, default=_plain)
                self.part(begins + textwrap.indent(text, "  "))
                begins = ",\n"
        except SalesforceError:
            self._close(begins)
            raise
        self._close(begins)

    def _close(self, begins: str) -> None:
        self.part("[]\n" if begins == "[\n" else "\n]\n")

    def part(self, text: str) -> None:
        """A piece of what is printed, without a line end of its own."""
        self._stdout.write(text, ending="")

    def raw(self, text: str) -> None:
        """`text` on one line, as it is."""
        self._stdout.write(text + "\n")

    def flush(self) -> None:
        """Raises OSError for what can't be written."""
        self._stdout.flush()

    def say(self, text: str) -> None:
        if self.as_json:
            self.note(text)
        else:
            self.line(text)

    def note(self, text: str) -> None:
        """To standard error, though nothing is wrong: without the colour of errors."""
        self._stderr.write(text, style_func=str)

    def complain(self, text: str) -> None:
        self._stderr.write(text + "\n")

    def line(
        self, text: str, *, indent: int = 0, style: str = "", mark: str = "", mark_style: str = ""
    ) -> None:
        """A paragraph; on a terminal it wraps under its own beginning."""
        text = printable(text)
        if not self.is_terminal:
            self.raw(" " * indent + " ".join(filter(None, [mark, text])))
            return
        row = Table.grid(padding=(0, 1, 0, 0))
        cells = [
            (Text(" " * (indent - 1)), indent > 0),
            (Text(mark, mark_style), bool(mark)),
            (Text(text, style, overflow="fold"), True),
        ]
        row.add_row(*(cell for cell, shown in cells if shown))
        self._console.print(row)

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """While this lasts, a bar on standard error, if that is a terminal: call what it gives with how many more are done.

        `total` None: nobody knows how many there are.
        """
        # The stream itself: Django's wrapper ends every write with a new line, which tears the bar apart.
        console = Console(file=cast("IO[str]", self._stderr._out))
        with Progress(console=console, transient=True, disable=not self._stderr.isatty()) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)

    def progress(self, items: Iterable[Item], *, total: int, what: str) -> Iterator[Item]:
        """The items, while a bar tells how many are done."""
        with self.bar(what, total) as advance:
            for item in items:
                yield item
                advance(1)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(value if isinstance(value, Text) else Text(printable(value)) for value in row))
        self._console.print(table)


def actor_named(username: str | None) -> Any:
    """Whose rights count and whom the audit trail names: a user of the site, else whoever may run commands here.

    Raises InvalidInput.
    """
    if username is None:
        return access.SHELL
    users = get_user_model()
    try:
        return users._default_manager.get_by_natural_key(username)
    except users.DoesNotExist as exc:
        raise InvalidInput(
            f"There is no user “{username}” on this site. --as takes the name that the user signs in with here."
        ) from exc


def connection_for(name: str, deed: Deed, *, actor: Any) -> ConnectedApp:
    """The connection `name`. Raises UnknownConnection, or AccessDenied when `actor` may not do it."""
    if not access.may(actor, deed):
        raise access.denied(deed, name)
    try:
        connection = connection_named(name)
    except UnknownConnection as exc:
        # To those from whom something is hidden, a hidden connection and none look the same, as on the pages.
        if access.sees_all(actor):
            raise
        raise access.denied(deed, name) from exc
    access.require(actor, deed, connection)
    return connection


def require_terminal(output: Output, secret: str, *, yes: bool) -> None:
    """Raise InvalidInput when what is printed might be kept by somebody who didn't think of it."""
    if not yes and not output.is_terminal:
        raise InvalidInput(
            f"The output is no terminal, so the {secret} might end up in a file or log. Add --yes if that is meant."
        )


def sentence(error: SalesforceError) -> str:
    """Cause and remedy on one line."""
    text, remedy = str(error), ""
    if isinstance(error, (ApiError, RetryableError)):
        found = diagnosis.explain(error.code, getattr(error, "message", ""))
        if found.code and found.remedy not in text:
            remedy = found.remedy
    stop = "." if remedy and not text.endswith((".", "?", "!")) else ""
    return " ".join(printable(f"{text}{stop} {remedy}").split())


def printable(value: object) -> str:
    """A value of an org as text that can't steer the terminal: control characters become blanks."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def _plain(value: object) -> object:
    if isinstance(value, QueryResult):
        return list(value)
    raise TypeError(f"a {type(value).__name__} is no JSON")

"""CSV as Bulk API 2.0 reads and writes it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


def read(content: bytes, delimiter: str, line_ending: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows; the arguments are Salesforce's words. Raises ValueError, with what Salesforce would say."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("InvalidBatch : The file is not in UTF-8") from None
    first_line = text.partition("\n")[0]
    if first_line.endswith("\r") != (line_ending == "CRLF"):
        raise ValueError(
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {line_ending}"
        )
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[delimiter], strict=True)
        header, *rows = (line for line in lines if line)
        if any(len(row) != len(header) for row in rows):
            raise ValueError
    except (csv.Error, ValueError):
        raise ValueError("InvalidBatch : The CSV can not be read") from None
    return header, rows


def write(header: Sequence[str], rows: Iterable[Sequence[str]], delimiter: str, line_ending: str) -> bytes:
    written = io.StringIO(newline="")
    writer = csv.writer(
        written,
        delimiter=DELIMITERS[delimiter],
        lineterminator=LINE_ENDINGS[line_ending],
        quoting=csv.QUOTE_ALL,
    )
    writer.writerow(header)
    writer.writerows(rows)
    return written.getvalue().encode()

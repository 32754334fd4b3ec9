"""Cause and remedy of what somebody pasted: `explain`. No database, no connection, no call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ...salesforce import diagnosis
from ...salesforce.diagnosis import Diagnosis, Finding
from .verb import Output, Verb


def _explain(options: argparse.Namespace, output: Output) -> bool:
    text = _text(options.text, output)
    found = diagnosis.explain_text(text)
    if output.as_json:
        first = found[0].entry if found else diagnosis.UNKNOWN
        output.data(_facts(first) | {"findings": [_as_json(finding) for finding in found]})
    if not found:
        said = diagnosis.first_words(text)
        output.complain(f"Nothing is known about this error here{f': {said}' if said else ''}")
        output.complain(diagnosis.LOGIN_HISTORY)
    elif not output.as_json:
        _tell(found, output, with_lines="\n" in text.strip())
    return bool(found)


def _text(words: Sequence[str], output: Output) -> str:
    """What was typed, or else standard input, whatever bytes it holds."""
    if words and list(words) != ["-"]:
        return " ".join(words)
    if sys.stdin.isatty():
        output.complain("Paste the text, then press Ctrl-D on a line of its own.")
    return sys.stdin.buffer.read().decode(errors="replace")


def _tell(found: Sequence[Finding], output: Output, *, with_lines: bool) -> None:
    for number, finding in enumerate(found):
        entry = finding.entry
        if number:
            output.line("")
        output.line(entry.cause, style="bold")
        output.line(f"→ {entry.remedy}")
        output.line(f"Who: {entry.who}.")
        if entry.where:
            output.line(f"Where: {entry.where}")
        if with_lines:
            output.line(f"Line {finding.line}: {finding.excerpt}", style="dim")


def _facts(entry: Diagnosis) -> dict[str, object]:
    return {
        "code": entry.code,
        "cause": entry.cause,
        "who": entry.who,
        "remedy": entry.remedy,
        "where": entry.where,
        "retryable": entry.retryable,
    }


def _as_json(finding: Finding) -> dict[str, object]:
    return _facts(finding.entry) | {"line": finding.line, "excerpt": finding.excerpt}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="*",
        help="an error, log, traceback or JSON; none or - reads standard input",
    )


VERBS = (
    Verb(
        "explain",
        "cause and remedy of the errors in a text, without a call",
        _explain,
        arguments=_arguments,
        examples=[
            'explain "invalid_grant: user hasn\'t approved this consumer"',
            "explain < var/log/worker.log",
        ],
        details="Says what each known error in the text means, the most telling first. Needs no connection. Exits 1 when "
        "nothing in the text is known.",
    ),
)

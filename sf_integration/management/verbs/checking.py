"""Looking at connections: `list`, `check`, `explain`."""

from __future__ import annotations

import argparse
from typing import Any

from django.utils import timezone
from rich.text import Text

from ... import access, audit, health
from ...access import Act
from ...models import ConnectedApp, ConnectionCheck
from ...salesforce import diagnosis
from ...state import ConnectionState
from .verb import Output, Verb, connection_for

_STYLES = {"good": "green", "warn": "yellow", "bad": "red", "info": "cyan", "mute": "dim"}
_MARKS = {
    health.OK: ("✓", "green"),
    health.WARNING: ("!", "yellow"),
    health.FAILED: ("✗", "red"),
    health.NOT_REACHED: ("·", "dim"),
}


def check(connection: ConnectedApp) -> ConnectionCheck:
    access.require(access.SHELL, Act.RUN_CHECKS, connection)
    audit.record("checked", connection, actor=access.SHELL)
    return health.check_connection(connection, asked_by=access.SHELL.get_username())


def as_json(connection: ConnectedApp, found: ConnectionCheck) -> dict[str, object]:
    return {"name": connection.name, "healthy": found.healthy, "state": found.state, "steps": found.steps}


def tell(connection: ConnectedApp, found: ConnectionCheck, output: Output) -> None:
    """For people: a line per step, and what to do below those that need it. With --json only that it is not healthy."""
    if output.as_json:
        if not found.healthy:
            output.complain(f"{connection.name}: {found.state}. {connection.state_sentence()}")
        return
    for step in found.steps:
        mark, style = _MARKS[step["status"]]
        told = _told(step) or ("not reached" if step["status"] == health.NOT_REACHED else "")
        words = step["step"].replace("_", " ")
        output.line(f"{words:<13} {told}", mark=mark, mark_style=style, style="dim" if style == "dim" else "")
        if step["remedy"]:
            output.line(f"→ {step['remedy']}", indent=16)
    state = ConnectionState(found.state)
    output.line("")
    output.line(
        f"{connection.name}: {state.value}. {connection.state_sentence()}", style=_STYLES[state.colour]
    )


def _told(step: dict[str, str]) -> str:
    """What was seen, and why unless that is said already."""
    seen, cause = step["message"], step.get("cause", "")
    return seen if cause in seen else f"{seen} {cause}"


def _list(options: argparse.Namespace, output: Output) -> bool:
    now = timezone.now()
    access.require(access.SHELL, Act.VIEW_HEALTH)
    found = access.visible_to(access.SHELL).select_related("signing_key").sick_first()
    rows = [connection.summary(now) for connection in found]
    if output.as_json:
        output.data(rows)
    elif rows:
        output.table(
            ["Connection", "State", "Environment", "Username", "Why"],
            [
                [row["name"], _coloured(row["state"]), row["environment"], row["username"], row["sentence"]]
                for row in rows
            ],
        )
    else:
        output.say(
            "There are no connections yet. Make one with: manage.py salesforce import NAME (--help shows how)."
        )
    return True


def _coloured(state: str) -> Text:
    return Text(state, _STYLES[ConnectionState(state).colour])


def _check(options: argparse.Namespace, output: Output) -> bool:
    connection = connection_for(options.name, Act.RUN_CHECKS)
    found = check(connection)
    if output.as_json:
        output.data(as_json(connection, found) | ({"trace": found.trace} if options.trace else {}))
    elif options.trace:
        _show_trace(found.trace, output)
    tell(connection, found, output)
    return found.healthy


def _show_trace(seen: dict[str, object] | None, output: Output) -> None:
    if seen is None:
        output.line("No sign-in was tried.")
        return
    rows: list[tuple[str, Any]] = [
        ("endpoint", seen["endpoint"]),
        ("header", seen["header"]),
        ("claims", seen["claims"]),
        ("status", seen["status"] if seen["status"] is not None else "no answer"),
        ("answer", seen["answer"]),
        ("took", f"{seen['milliseconds']} ms"),
    ]
    output.table(["Sign-in", ""], rows)
    output.line("")


def _explain(options: argparse.Namespace, output: Output) -> bool:
    found = diagnosis.explain_text(" ".join(options.text))
    if found is None:
        output.complain(f"Nothing is known about this error here. {diagnosis.LOGIN_HISTORY}")
        return False
    facts = {
        "code": found.code,
        "cause": found.cause,
        "who": found.who,
        "remedy": found.remedy,
        "where": found.where,
        "retryable": found.retryable,
    }
    if output.as_json:
        output.data(facts)
    else:
        output.line(found.cause, style="bold")
        output.line(f"→ {found.remedy}")
        output.line(f"Who: {found.who}.")
        if found.where:
            output.line(f"Where: {found.where}")
    return True


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection")


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument(
        "--trace", action="store_true", help="show what was sent and answered; the token as its length only"
    )


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "text", metavar="TEXT", nargs="+", help="an error as Salesforce, a log or a library told it"
    )


VERBS = (
    Verb(
        "list",
        "the connections and their state, sick ones first",
        _list,
        arguments=lambda parser: None,
        examples=["list", "list --json"],
        details="Exits 0 whenever it could list, however sick the connections are.",
    ),
    Verb(
        "check",
        "sign in for real and find out what is wrong, step by step",
        _check,
        arguments=_check_arguments,
        examples=["check acme-prod", "check acme-prod --trace", "check acme-prod --json"],
        details="Exits 0 when the connection works, also when it needs attention soon; else 1.",
    ),
    Verb(
        "explain",
        "cause and remedy for an error message, without a call",
        _explain,
        arguments=_explain_arguments,
        examples=['explain "invalid_grant: user hasn\'t approved this consumer"'],
    ),
)

"""Looking at connections: `list`, `check`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from django.utils import timezone
from rich.text import Text

from ... import access, health
from ...access import Deed
from ...models import ConnectedApp, ConnectionCheck
from ...salesforce.errors import InvalidInput
from ...services import operations
from ...state import ConnectionState
from .orgs import find_fault
from .verb import Output, Verb, connection_for, printable

_STYLES = {"good": "green", "warn": "yellow", "bad": "red", "info": "cyan", "mute": "dim"}
_MARKS = {
    health.OK: ("✓", "green"),
    health.WARNING: ("!", "yellow"),
    health.FAILED: ("✗", "red"),
    health.NOT_REACHED: ("·", "dim"),
}


def as_json(connection: ConnectedApp, found: ConnectionCheck) -> dict[str, object]:
    return {"name": connection.name, "healthy": found.healthy, "state": found.state, "steps": found.steps}


def tell(connection: ConnectedApp, found: ConnectionCheck, output: Output) -> None:
    """For people: a line per step, and what to do below those that need it. With --json only that it is not healthy."""
    state = ConnectionState(found.state)
    summary = f"{connection.name}: {state.value}. {connection.failure_sentence(timezone.now())}"
    if output.as_json:
        if not found.healthy:
            output.complain(summary)
        return
    for step in found.steps:
        mark, style = _MARKS[step["status"]]
        told = _told(step) or ("not reached" if step["status"] == health.NOT_REACHED else "")
        words = step["step"].replace("_", " ")
        output.line(f"{words:<13} {told}", mark=mark, mark_style=style, style="dim" if style == "dim" else "")
        for line in _advice(step):
            output.line(line, indent=16)
    output.line("")
    output.line(summary, style=_STYLES[state.colour])


def _advice(step: dict[str, str]) -> Iterator[str]:
    """What to do, who must do it, where, and the code to search for; a line each."""
    if step["remedy"]:
        yield f"→ {step['remedy']}"
    for word in ("who", "where", "code"):
        if step.get(word):
            yield f"{word.capitalize()}: {step[word]}"


def _told(step: dict[str, str]) -> str:
    """What was seen, and why unless that is said already."""
    seen, cause = step["message"], step.get("cause", "")
    return seen if cause in seen else f"{seen} {cause}"


def _list(options: argparse.Namespace, output: Output) -> bool:
    now = timezone.now()
    access.require(options.actor, options.deed)
    found = access.visible_to(options.actor).select_related("signing_key").sick_first()
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
    if options.save and not options.find_fault:
        raise InvalidInput("--save goes with --find-fault.")
    connection = connection_for(options.name, options.deed, actor=options.actor)
    found = operations.diagnose(connection, actor=options.actor)
    more: dict[str, object] = {"trace": found.trace} if options.trace else {}
    if options.trace and not output.as_json:
        output.raw(printable(health.trace_text(connection, found)))
    tell(connection, found, output)
    if options.find_fault and not found.healthy:
        more["fault"] = find_fault(connection, output, actor=options.actor, save=options.save)
        found = connection.checks.first() or found  # another one if what worked was saved
    if output.as_json:
        output.data(as_json(connection, found) | more)
    return found.healthy


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection")


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument(
        "--trace", action="store_true", help="show what was sent and answered; the token as its length only"
    )
    parser.add_argument(
        "--find-fault",
        action="store_true",
        help="when it fails, try login URLs and audiences, one sign-in after the other, for up to 25 seconds",
    )
    parser.add_argument("--save", action="store_true", help="with --find-fault: take the pair that worked")


VERBS = (
    Verb(
        "list",
        "the connections and their state, sick ones first",
        _list,
        arguments=lambda parser: None,
        examples=["list", "list --json"],
        details="Exits 0 whenever it could list, however sick the connections are.",
        deed=Deed.LIST,
    ),
    Verb(
        "check",
        "sign in for real and find out what is wrong, step by step",
        _check,
        arguments=_check_arguments,
        examples=[
            "check acme-prod",
            "check acme-prod --trace",
            "check acme-prod --json",
            "check acme-uat --find-fault",
        ],
        details="Exits 0 when the connection works, also when it needs attention soon; else 1.",
        deed=Deed.CHECK,
    ),
)

"""What people are told of: `alarms`, `test-alarm`."""

from __future__ import annotations

import argparse

from rich.text import Text

from ... import access
from ...access import Deed
from ...alarms import seeing, tell, texts, trial
from ...alarms.seeing import Seen
from .verb import Output, Verb


def _alarms(options: argparse.Namespace, output: Output) -> bool:
    access.require(options.actor, options.deed)
    sent_all = _send(options, output) if options.send else True
    alarms = seeing.told_alarms().filter(ended_at=None).order_by("-raised_at")
    found = seeing.visible(options.actor, alarms)
    if output.as_json:
        output.data([_as_json(each) for each in found])
    elif found:
        output.table(["Alarm", "Since", "Who must act", "What to do"], [_row(each) for each in found])
    else:
        output.say("No alarm is open.")
    return sent_all


def _send(options: argparse.Namespace, output: Output) -> bool:
    access.require(options.actor, Deed.MANAGE_ALARMS)
    sent = tell()
    if sent.failed:
        output.complain(
            f"Messages not sent: {sent.failed} of {sent.sent + sent.failed}. Each is tried again."
        )
    elif sent.sent:
        output.note(f"Messages sent: {sent.sent}.")
    return not sent.failed


def _row(seen: Seen) -> list[object]:
    facts = seen.alarm.facts
    return [
        Text(texts.headline(seen.alarm, count=len(seen.names)), "red"),
        f"{seen.alarm.since:%Y-%m-%d %H:%M} UTC",
        facts.get("who", ""),
        facts.get("remedy", ""),
    ]


def _as_json(seen: Seen) -> dict[str, object]:
    alarm = seen.alarm
    return {
        "kind": alarm.kind,
        "title": texts.headline(alarm, count=len(seen.names)),
        "since": alarm.since.isoformat(),
        "told_at": alarm.told_at and alarm.told_at.isoformat(),
        "level": alarm.level,
        "connections": list(seen.names),
        **{name: alarm.facts.get(name, "") for name in ("code", "cause", "who", "remedy", "where")},
    }


def _test(options: argparse.Namespace, output: Output) -> bool:
    tried = trial.send_test(actor=options.actor, to=options.to)
    if output.as_json:
        output.data(
            [{"to": each.target, "sent": not each.problem, "problem": each.problem} for each in tried]
        )
    for each in tried:
        output.say(f"{each.target}: not sent, {each.problem}." if each.problem else f"{each.target}: sent.")
    return not any(each.problem for each in tried)


def _alarms_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--send",
        action="store_true",
        help="first look what is amiss and send what is due, as beat does every minute",
    )


def _test_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        metavar="WHOM",
        nargs="+",
        action="extend",
        default=[],
        help="e-mail addresses and names of channels; none: all that the settings name",
    )


VERBS = (
    Verb(
        "alarms",
        "what people are told of at present",
        _alarms,
        arguments=_alarms_arguments,
        examples=["alarms", "alarms --json", "alarms --send"],
        details="With --send from cron or a systemd timer, alarms go out where no Celery runs, and when it is Celery that is down. "
        "Exits 1 when a message could not be sent; it is tried again.",
        deed=Deed.SEE_ALARMS,
    ),
    Verb(
        "test-alarm",
        "send a test to those who are told of alarms",
        _test,
        arguments=_test_arguments,
        examples=["test-alarm", "test-alarm --to ops@example.com chat"],
        details="Each is tried once, at once; exits 1 when one did not take it.",
        deed=Deed.MANAGE_ALARMS,
    ),
)

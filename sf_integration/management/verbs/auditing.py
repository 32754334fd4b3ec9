"""The audit trail: `audit`."""

from __future__ import annotations

import argparse
import datetime as dt

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from ...access import Deed
from ...salesforce.errors import InvalidInput
from ...services import trail
from ...services.trail import Question
from .verb import Output, Verb

_LAST = 100
"""Rows of a table, unless it is said otherwise; files have all."""


def _audit(options: argparse.Namespace, output: Output) -> bool:
    if options.csv and options.json:
        raise InvalidInput("--csv and --json can't go together: choose one.")
    question = Question(
        actor=options.actor_name,
        act=options.act,
        connection=options.connection,
        username=options.username,
        since=_moment("--since", options.since),
        until=_moment("--until", options.until, is_end=True),
    )
    if options.csv:
        for part in trail.write_csv(trail.export(question, actor=options.actor)):
            output.part(part.decode())
    elif output.as_json:
        batches = trail.export(question, actor=options.actor)
        output.array(trail.as_json(event) for events in batches for event in events)
    else:
        _show(question, options, output)
    return True


def _show(question: Question, options: argparse.Namespace, output: Output) -> None:
    if options.last < 1:
        raise InvalidInput(f"--last takes a number from 1 on, not {options.last}.")
    found = list(trail.matching(question, actor=options.actor)[: options.last + 1])
    output.table(
        ["When (UTC)", "Who", "Did what", "To what", "Salesforce user", "Fields", "Times"],
        [
            [
                f"{event.at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}",
                event.actor,
                event.act,
                event.subject,
                event.username,
                ", ".join(event.fields),
                event.count,
            ]
            for event in found[: options.last]
        ],
    )
    if len(found) > options.last:
        output.note(f"These are the {options.last} newest. More: --last N; all of them: --csv or --json.")


def _moment(flag: str, text: str, *, is_end: bool = False) -> dt.datetime | None:
    """A day is whole, also at its end."""
    if not text:
        return None
    try:
        if day := parse_date(text):
            at = dt.datetime.combine(day + dt.timedelta(days=is_end), dt.time())
            return timezone.make_aware(at, dt.UTC)
        if moment := parse_datetime(text):
            return moment if timezone.is_aware(moment) else timezone.make_aware(moment, dt.UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(
        f"{flag} takes a day or a moment, as 2026-11-22 or 2026-11-22T03:12 (UTC), not “{text}”."
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--actor",
        dest="actor_name",
        metavar="WHO",
        default="",
        help="only what this one did, as printed under Who",
    )
    parser.add_argument("--act", metavar="WORDS", default="", help="only this act, as in “took token”")
    parser.add_argument(
        "--connection",
        metavar="NAME",
        default="",
        help="only what was done to this one; also a signing key, API client or what is deleted",
    )
    parser.add_argument("--username", metavar="U", default="", help="only with this user of Salesforce")
    parser.add_argument("--since", metavar="WHEN", default="", help="from this day or moment (UTC) on")
    parser.add_argument(
        "--until", metavar="WHEN", default="", help="up to the end of this day, or this moment"
    )
    parser.add_argument(
        "--last", type=int, default=_LAST, metavar="N", help="rows of the table (default: %(default)s)"
    )
    parser.add_argument("--csv", action="store_true", help="print all as CSV (RFC 4180, UTF-8)")


VERBS = (
    Verb(
        "audit",
        "who did what, the newest first",
        _audit,
        arguments=_arguments,
        examples=[
            "audit --connection acme-prod --since 2026-11-01",
            'audit --act "took token" --actor alice',
            "audit --since 2026-01-01 --until 2026-03-31 --csv > audit.csv",
        ],
        details="Names are compared letter by letter. --csv and --json print all that fits, however much it is, and that they "
        "did so is in the trail from then on. With --as: what was done to connections that this user may see; for superusers all.",
        deed=Deed.SEE_AUDIT,
    ),
)

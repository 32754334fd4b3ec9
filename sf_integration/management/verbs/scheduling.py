"""What beat runs: `schedule`."""

from __future__ import annotations

import argparse

from ...access import Deed
from ...salesforce.errors import InvalidInput
from ...services import schedules
from .verb import Output, Verb


def _schedule(options: argparse.Namespace, output: Output) -> bool:
    if not schedules.beat_has_rows():
        raise InvalidInput(
            "django-celery-beat is not among INSTALLED_APPS, so there are no rows to make. With plain Celery set "
            "CELERY_BEAT_SCHEDULE = {**SCHEDULE}, from sf_integration.schedule import SCHEDULE."
        )
    made = schedules.add_rows(actor=options.actor)
    for name in made:
        output.line(f"{name}: made.")
    if not made:
        output.line("All rows are there already; nothing was changed.")
    return True


VERBS = (
    Verb(
        "schedule",
        "make the rows that django-celery-beat needs, once",
        _schedule,
        arguments=lambda parser: None,
        examples=["schedule"],
        details="Makes a row for each task of this app that has none. Rows that are there are left as they are, also when "
        "they were edited or switched off; one that was deleted is made again. Which schedule is in force: manage.py "
        "check --deploy --database default.",
        prints_data=False,
        deed=Deed.MAKE_SCHEDULE,
    ),
)

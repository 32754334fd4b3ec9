from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

_LOCK = 0x5F_C0_99_EC
"""Any number that no other program on the same database takes a lock by."""


class Command(migrate.Command):
    """Django's own, by one host at a time: of two that start at once the second waits, and finds nothing left to do.

    PostgreSQL frees the lock with the connection, so that whoever is killed holds up nobody.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        database = connections[options["database"]]
        if database.vendor != "postgresql":
            super().handle(*args, **options)
            return
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            super().handle(*args, **options)
        finally:
            with database.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])

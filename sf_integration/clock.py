"""This host's clock beside that of the database, which all hosts share: claims and expiries are compared between hosts."""

from __future__ import annotations

import logging
import time

from django.db import connection

WARNING_SECONDS = 2.0
"""A claim outlives its call by two seconds: hosts further apart might sign in for the same token twice."""

log = logging.getLogger("sf_integration")


def seconds_ahead_of_database() -> float | None:
    """Negative when we are behind; None where the database is no server with a clock of its own."""
    if connection.vendor != "postgresql":
        return None
    asked_at = time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXTRACT(EPOCH FROM clock_timestamp())")
        told = float(cursor.fetchone()[0])
    return (asked_at + time.time()) / 2 - told


def is_off(seconds_ahead: float | None) -> bool:
    return seconds_ahead is not None and abs(seconds_ahead) > WARNING_SECONDS


def warn_if_off() -> None:
    ahead = seconds_ahead_of_database()
    if is_off(ahead):
        log.warning("this host's clock is %.1f s ahead of the database's: set both by NTP", ahead)

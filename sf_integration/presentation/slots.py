"""Equal stretches of time, those of the UTC clock."""

from __future__ import annotations

import datetime as dt

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def start_of_slot(moment: dt.datetime, length: dt.timedelta) -> dt.datetime:
    """Of the stretch of this length that `moment` lies in."""
    return moment - (moment - _EPOCH) % length

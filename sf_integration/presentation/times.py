"""How long ago, and in how long."""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext


def distance(moment: dt.datetime, now: dt.datetime) -> str:
    """`2 min ago`, `in 3 h`."""
    seconds = (now - moment).total_seconds()
    size = abs(seconds)
    if size < 10:
        return gettext("just now") if seconds >= 0 else gettext("now")
    if size < 90:
        words = gettext("%(number).0f s") % {"number": size}
    elif size < 90 * 60:
        words = gettext("%(number).0f min") % {"number": size / 60}
    elif size < 36 * 3600:
        words = gettext("%(number).0f h") % {"number": size / 3600}
    else:
        words = gettext("%(number).0f days") % {"number": size / 86400}
    return (gettext("%(time)s ago") if seconds >= 0 else gettext("in %(time)s")) % {"time": words}

"""What axe says against pages that are Django's own, with why it stays: {name of the page: {rule: reason}}."""

from __future__ import annotations

_DATES = "Django labels a moment's two inputs together, as a group, and neither by itself."
_TOOLTIPS = "Django's script for choosing several puts a label on the picture of a magnifying glass."

KNOWN: dict[str, dict[str, str]] = {
    "admin:auth_user_change": {"label": _DATES, "aria-prohibited-attr": _TOOLTIPS},
    "admin:auth_group_add": {"aria-prohibited-attr": _TOOLTIPS},
    "admin:auth_group_change": {"aria-prohibited-attr": _TOOLTIPS},
    "admin:sf_integration_apiclient_add": {"aria-prohibited-attr": _TOOLTIPS},
    "admin:sf_integration_apiclient_change": {"aria-prohibited-attr": _TOOLTIPS},
    "admin:django_celery_beat_periodictask_add": {"label": _DATES},
    "admin:django_celery_beat_periodictask_change": {"label": _DATES},
}

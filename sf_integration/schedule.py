"""What beat has to run, for a site's own `beat_schedule`; importable in a settings file.

from sf_integration.schedule import SCHEDULE
CELERY_BEAT_SCHEDULE = {**SCHEDULE}
"""

from __future__ import annotations

from typing import Any

PERIOD_SECONDS = 60

SCHEDULE: dict[str, dict[str, Any]] = {
    "sf_integration: refresh due tokens": {
        "task": "sf_integration.refresh_due_tokens",
        "schedule": PERIOD_SECONDS,
        "options": {"expires": PERIOD_SECONDS},
    },
    "sf_integration: check connections": {
        "task": "sf_integration.check_due_connections",
        "schedule": PERIOD_SECONDS,
        "options": {"expires": PERIOD_SECONDS},
    },
    "sf_integration: alarms": {
        "task": "sf_integration.alarms",
        "schedule": PERIOD_SECONDS,
        "options": {"expires": PERIOD_SECONDS},
    },
    "sf_integration: housekeeping": {"task": "sf_integration.housekeeping", "schedule": 24 * 3600},
}

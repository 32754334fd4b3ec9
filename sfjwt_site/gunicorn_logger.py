"""gunicorn's lines in the format of all others: `gunicorn --logger-class sfjwt_site.gunicorn_logger.Logger`.

Its first process outlives a reload: `.env` is looked into there, not put into its environment.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from sfjwt_site.environment import env_file, read_env_file
from sfjwt_site.logs import FORMATS, formatter


class Logger(GunicornLogger):
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self._format = _chosen_format()
        logs = [self.error_log] if self._format == "line" else [self.error_log, self.access_log]
        for handler in [handler for log in logs for handler in log.handlers]:
            handler.setFormatter(formatter(self._format))

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Plain lines are those that gunicorn is told to write; JSON has its own fields, and no query string."""
        if self._format == "line" or not self.access_log_enabled:
            super().access(resp, req, environ, request_time)
            return
        atoms = self.atoms(resp, req, environ, request_time)
        fields = {
            "event": "request",
            "method": atoms["m"],
            "path": atoms["U"],
            "status": int(atoms["s"]),
            "bytes": atoms["B"],
            "milliseconds": atoms["M"],
            "address": atoms["h"],
            "request_id": atoms.get("{x-request-id}o", ""),
        }
        self.access_log.info("%s %s %s", atoms["m"], atoms["U"], atoms["s"], extra=fields)


def _chosen_format() -> str:
    path = env_file()
    named = os.environ.get("LOG_FORMAT") or (read_env_file(path).get("LOG_FORMAT", "") if path else "")
    return named if named in FORMATS else "line"  # for others the settings have a sentence

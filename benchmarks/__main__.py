"""Set up a throw-away site, run every measure, print the table and write bench.json."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sf-bench-") as folder:
        os.environ |= {
            "ENV_FILE": "",
            "VAR_DIR": folder,
            "DJANGO_SETTINGS_MODULE": "sfjwt_site.settings",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "SF_ENCRYPTION_KEYS": secrets.token_urlsafe(32),
            "DEBUG": "off",
            "SITE_URL": "http://127.0.0.1:8000",
        }
        os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        import logging

        # A line per sign-in is what a worker writes; here it would bury the table.
        logging.disable(logging.INFO)
        from . import measures

        results = [measure() for measure in measures.ALL]
    _print(results)
    Path("bench.json").write_text(json.dumps([result.as_json() for result in results], indent=1) + "\n")


def _print(results: list) -> None:  # type: ignore[type-arg]
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "ours", "reference", "ours / reference", "to reach", "")
    for result in results:
        table.add_row(
            result.name,
            result.shown(result.value),
            f"{result.shown(result.reference)} {result.reference_name}" if result.reference else "",
            f"{result.value / result.reference:.3g}" if result.reference else "",
            result.goal,
            "✓" if result.reached else "missed",
        )
    Console().print(table)


if __name__ == "__main__":
    main()

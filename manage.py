#!/usr/bin/env python
"""Django's command line for this site."""

from __future__ import annotations

import os
import sys

from sfjwt_site.environment import load_env_file


def main() -> None:
    load_env_file()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sfjwt_site.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(
            f"The settings are wrong: {error}. The environment and .env are read; .env.example explains each name."
        )


if __name__ == "__main__":
    main()

"""The process environment and the `.env` file.

Settings read the environment only. The entry points (manage.py, wsgi, asgi, celery) call `load_env_file`
first; tests never do.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

BASE_DIR = Path(__file__).resolve().parent.parent

Read = TypeVar("Read")


class _StrippedMapping(FileAwareMapping):
    """Values without the newline that editors and `docker secret` leave at the end of a NAME_FILE."""

    def __getitem__(self, key: str) -> str:
        try:
            return str(super().__getitem__(key)).strip()
        except OSError as exc:
            raise ImproperlyConfigured(f"{key}_FILE: {exc.strerror}: {exc.filename}") from None


class Environment(environ.FileAwareEnv):
    """django-environ over the process environment: any NAME may be given as NAME_FILE."""

    ENVIRON = _StrippedMapping()

    def names(self, name: str) -> list[str]:
        """A comma-separated value as a list, blanks around the entries removed; absent or empty: []."""
        return [entry.strip() for entry in self.str(name, default="").split(",") if entry.strip()]

    def channels(self, name: str) -> dict[str, str]:
        """`name=url` for each, blanks or line ends between them; absent or empty: {}."""
        entries = (entry.partition("=") for entry in self.str(name, default="").split())
        return {channel: url for channel, _, url in entries}

    def number(self, name: str, *, default: int) -> int:
        """Absent or empty: `default`."""
        value = self.str(name, default="")
        if value and not value.isdecimal():
            raise ImproperlyConfigured(f"{name} must be a whole number, not “{value}”.")
        return int(value or default)

    def address(self, name: str, read: Callable[[str], Read], example: str) -> Read:
        """What `read` makes of an address. Of one that it can't read only the name is told: the words of parsers may be a part
        of the password."""
        self.str(name, default="")  # a NAME_FILE that is not there is told by its own words
        try:
            with warnings.catch_warnings(action="ignore"):
                return read(name)
        except (ValueError, KeyError, ImproperlyConfigured):
            raise ImproperlyConfigured(
                f"{name} is no address that can be read. Write {example}; in a name or password write "
                "@ / : # ? as %40 %2F %3A %23 %3F."
            ) from None


class _EnvFile(environ.Env):
    """Collects what a `.env` file says, apart from the process environment."""

    ENVIRON: dict[str, str] = {}


def env_file() -> Path | None:
    """The file to read: ENV_FILE of the environment, else `.env` beside manage.py; None when ENV_FILE is empty."""
    named = os.environ.get("ENV_FILE")
    if named is None:
        return BASE_DIR / ".env"
    return Path(named) if named else None


def read_env_file(path: Path) -> dict[str, str]:
    """Names and values of `path`; {} when there is no such file."""
    # django-environ logs a line it can't read in full, and that line may hold a secret.
    logger = logging.getLogger("environ.environ")
    logger.addFilter(_hide_line)
    _EnvFile.ENVIRON = {}
    try:
        _EnvFile.read_env(path)
    finally:
        logger.removeFilter(_hide_line)
    return _EnvFile.ENVIRON


def load_env_file() -> None:
    """Put the values of `.env` into the process environment, where that doesn't say otherwise already."""
    path = env_file()
    if path is None:
        return
    given = set(os.environ)
    for name, value in read_env_file(path).items():
        # NAME and NAME_FILE are one setting: the real environment wins with either of them.
        plain = name.removesuffix("_FILE")
        if not {plain, f"{plain}_FILE"} & given:
            os.environ[name] = value


def _hide_line(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith("Invalid line"):
        record.msg = (
            "A line of the environment file was skipped: write NAME=value, without blanks around the ="
        )
        record.args = ()
    return True

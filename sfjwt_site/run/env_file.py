"""Writing `.env`: once with fresh keys, later only the stand-in's entry of SF_ALLOWED_HOSTS."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

FIRST = """\
# Made by the first `make run`; .env.example says what else can stand here.
SECRET_KEY={secret_key}
DEBUG=off
ALLOWED_HOSTS=localhost,127.0.0.1,[::1]
SITE_URL={site_url}
# Without this key the private keys and tokens in the database can't be opened: keep a copy in a safe place.
SF_ENCRYPTION_KEYS={encryption_key}
# The stand-in org that `make run` starts. Remove the entry to run without one.
SF_ALLOWED_HOSTS={stand_in_host}
"""


def write_first(path: Path, *, site_url: str, stand_in_host: str) -> None:
    """Make the file, readable for its owner alone, with keys made here. Raises FileExistsError."""
    text = FIRST.format(
        secret_key=secrets.token_urlsafe(50),
        encryption_key=secrets.token_urlsafe(32),
        site_url=site_url,
        stand_in_host=stand_in_host,
    )
    _write(path, text)


def replace_allowed_host(path: Path, old: str, new: str) -> None:
    """Put `new` in the place of the SF_ALLOWED_HOSTS entry `old`; all else in the file stays as it is."""
    lines = path.read_text().splitlines(keepends=True)
    ours = re.compile(r"(export )?SF_ALLOWED_HOSTS=")
    changed = [replace_host(line, old, new) if ours.match(line) else line for line in lines]
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    _write(fresh, "".join(changed))
    os.replace(fresh, path)


def replace_host(text: str, old: str, new: str) -> str:
    """`text` with the host:port `old` replaced, but not where it is only the beginning or end of another one."""
    return re.sub(rf"(?<![\w.]){re.escape(old)}(?!\d)", new, text)


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)

"""Files that are named on the command line."""

from __future__ import annotations

import codecs
from pathlib import Path

from ...salesforce.errors import InvalidInput

PASSPHRASE_VARIABLE = "SF_KEY_PASSPHRASE"  # noqa: S105 - its name
_LARGEST_BYTES = 1_000_000


def read(path: Path, what: str, *, most: int = _LARGEST_BYTES) -> bytes:
    """At most `most` bytes. Raises InvalidInput, where `what` says which file is meant."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except FileNotFoundError as exc:
        raise InvalidInput(
            f"There is no {what} file {path}. Check the path; it counts from {Path.cwd()}."
        ) from exc
    except OSError as exc:
        raise InvalidInput(f"The {what} file {path} can't be read: {exc.strerror}.") from exc


def read_passphrase(path: Path) -> str:
    """Its line end does not count, nor how Windows writes text."""
    data = read(path, "passphrase")
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return data.decode(encoding, errors="replace").rstrip("\r\n")

"""Which API versions an org serves, and which of them to use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import TransportError

OLDEST_API_VERSION = "42.0"
NEWEST_API_VERSION = "67.0"


@dataclass(frozen=True)
class ApiVersion:
    version: str
    label: str

    @property
    def number(self) -> float:
        return float(self.version)


def newest_common_version(versions: Sequence[ApiVersion]) -> str:
    """The newest version that the org serves and this package was written for."""
    known = [version for version in versions if version.number <= float(NEWEST_API_VERSION)]
    if not known or known[-1].number < float(OLDEST_API_VERSION):
        raise TransportError(
            f"The org serves no API version between {OLDEST_API_VERSION} and {NEWEST_API_VERSION}.",
            code="no_common_api_version",
        )
    return known[-1].version


def read_versions(data: object) -> tuple[ApiVersion, ...]:
    """The answer of `/services/data`, oldest first."""
    try:
        found = [ApiVersion(str(item["version"]), str(item.get("label", ""))) for item in data]  # type: ignore[attr-defined]
        if not all(re.fullmatch(r"[0-9]{1,3}\.[0-9]", each.version) for each in found):
            raise ValueError  # it becomes a part of paths, and is stored
        return tuple(sorted(found, key=lambda version: version.number))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise TransportError(
            "The list of API versions is not of the known form.", code="malformed_answer"
        ) from exc

"""The env file of the JWT tutorials: four lines of `Name = 'value'`, which no dotenv library reads.

    KeyFile = 'certs/server.key'
    ClientId = ''
    UserName = ''
    Domain = 'https://acme.my.salesforce.com/' //for a Sandbox
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .salesforce.errors import InvalidInput

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>\w+)\s*=\s*
    (?: '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<bare>.*?) )
    \s*(?:(?://|\#).*)?$""",
    re.VERBOSE,
)
# Of a value in quotes the remark may stand inside them too; the // of https:// follows no blank.
_REMARK = re.compile(r"\s+//.*$")
_NAMES = {
    "keyfile": ("KeyFile", "key_file"),
    "clientid": ("ClientId", "consumer_key"),
    "username": ("UserName", "username"),
    "domain": ("Domain", "login_url"),
}


@dataclass(frozen=True)
class EnvFile:
    """What the file says; empty texts for what it leaves empty."""

    key_file: str = ""
    consumer_key: str = ""
    username: str = ""
    login_url: str = ""


def read(text: str, *, name: str) -> EnvFile:
    """The values in the `text` of the file called `name`. Other lines are left alone; the last of two counts.

    Raises InvalidInput when it holds none of the four names at all.
    """
    values: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").splitlines():
        found = _LINE.match(line)
        if found and found["name"].lower() in _NAMES:
            value = next(part for part in found.group("single", "double", "bare") if part is not None)
            values[_NAMES[found["name"].lower()][1]] = _REMARK.sub("", value).strip()
    if not values:
        raise InvalidInput(
            f"{name} is not the tutorials' env file: it has no line like ClientId = '…'. "
            "It holds KeyFile, ClientId, UserName and Domain."
        )
    return EnvFile(**values)


def require_filled(file: EnvFile, *, name: str, given_otherwise: Mapping[str, object]) -> None:
    """Raise InvalidInput naming every empty value of `file` that was not given in another way."""
    empty = [
        shown for shown, field in _NAMES.values() if not getattr(file, field) and not given_otherwise.get(field)
    ]
    if empty:
        verb, it = ("is", "it") if len(empty) == 1 else ("are", "them")
        raise InvalidInput(f"{_listed(empty)} {verb} empty in {name}: fill {it} in.")


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))

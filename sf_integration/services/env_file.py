"""The env file of the JWT tutorials: lines of `Name = 'value'` with blanks around the `=`, which no dotenv library reads.

KeyFile = 'certs/server.key'
ClientId = ''
UserName = ''
Domain = 'https://acme--uat.sandbox.my.salesforce.com/' //for a Sandbox
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..salesforce.errors import InvalidInput

_LINE = re.compile(
    r"""\s* (?P<name>\w+) \s*=\s*
    (?: '(?P<single>[^']*)' | "(?P<double>[^"]*)" | (?P<bare>.*?) )
    \s* (?: (?:(?<=\s)|(?<=['"])) (?://|\#).* )? $""",
    re.VERBOSE,
)
# The remark may also stand inside the quotes; the // of https:// follows no blank.
_REMARK = re.compile(r"(?:^|\s+)//.*$")


@dataclass(frozen=True)
class EnvFile:
    """What the file says; an empty text where it says nothing."""

    key_file: str = ""
    consumer_key: str = ""
    username: str = ""
    login_url: str = ""


NAMES = {"key_file": "KeyFile", "consumer_key": "ClientId", "username": "UserName", "login_url": "Domain"}
"""What the file calls the fields of EnvFile."""


def read(text: str, *, name: str) -> EnvFile:
    """The values in `text`, the content of the file `name`. Of a name that comes twice the last counts.

    Raises InvalidInput when none of the four names is in it.
    """
    fields = {told.lower(): field for field, told in NAMES.items()}
    values: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").splitlines():
        found = _LINE.match(line)
        field = fields.get(found["name"].lower()) if found else None
        if found and field:
            value = found["single"] or found["double"] or found["bare"] or ""
            values[field] = _REMARK.sub("", value).strip()
    if not values:
        raise InvalidInput(
            f"{name} is not the env file of the tutorials: it has no line like ClientId = '…'. "
            f"Its names are {', '.join(NAMES.values())}."
        )
    return EnvFile(**values)

from __future__ import annotations

import pytest

from sf_integration import InvalidInput
from sf_integration.services import env_file
from sf_integration.services.env_file import EnvFile

TUTORIAL = """\
KeyFile = 'certs/server.key'

ClientId = ''

UserName = ''

Domain = ''
"""


def read(text: str) -> EnvFile:
    return env_file.read(text, name="acme.env")


def test_file_of_the_tutorials_is_read_byte_for_byte() -> None:
    assert read(TUTORIAL) == EnvFile(key_file="certs/server.key")


@pytest.mark.parametrize(
    "line",
    [
        "Domain = 'https://acme.my.salesforce.com'",
        'Domain="https://acme.my.salesforce.com"',
        "domain=https://acme.my.salesforce.com",
        "  DOMAIN =  'https://acme.my.salesforce.com'  ",
        "Domain = 'https://acme.my.salesforce.com' //for a Sandbox",
        "Domain = 'https://acme.my.salesforce.com'//for a Sandbox",
        "Domain = https://acme.my.salesforce.com //for a Sandbox",
        "Domain = 'https://acme.my.salesforce.com //for a Sandbox'",
        "Domain = 'https://acme.my.salesforce.com' # ours",
    ],
)
def test_remarks_blanks_and_quotes_are_no_part_of_the_value(line: str) -> None:
    assert read(line).login_url == "https://acme.my.salesforce.com"


def test_remark_behind_an_empty_value_leaves_it_empty() -> None:
    assert read("Domain = '' //for a Sandbox\nClientId = 'x'") == EnvFile(consumer_key="x")


def test_windows_line_ends_and_byte_order_mark_do_no_harm() -> None:
    assert read("\ufeffClientId = 'abc'\r\nUserName = 'u@x.example'\r\n") == EnvFile(
        consumer_key="abc", username="u@x.example"
    )


def test_last_of_two_counts() -> None:
    assert read("ClientId = 'a'\nClientId = 'b'").consumer_key == "b"


def test_other_lines_are_left_alone() -> None:
    assert read("# a remark\nApiVersion = '58.0'\nClientId = 'a'").consumer_key == "a"


def test_other_file_is_refused_with_the_names_it_should_hold() -> None:
    with pytest.raises(InvalidInput, match="KeyFile, ClientId, UserName, Domain"):
        read("SECRET_KEY=abc\n")

"""`manage.py fake_salesforce`: told by options, stopped by signals."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
import requests
from django.core.management import CommandError, call_command

from .test_command_line import MANAGE

# No database either: without a mark for it, pytest lets nobody ask for one.
pytestmark = pytest.mark.once


class Terminal(io.StringIO):
    """What somebody sees who looks on when the stand-in has started, and then stops it."""

    def __init__(self, look: Callable[[str], object]) -> None:
        super().__init__()
        self._look = look

    def flush(self) -> None:
        self._look(self.getvalue())
        signal.raise_signal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers_put_back() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def fake_salesforce(*arguments: str, look: Callable[[str], object] = str) -> None:
    call_command("fake_salesforce", *arguments, stdout=Terminal(look))


def refused(*arguments: str) -> str:
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("fake_salesforce", *arguments, stdout=out)
    assert out.getvalue() == ""
    return str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tells_all_in_its_first_line_and_stops_cleanly(number: signal.Signals) -> None:
    unreachable = {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none"}
    with subprocess.Popen(
        [*MANAGE, "fake_salesforce", "--json"],
        env=os.environ | unreachable | {"DJANGO_SETTINGS_MODULE": "sfjwt_site.settings"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            facts = json.loads(process.stdout.readline())
            assert set(facts) == {"url", "consumer_key", "username", "key_file", "certificate_file"}
            assert Path(facts["key_file"]).stat().st_mode & 0o077 == 0
            assert requests.get(f"{facts['url']}/services/data", timeout=5).ok
            process.send_signal(number)
            assert process.wait(timeout=10) == 0
            assert not Path(facts["key_file"]).exists()
        finally:
            process.kill()


def test_with_a_state_folder_it_is_the_same_org_again(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        fake_salesforce("--json", "--state-dir", str(tmp_path), look=told.append)
    first, second = map(json.loads, told)
    assert first["consumer_key"] == second["consumer_key"]
    assert first["key_file"] == second["key_file"]


def test_over_tls() -> None:
    def look(told: str) -> None:
        facts = json.loads(told)
        assert facts["url"].startswith("https://")
        assert requests.get(f"{facts['url']}/services/data", verify=facts["ca_file"], timeout=5).ok

    fake_salesforce("--json", "--tls", look=look)


def test_people_are_shown_the_next_command() -> None:
    told: list[str] = []
    fake_salesforce(look=told.append)
    assert "SF_ALLOWED_HOSTS=127.0.0.1:" in told[0]
    assert "salesforce import trial" in told[0]
    assert told[0].endswith("  python manage.py salesforce check trial\n")


def test_it_is_made_as_the_options_say() -> None:
    def look(told: str) -> None:
        facts = json.loads(told)
        shown = requests.get(f"{facts['url']}/stand-in", timeout=5).json()
        assert shown["settings"]["session_seconds"] == 900
        assert shown["settings"]["app.kind"] == "external"
        assert shown["faults"] == [{"kind": "maintenance", "where": "rest", "left": 2, "options": {}}]

        token = sign_in_by_hand(facts)
        asked = ["SELECT COUNT() FROM Contact"] * 3 + [
            "SELECT COUNT() FROM Organization WHERE IsSandbox = true"
        ]
        answers = [ask(facts, token, soql) for soql in asked]
        assert [answer.status_code for answer in answers] == [503, 503, 200, 200]
        assert [answer.json()["totalSize"] for answer in answers[2:]] == [3500, 1]

    settings = "--set session_seconds=900 --set app.kind=external --fail maintenance times=2 where=rest"
    made = "--records Contact 1000 --seed harbor --sandbox --json"
    fake_salesforce(*settings.split(), *made.split(), look=look)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--set session_secs=900", "There is no setting 'session_secs'. Known: active, session_seconds"),
        ("--set session_seconds=soon", 'session_seconds must be a number, not "soon".'),
        ("--set session_seconds", "'session_seconds' should be NAME=VALUE, as in session_seconds=900."),
        ("--fail slow seconds=soon", 'fail: seconds must be a number, not "soon".'),
        ("--fail cut 3", "'3' should be NAME=VALUE"),
        ("--records Contact many", "--records takes an sObject and a whole number, not 'many'."),
        ("--records Xyzzy 5", "no records of 'Xyzzy' can be made up; of these they can: Account, Contact"),
        (f"--certificate-file {__file__}", "no certificate that Salesforce would take"),
    ],
)
def test_what_it_can_not_be_told_is_one_sentence(arguments: str, sentence: str) -> None:
    told = refused(*arguments.split())
    assert sentence in told
    assert len(told.splitlines()) == 1


def test_port_in_use_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "Choose another --port" in refused("--port", str(taken.getsockname()[1]))


def sign_in_by_hand(facts: dict[str, str]) -> str:
    claims = {
        "iss": facts["consumer_key"],
        "sub": facts["username"],
        "aud": facts["url"],
        "exp": time.time() + 180,
    }
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": jwt.encode(claims, Path(facts["key_file"]).read_text(), algorithm="RS256"),
    }
    answer = requests.post(f"{facts['url']}/services/oauth2/token", data=form, timeout=5)
    return str(answer.json()["access_token"])


def ask(facts: dict[str, str], token: str, soql: str) -> requests.Response:
    return requests.get(
        f"{facts['url']}/services/data/v67.0/query",
        params={"q": soql},
        headers={"Authorization": f"Bearer {token}"},
        timeout=5,
    )


def test_without_its_extra_the_stand_in_says_which_is_missing() -> None:
    program = "import sys; sys.modules['lark'] = None; from sf_integration.testing import StandIn"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "extra “testing”" in done.stderr.splitlines()[-1]

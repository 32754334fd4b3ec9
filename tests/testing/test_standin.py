from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jwt
import pytest

from sf_integration.testing import StandIn
from sf_integration.testing.credentials import make_key_and_certificate

from .conftest import Caller


def test_next_start_is_the_same_org_without_its_sessions(tmp_path: Path):
    folder = tmp_path / "state" / "org"
    with StandIn(state_dir=folder) as server:
        first = server.org
        caller = Caller(first)
        assert caller.sign_in().status_code == 200

    with StandIn(state_dir=folder) as server:
        second = server.org
        caller.org = second
        assert caller.get("limits").status_code == 401
        assert caller.sign_in().status_code == 200

    assert second.id == first.id
    assert second.user.id == first.user.id
    assert second.app.consumer_key == first.app.consumer_key
    assert second.app.consumer_secret == first.app.consumer_secret
    assert second.app.certificate_pem == first.app.certificate_pem
    assert second.app.private_key_pem == first.app.private_key_pem


def test_kept_files_are_for_the_owner_alone(tmp_path: Path):
    folder = tmp_path / "org"
    server = StandIn(state_dir=folder)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert server.key_file is not None
    assert server.certificate_file is not None
    assert server.key_file.read_text() == server.org.app.private_key_pem
    assert server.certificate_file.read_text() == server.org.app.certificate_pem


def test_somebodys_own_certificate_leaves_the_kept_key_alone(tmp_path: Path, key_pair: tuple[str, str]):
    own = StandIn(state_dir=tmp_path).org.app

    foreign = StandIn(state_dir=tmp_path, certificate_pem=key_pair[1])
    again = StandIn(state_dir=tmp_path).org.app

    assert foreign.org.app.private_key_pem is None
    assert foreign.key_file is None
    assert foreign.org.app.certificate_pem == key_pair[1]
    assert again.private_key_pem == own.private_key_pem
    assert again.certificate_pem == own.certificate_pem


def test_given_names_are_taken(key_pair: tuple[str, str]):
    private_key, certificate = key_pair
    with StandIn(
        consumer_key="0123456789abcdef",
        certificate_pem=certificate,
        username="me@acme.example",
        org_id="00D5g000004FaKe",
        is_sandbox=True,
        oldest_version=58,
        newest_version=60,
    ) as server:
        org = server.org
        claims = {"iss": "0123456789abcdef", "sub": "me@acme.example", "aud": org.url, "exp": 9_999_999_999}
        caller = Caller(org)
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode(claims, private_key, algorithm="RS256"),
        }
        caller.token = caller.post_token(form).json()["access_token"]

        assert org.id == "00D5g000004FaKeEAK"
        assert (
            caller.get("/services/data/v60.0/sobjects/Organization/00D5g000004FaKe").json()["IsSandbox"]
            is True
        )
        versions = [entry["version"] for entry in caller.get("/services/data").json()]
        assert versions == ["58.0", "59.0", "60.0"]
        caller.http.close()


@pytest.mark.parametrize("certificate", ["nonsense", "key"])
def test_what_is_no_certificate_is_refused(certificate: str):
    if certificate == "key":
        certificate = make_key_and_certificate("x")[0]

    with pytest.raises(ValueError):  # noqa: PT011  cryptography's own words
        StandIn(certificate_pem=certificate)


def test_stand_in_needs_no_django_and_package_is_cheap_to_import():
    code = (
        "import sys, sf_integration.testing\n"
        "assert not {'lark', 'django', 'sqlite3'} & set(sys.modules), 'import of the package'\n"
        "from sf_integration.testing import App, Org, Request, StandIn, User\n"
        "with StandIn() as server: assert server.url\n"
        "assert 'django' not in sys.modules, 'import of the server'\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")

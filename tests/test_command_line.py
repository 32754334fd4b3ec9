from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from sf_integration import get_token, tokens
from sf_integration.management.commands.salesforce import VERBS, Command
from sf_integration.models import AccessToken, AuditEvent, ConnectedApp, ConnectionCheck, SigningKey
from sf_integration.salesforce import keys
from sf_integration.testing import credentials
from sf_integration.testing.django import ConnectableOrg

pytestmark = pytest.mark.django_db(transaction=True)

MANAGE = [sys.executable, str(Path(__file__).parents[1] / "manage.py")]
BRANDT = "001Dn00000Gi7HJIAZ"


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


def salesforce(*arguments: object, out: IO[str] | None = None) -> Ran:
    """As typed in a shell, but in this process: a start of Django for each of many tests costs a minute."""
    out, err = out or io.StringIO(), io.StringIO()
    status = 0
    try:
        Command(stdout=out, stderr=err).run_from_argv(["manage.py", "salesforce", *map(str, arguments)])
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    return Ran(status, out.getvalue() if isinstance(out, io.StringIO) else "", err.getvalue())


def tables() -> list[list[object]]:
    """Everything that a refused command must leave alone."""
    models = (ConnectedApp, SigningKey, AccessToken, ConnectionCheck, AuditEvent)
    return [list(model.objects.order_by("pk").values()) for model in models]


# ---- Looking -----------------------------------------------------------------------------------------------------


def test_list_without_connections_says_how_to_make_one() -> None:
    ran = salesforce("list")
    assert ran.status == 0
    assert "salesforce import" in ran.out


def test_list_shows_state_and_exits_0_however_sick(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.connect("broken", consumer_key="nobody's")
    salesforce("check", "broken")
    ran = salesforce("list")
    assert ran.status == 0
    assert ran.out.index("broken") < ran.out.index("acme")
    assert "Failing" in ran.out
    assert "Not checked yet" in ran.out


def test_list_json_has_the_fixed_fields(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme", label="Acme")
    assert salesforce("list", "--json").json == [
        {
            "name": "acme",
            "label": "Acme",
            "state": "Not checked yet",
            "sentence": connection.state_sentence(),
            "environment": "production",
            "username": salesforce_org.user.username,
        }
    ]


def test_check_of_a_healthy_connection(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    ran = salesforce("check", "acme")
    assert (ran.status, ran.err) == (0, "")
    assert "✓ sign in" in ran.out
    assert "acme: Healthy." in ran.out
    assert ConnectionCheck.objects.get().asked_by == "command line"


def test_check_json_of_a_failing_connection_is_json_with_status_1(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", consumer_key="nobody's")
    ran = salesforce("check", "acme", "--json")
    answer = json.loads(ran.out)
    assert ran.status == 1
    assert set(answer) == {"name", "healthy", "state", "steps"}
    assert (answer["name"], answer["healthy"], answer["state"]) == ("acme", False, "Failing")
    step = next(step for step in answer["steps"] if step["status"] == "failed")
    told = {"step", "status", "code", "message", "cause", "remedy", "who", "where", "milliseconds"}
    assert set(step) == told
    assert (step["step"], step["code"]) == ("sign_in", "invalid_client_id")
    assert step["remedy"]
    assert answer["steps"][-1]["status"] == "not_reached"
    assert "acme: Failing." in ran.err


def test_check_of_a_failing_connection_says_what_to_do(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", consumer_key="nobody's")
    ran = salesforce("check", "acme")
    assert ran.status == 1
    assert "✗ sign in" in ran.out
    assert "→ Copy the consumer key again" in ran.out
    assert "· scopes" in ran.out


def test_check_that_needs_attention_exits_0(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", sample_sobject="NoSuchThing__c")
    ran = salesforce("check", "acme", "--json")
    assert (ran.status, json.loads(ran.out)["state"]) == (0, "Needs attention")


def test_check_of_a_paused_connection_exits_1_and_calls_nobody(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", enabled=False)
    ran = salesforce("check", "acme", "--json")
    assert (ran.status, json.loads(ran.out)["state"]) == (1, "Paused")
    assert not salesforce_org.requests


def test_check_without_the_encryption_key_says_so(salesforce_org: ConnectableOrg, settings: object) -> None:
    salesforce_org.connect("acme")
    configured = settings.SF_INTEGRATION  # type: ignore[attr-defined]
    with override_settings(SF_INTEGRATION={**configured, "ENCRYPTION_KEYS": []}):
        tokens.reset()
        ran = salesforce("check", "acme", "--json")
    assert (ran.status, json.loads(ran.out)["state"]) == (1, "Encryption key missing")


def test_trace_shows_all_but_the_secrets(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    shown = salesforce("check", "acme", "--trace")
    traced = json.loads(salesforce("check", "acme", "--trace", "--json").out)["trace"]
    assert traced["header"] == {"alg": "RS256", "typ": "JWT"}
    assert traced["endpoint"] == f"{salesforce_org.url}/services/oauth2/token"
    assert traced["claims"]["sub"] == connection.username
    assert traced["status"] == 200
    assert re.fullmatch(r"\(\d+ characters\)", traced["answer"]["access_token"])
    assert connection.username in shown.out
    assert get_token("acme").value not in shown.out + json.dumps(traced)
    assert "eyJhbGci" not in shown.out


def test_trace_of_a_refused_sign_in_shows_what_the_org_answered(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", consumer_key="nobody's")
    traced = json.loads(salesforce("check", "acme", "--trace", "--json").out)["trace"]
    assert (traced["status"], traced["answer"]["error"]) == (400, "invalid_client_id")


def test_explain_gives_cause_and_remedy_for_a_pasted_line() -> None:
    pasted = "requests.HTTPError: 400 {'error':'invalid_grant','error_description':\"user hasn't approved this consumer\"}"
    ran = salesforce("explain", pasted)
    assert ran.status == 0
    assert "not approved" in ran.out
    assert "→" in ran.out


def test_explain_json_names_who_must_act() -> None:
    answer = salesforce("explain", "invalid_client_id", "--json").json
    assert isinstance(answer, dict)
    assert answer["code"] == "invalid_client_id"
    assert answer["remedy"]
    assert answer["who"]


def test_explain_of_something_unheard_of_exits_1() -> None:
    ran = salesforce("explain", "the printer is on fire")
    assert (ran.status, ran.out) == (1, "")
    assert "Nothing is known" in ran.err


# ---- Using -------------------------------------------------------------------------------------------------------


def test_query_prints_rows_with_related_fields(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    ran = salesforce("query", "acme", f"SELECT Name, Owner.Name FROM Account WHERE Id = '{BRANDT}'")
    assert ran.status == 0
    assert "Owner.Name" in ran.out
    assert "Kaffeerösterei Brandt & Söhne" in ran.out
    assert ran.out.endswith("1 row\n")


def test_query_json_has_salesforce_field_names_on_all_pages(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    ran = salesforce("query", "acme", "SELECT Id, LastName FROM Contact", "--json")
    rows = json.loads(ran.out)
    count = salesforce("query", "acme", "SELECT COUNT() FROM Contact")
    assert set(rows[0]) == {"Id", "LastName"}
    assert count.out == f"{len(rows)} rows\n"


def test_child_records_are_json_lists(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    soql = f"SELECT Name, (SELECT Id FROM Contacts) FROM Account WHERE Id = '{BRANDT}'"
    rows = json.loads(salesforce("query", "acme", soql, "--json").out)
    assert isinstance(rows[0]["Contacts"], list)


def test_record_prints_the_fields_asked_for(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    ran = salesforce("record", "acme", "Account", BRANDT, "--fields", "Name, AccountNumber", "--json")
    record = json.loads(ran.out)
    assert (record["Name"], record["AccountNumber"]) == ("Kaffeerösterei Brandt & Söhne", "NH-10000")
    assert "NH-10000" in salesforce("record", "acme", "Account", BRANDT).out


def test_data_of_an_org_cannot_steer_the_terminal(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", api_version="67.0")
    evil = '{"Id": "001Dn00000Gi7HJIAZ", "Name": "\\u001b]0;owned\\u0007[red]x"}'
    salesforce_org.fail("answer", body=evil, where="rest")
    ran = salesforce("record", "acme", "Account", BRANDT)
    assert "\x1b" not in ran.out
    assert "[red]x" in ran.out


def test_token_is_printed_alone_on_one_line(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    ran = salesforce("token", "acme", "--yes")
    assert (ran.status, ran.out, ran.err) == (0, get_token("acme").value + "\n", "")


def test_long_token_is_not_wrapped(salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    salesforce_org.token_format = "jwt"
    salesforce_org.connect("acme")
    assert len(salesforce("token", "acme", "--yes").out.splitlines()) == 1


def test_token_into_a_pipe_needs_yes(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    ran = salesforce("token", "acme")
    assert (ran.status, ran.out) == (1, "")
    assert "--yes" in ran.err
    assert not salesforce_org.requests


def test_taking_a_token_is_audited(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    salesforce("token", "acme", "--yes")
    event = AuditEvent.objects.get()
    assert (event.act, event.actor, event.username) == ("took token", "command line", connection.username)


def test_token_of_another_user_only_when_the_connection_lists_it(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme", extra_usernames=["ops@acme.example"])
    salesforce_org.add_user("ops@acme.example")
    assert salesforce("token", "acme", "--username", "ops@acme.example", "--yes").status == 0
    refused = salesforce("token", "acme", "--username", "boss@acme.example", "--yes")
    assert (refused.status, refused.out) == (1, "")
    assert "allowed extra usernames" in refused.err


def test_refresh_renews_those_named_and_goes_on_after_a_failure(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    salesforce_org.connect("broken", consumer_key="nobody's")
    first = get_token("acme").value
    ran = salesforce("refresh", "broken", "acme", "--json")
    assert ran.status == 1
    assert [(row["name"], row["renewed"]) for row in json.loads(ran.out)] == [
        ("broken", False),
        ("acme", True),
    ]
    assert "invalid_client_id" in ran.err
    assert get_token("acme").value != first


def test_refresh_without_names_does_what_beat_does(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    assert salesforce("refresh", "--json").json == {"renewed": 1, "failed": 0, "put_off": 0}
    assert salesforce("refresh", "--json").json == {"renewed": 0, "failed": 0, "put_off": 0}


def test_refresh_without_names_exits_1_when_one_fails(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("broken", consumer_key="nobody's")
    assert salesforce("refresh").status == 1


def test_revoke_ends_the_session_in_the_org(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    assert salesforce("revoke", "acme").status == 0
    assert salesforce_org.find_session(token.value) is None
    assert "no token" in salesforce("revoke", "acme").out


def test_tokens_of_other_users_are_renewed_and_revoked_by_name(salesforce_org: ConnectableOrg) -> None:
    ops = salesforce_org.add_user("ops@acme.example").username
    salesforce_org.connect("acme", extra_usernames=[ops])
    own, first = get_token("acme"), get_token("acme", username=ops)
    assert salesforce("refresh", "acme", "--username", ops).status == 0
    second = get_token("acme", username=ops)
    assert second != first
    assert ops in salesforce("revoke", "acme", "--username", ops).out
    assert salesforce_org.find_session(second.value) is None
    assert salesforce_org.find_session(own.value)
    for names in ((), ("acme", "other")):
        ran = salesforce("refresh", *names, "--username", ops)
        assert ran.status == 1
        assert "name of one connection" in ran.err


def test_revoke_that_the_org_did_not_hear_can_be_tried_again(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    salesforce_org.fail("close", where="any")
    ran = salesforce("revoke", "acme")
    assert (ran.status, ran.out) == (1, "")
    assert "The session was not ended." in ran.err
    salesforce_org.heal()
    assert salesforce("revoke", "acme").status == 0
    assert salesforce_org.find_session(token.value) is None


# ---- Making ------------------------------------------------------------------------------------------------------


@cache
def key_and_certificate(which: str = "acme") -> tuple[str, str]:
    return credentials.make_key_and_certificate(which)


def pem(key: PrivateKeyTypes, passphrase: bytes | None = None) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption
    )


@cache
def encrypted_key() -> bytes:
    return pem(serialization.load_pem_private_key(key_and_certificate()[0].encode(), None), b"opensesame")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the key pair that `acme` is to be made with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SF_KEY_PASSPHRASE", raising=False)
    key, certificate = key_and_certificate()
    (tmp_path / "server.key").write_text(key)
    (tmp_path / "server.crt").write_text(certificate)
    return tmp_path


ACME = (
    *("--login-url", "https://acme.my.salesforce.com"),
    *("--consumer-key", "3MVG9.acme"),
    *("--username", "integration@acme.example"),
)


def test_import_says_what_it_made_and_calls_nobody(folder: Path, salesforce_org: ConnectableOrg) -> None:
    ran = salesforce("import", "acme", *ACME, "--login-url", salesforce_org.url, "--key-file", "server.key")
    assert ran.status == 0
    assert "acme: created: certificate, consumer key, login URL, signing key and username." in ran.out
    assert not salesforce_org.requests
    assert ConnectedApp.objects.get().login_url == salesforce_org.url, "the last of two counts"


def test_text_in_another_encoding_is_refused_with_a_sentence() -> None:
    ran = salesforce("setup-kit", "acme", "--out", "kit", "--label", "M\udcfcller")
    assert ran.status == 1
    assert ran.err == (
        "CommandError: What was given as label is no text in UTF-8: set the terminal to UTF-8.\n"
    )


def test_import_takes_the_address_of_a_page_and_says_what_it_made_of_it(folder: Path) -> None:
    salesforce("import", "acme", *ACME, "--key-file", "server.key")
    ran = salesforce(
        "import", "acme", "--login-url", "https://acme--uat.sandbox.lightning.force.com/lightning/page/home"
    )
    assert ran.status == 0
    assert (
        "Taken as login URL: https://acme--uat.sandbox.my.salesforce.com. acme--uat.sandbox.lightning.force.com"
        in ran.out
    )
    assert ConnectedApp.objects.get().login_url == "https://acme--uat.sandbox.my.salesforce.com"


def test_import_takes_the_certificate_beside_the_key_only_when_it_fits(folder: Path) -> None:
    salesforce("import", "acme", *ACME, "--key-file", "server.key")
    assert ConnectedApp.objects.get().signing_key.certificate
    (folder / "server.crt").write_text(key_and_certificate("other")[1])
    SigningKey.objects.update(certificate="", certificate_fingerprint="")
    assert salesforce("import", "acme", "--key-file", "server.key").status == 0
    assert not ConnectedApp.objects.get().signing_key.certificate


def test_import_again_says_what_it_changed(folder: Path) -> None:
    salesforce("import", "acme", *ACME, "--key-file", "server.key")
    assert "acme: same" in salesforce("import", "acme", *ACME).out
    changed = salesforce("import", "acme", "--username", "ops@acme.example", "--json").json
    assert changed == {"name": "acme", "outcome": "changed", "changed": ["username"]}


def test_import_with_check_exits_by_what_the_check_finds(
    folder: Path, salesforce_org: ConnectableOrg
) -> None:
    salesforce_org.app.replace_certificate(key_and_certificate()[1])
    right = (
        *("--login-url", salesforce_org.url),
        *("--consumer-key", salesforce_org.app.consumer_key),
        *("--username", salesforce_org.user.username),
    )
    assert salesforce("import", "acme", *right, "--key-file", "server.key", "--check").status == 0
    sick = salesforce("import", "acme", "--consumer-key", "another", "--check", "--json")
    assert sick.status == 1
    assert json.loads(sick.out)["check"]["state"] == "Failing"


def test_import_finds_the_key_beside_the_env_file_before_the_working_folder(folder: Path) -> None:
    beside = folder / "org"
    beside.mkdir()
    (beside / "server.key").write_text(key_and_certificate("beside")[0])
    write_env_file(beside / "acme.env")
    salesforce("import", "beside", "--env-file", "org/acme.env")
    (beside / "server.key").unlink()
    salesforce("import", "working-folder", "--env-file", "org/acme.env")
    fingerprints = dict(ConnectedApp.objects.values_list("name", "signing_key__fingerprint"))
    assert len(set(fingerprints.values())) == 2
    assert ConnectedApp.objects.get(name="working-folder").signing_key.certificate


def test_option_wins_over_the_env_file(folder: Path) -> None:
    write_env_file(folder / "acme.env", username="")
    assert salesforce("import", "acme", "--env-file", "acme.env", "--username", "u@acme.example").status == 0
    assert ConnectedApp.objects.get().username == "u@acme.example"


@pytest.mark.parametrize("way", ["file", "environment"])
def test_key_with_passphrase(folder: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "server.key").write_bytes(encrypted_key())
    options = ["--key-file", "server.key"]
    if way == "file":
        (folder / "secret").write_text("opensesame\n")
        options += ["--passphrase-file", "secret"]
    else:
        monkeypatch.setenv("SF_KEY_PASSPHRASE", "opensesame")
    assert salesforce("import", "acme", *ACME, *options).status == 0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_passphrase_file_of_windows_is_read(folder: Path, encoding: str) -> None:
    (folder / "server.key").write_bytes(encrypted_key())
    (folder / "secret").write_text("opensesame\r\n", encoding=encoding)
    options = ["--key-file", "server.key", "--passphrase-file", "secret"]
    assert salesforce("import", "acme", *ACME, *options).status == 0


def test_made_key_can_be_used_by_a_new_connection(folder: Path, salesforce_org: ConnectableOrg) -> None:
    made = json.loads(salesforce("make-key", "fresh", "--json").out)
    salesforce_org.app.replace_certificate(Path(made["certificate_file"]).read_text())
    facts = ("--consumer-key", salesforce_org.app.consumer_key, "--username", salesforce_org.user.username)
    ran = salesforce(
        *("import", "acme", "--login-url", salesforce_org.url, *facts, "--signing-key", "fresh", "--check")
    )
    assert ran.status == 0, ran.out + ran.err


def test_make_key_takes_size_days_and_subject(folder: Path) -> None:
    options = (
        "--bits",
        "3072",
        "--days",
        "30",
        "--subject",
        "CN=Acme,O=Acme\\, Inc,C=US",
        "--out",
        "to/acme.crt",
    )
    (folder / "to").mkdir()
    ran = salesforce("make-key", "own", *options)
    assert ran.status == 0, ran.err
    row = SigningKey.objects.get()
    certificate = keys.read_certificate((folder / "to" / "acme.crt").read_bytes())
    assert certificate.fingerprint == row.certificate_fingerprint
    assert certificate.subject == "CN=Acme,O=Acme\\, Inc,C=US"
    assert (row.size, row.days_left(timezone.now())) == (3072, 29)
    assert keys.colon_pairs(row.certificate_fingerprint) in ran.out
    for menu in ("External Client App Manager → the app → Flow Enablement", "App Manager → the app → API"):
        assert menu in ran.out


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("O=Acme", "CN"),
        ("CN=a,L=Rome", "CN"),
        ("CN=a,C=Germany", "CN=acme,O=Acme GmbH,C=DE"),
        ("CN=a,,", "can't be read"),
    ],
)
def test_make_key_refuses_a_subject_that_cannot_be(folder: Path, subject: str, words: str) -> None:
    ran = salesforce("make-key", "own", "--subject", subject)
    assert ran.status == 1
    assert words in ran.err
    assert not SigningKey.objects.exists()
    assert not (folder / "own.crt").exists()


def test_a_damaged_key_is_repaired_and_that_is_told(folder: Path) -> None:
    key, certificate = key_and_certificate()
    (folder / "mail.txt").write_text("Here it is:\n" + key.replace("\n", r"\n") + certificate)
    ran = salesforce("import", "acme", *ACME, "--key-file", "mail.txt")
    assert ran.status == 0, ran.err
    for note in (
        "mail.txt: Line breaks and letters written with a backslash",
        "mail.txt: The certificate in the same file",
    ):
        assert note in ran.out
    assert SigningKey.objects.get().certificate == certificate


def test_a_pkcs12_file_brings_its_certificate(folder: Path) -> None:
    key, certificate = key_and_certificate()
    packed = pkcs12.serialize_key_and_certificates(
        b"acme",
        serialization.load_pem_private_key(key.encode(), None),
        x509.load_pem_x509_certificate(certificate.encode()),
        None,
        serialization.BestAvailableEncryption(b"opensesame"),
    )
    (folder / "acme.p12").write_bytes(packed)
    (folder / "secret").write_text("opensesame\n")
    refused = salesforce("import", "acme", *ACME, "--key-file", "acme.p12")
    assert "--passphrase-file" in refused.err
    ran = salesforce("import", "acme", *ACME, "--key-file", "acme.p12", "--passphrase-file", "secret")
    assert ran.status == 0, ran.err
    assert SigningKey.objects.get().certificate == certificate


def test_make_key_overwrites_no_file_and_then_makes_none(folder: Path) -> None:
    before = tables()
    ran = salesforce("make-key", "server")
    assert ran.status == 1
    assert "server.crt" in ran.err
    assert (folder / "server.crt").read_text() == key_and_certificate()[1]
    assert tables() == before


# ---- Bad input ---------------------------------------------------------------------------------------------------


def write_env_file(
    path: Path, *, key: str = "server.key", consumer_key: str = "3MVG9.acme", username: str = "u@acme.example"
) -> None:
    path.write_text(
        f"KeyFile = '{key}'\n\nClientId = '{consumer_key}'\n\nUserName = '{username}'\n\n"
        "Domain = 'https://acme.my.salesforce.com/' //for a Sandbox\n"
    )


def bad_files(folder: Path) -> None:
    """Every mistake by name, beside the good pair."""
    key = serialization.load_pem_private_key(key_and_certificate()[0].encode(), None)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "public.pem").write_bytes(public)
    (folder / "text.key").write_text("hello\n")
    (folder / "empty.key").write_text("")
    (folder / "cut.key").write_text(key_and_certificate()[0][:300])
    (folder / "encrypted.key").write_bytes(encrypted_key())
    (folder / "wrong").write_text("wrong\n")
    (folder / "short.key").write_bytes(pem(_short_key()))
    (folder / "ec.key").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    (folder / "other.crt").write_text(key_and_certificate("other")[1])
    write_env_file(folder / "empty.env", consumer_key="", username="")
    write_env_file(folder / "lost.env", key="certs/lost.key")
    (folder / "foreign.env").write_text("SECRET_KEY=x\n")


@cache
def _short_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def new(*options: str) -> tuple[str, ...]:
    return ("import", "new", *ACME, *options)


def changed(*options: str) -> tuple[str, ...]:
    return ("import", "acme", *options)


REFUSED = {
    "key file missing": (new("--key-file", "certs/none.key"), "There is no key file certs/none.key"),
    "key file a folder": (new("--key-file", "."), "can't be read"),
    "not a key": (new("--key-file", "text.key"), "This is not a private key"),
    "empty key": (new("--key-file", "empty.key"), "This is not a private key"),
    "key cut off": (new("--key-file", "cut.key"), "damaged or cut off"),
    "public key": (new("--key-file", "public.pem"), "This is a public key"),
    "certificate for key": (new("--key-file", "server.crt"), "This is a certificate"),
    "no passphrase": (new("--key-file", "encrypted.key"), "--passphrase-file"),
    "wrong passphrase": (
        new("--key-file", "encrypted.key", "--passphrase-file", "wrong"),
        "passphrase does not open",
    ),
    "short RSA": (new("--key-file", "short.key"), "1024 bits; at least 2048"),
    "EC key": (new("--key-file", "ec.key"), "elliptic"),
    "certificate of another key": (
        new("--key-file", "server.key", "--certificate-file", "other.crt"),
        "another key",
    ),
    "key for certificate": (
        new("--key-file", "server.key", "--certificate-file", "server.key"),
        "not a certificate",
    ),
    "certificate for ever": (("make-key", "new", "--days", "99999"), "1 to 3650 days"),
    "unknown signing key": (new("--signing-key", "nobody"), "make-key nobody"),
    "all that is missing": (("import", "new"), "--login-url, --consumer-key, --username and --key-file"),
    "bad name": (("import", "A B", *ACME, "--key-file", "server.key"), "lower-case"),
    "env file missing": (("import", "new", "--env-file", "none.env"), "There is no env file none.env"),
    "env file of another kind": (("import", "new", "--env-file", "foreign.env"), "ClientId"),
    "env file not filled in": (
        ("import", "new", "--env-file", "empty.env"),
        "ClientId and UserName are empty in empty.env: fill them in",
    ),
    "key of env file lost": (("import", "new", "--env-file", "lost.env"), "certs/lost.key"),
    "http off loopback": (changed("--login-url", "http://acme.my.salesforce.com"), "unprotected"),
    "loopback not listed": (changed("--login-url", "http://127.0.0.1:9"), "SF_ALLOWED_HOSTS"),
    "foreign host": (
        changed("--login-url", "https://acme.example"),
        "neither a host of Salesforce nor listed",
    ),
    "old instance host": (changed("--login-url", "https://na1.salesforce.com"), "My Domain"),
    "no URL": (changed("--login-url", "ftp://acme"), "https://"),
    "empty consumer key": (changed("--consumer-key", ""), "The consumer key is empty"),
    "empty username": (changed("--username", " "), "The username is empty"),
    "unknown connection": (("check", "amce"), "Did you mean “acme”?"),
    "unknown connection, query": (("query", "amce", "SELECT Id FROM Account"), "Did you mean “acme”?"),
    "unknown connection, token": (("token", "amce", "--yes"), "Did you mean “acme”?"),
    "unknown connection, refresh": (("refresh", "amce"), "Did you mean “acme”?"),
    "unknown connection, revoke": (("revoke", "amce"), "Did you mean “acme”?"),
    "id too short": (("record", "acme", "Account", "001Dn00000Gi7"), "13 characters"),
    "id with wrong checksum": (("record", "acme", "Account", "001Dn00000Gi7HJIAX"), "should be IAZ"),
    "sObject no name": (("record", "acme", "Acc ount", BRANDT), "the sObject's API name"),
    "field no name": (("record", "acme", "Account", BRANDT, "--fields", "Na-me"), "the field's API name"),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_one_sentence_and_changes_nothing(
    arguments: tuple[str, ...], words: str, folder: Path, salesforce_org: ConnectableOrg
) -> None:
    salesforce_org.connect("acme")
    # So that a bad argument is refused for itself, not for want of a token.
    get_token("acme")
    bad_files(folder)
    before, asked = tables(), len(salesforce_org.requests)
    ran = salesforce(*arguments)
    assert ran.status == 1
    assert words in ran.err
    assert ran.out == ""
    assert len(ran.err.strip().splitlines()) == 1
    assert tables() == before
    assert len(salesforce_org.requests) == asked


def settings_of_connections() -> list[object]:
    return list(
        ConnectedApp.objects.values("login_url", "consumer_key", "username", "signing_key", "enabled")
    )


@pytest.mark.parametrize(
    ("soql", "said"),
    [
        ("SELECT FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("DELETE FROM Account", "MALFORMED_QUERY"),
        ("", "There is no SOQL: give a statement such as SELECT Id"),
    ],
)
def test_malformed_soql(soql: str, said: str, salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    before = settings_of_connections()
    ran = salesforce("query", "acme", soql)
    assert (ran.status, ran.out) == (1, "")
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert settings_of_connections() == before


def test_unknown_record_is_not_found(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    ran = salesforce("record", "acme", "Account", "001Dn00000Zzzzz")
    assert (ran.status, ran.out) == (1, "")
    assert "404" in ran.err


@contextmanager
def web_server(body: bytes, content_type: str) -> Iterator[str]:
    """Something that is not Salesforce, and answers everything with the same page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    """A port that nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (nobody, "connection refused"),
        (lambda: web_server(b"<html><title>It works!</title></html>", "text/html"), "login URL"),
        (lambda: web_server(b"\x00\xff{{{", "application/json"), "login URL"),
    ],
    ids=["nobody there", "HTML", "garbage"],
)
def test_host_that_is_not_salesforce(
    host: object, words: str, salesforce_org: ConnectableOrg, settings: object
) -> None:
    connection = salesforce_org.connect("acme")
    configured = settings.SF_INTEGRATION  # type: ignore[attr-defined]
    with (
        host() as address,  # type: ignore[operator]
        override_settings(SF_INTEGRATION={**configured, "ALLOWED_HOSTS": [address]}),
    ):
        ConnectedApp.objects.filter(pk=connection.pk).update(login_url=f"http://{address}")
        before = settings_of_connections()
        for arguments in (("query", "acme", "SELECT Id FROM Account"), ("token", "acme", "--yes")):
            ran = salesforce(*arguments)
            assert (ran.status, ran.out) == (1, "")
            assert words in ran.err
            assert len(ran.err.strip().splitlines()) == 1
        checked = salesforce("check", "acme")
        assert checked.status == 1
        assert words in checked.out
        assert settings_of_connections() == before


# ---- The command itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_help_of_every_verb_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert salesforce(verb, "--help").status == 0
    assert f"manage.py salesforce {verb}" in capsys.readouterr().out.split("Examples:")[1]


def test_help_groups_all_verbs_and_explains_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert salesforce("--help").status == 0
    told = capsys.readouterr().out
    for verb in VERBS:
        assert len(re.findall(rf"^  {verb.name} +{re.escape(verb.help)}$", told, re.MULTILINE)) == 1
    assert "exit status:\n  0 " in told
    assert salesforce().status == 2
    assert "exit status:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("chek", "Did you mean “check”?"),
        ("rotate", "“rotate-key”"),
        ("hello-world", "salesforce --help lists them"),
    ],
)
def test_misspelt_verb_gets_a_suggestion(typed: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert salesforce(typed, "acme").status == 2
    told = capsys.readouterr().err
    assert hint in told
    assert len(told.splitlines()) == 1


def test_django_options_may_stand_behind_the_verb() -> None:
    assert salesforce("list", "--no-color", "--verbosity", "0", "--traceback").status == 0


def test_other_code_may_call_it(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    out = io.StringIO()
    call_command("salesforce", "check", "acme", "--json", stdout=out)
    assert json.loads(out.getvalue())["healthy"] is True


def test_reader_that_has_seen_enough_is_no_error(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    salesforce_org.connect("acme")
    environment = process_environment | {"SF_ALLOWED_HOSTS": salesforce_org.url.split("//")[1]}
    with subprocess.Popen(
        [*MANAGE, "salesforce", "query", "acme", "SELECT FIELDS(ALL) FROM Contact LIMIT 200", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read().strip() in (b"", b"200 rows")


def test_database_without_tables_is_one_sentence(process_environment: dict[str, str], tmp_path: Path) -> None:
    environment = process_environment | {"DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}"}
    ran = subprocess.run(
        [*MANAGE, "salesforce", "list"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "manage.py migrate" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_nothing_but_the_answer_is_printed(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    salesforce_org.connect("acme")
    ran = subprocess.run(
        [*MANAGE, "salesforce", "token", "acme", "--yes"],
        env=process_environment | {"SF_ALLOWED_HOSTS": salesforce_org.url.split("//")[1]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert salesforce_org.find_session(ran.stdout.strip()) is not None


def test_make_key_never_makes_a_second_key_of_a_name(folder: Path) -> None:
    """It would be taken for the first one when it is imported, with the other's certificate."""
    assert salesforce("make-key", "twice", "--out", "one.crt").status == 0
    before = tables()
    for name, said in (("twice", "already"), ("", "1 to 64"), ("../up", "1 to 64")):
        ran = salesforce("make-key", name, "--out", "two.crt")
        assert ran.status == 1
        assert said in ran.err
    assert not (folder / "two.crt").exists()
    assert tables() == before

"""Many connections at once: as functions, and at the command line."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from sf_integration import PermissionMissing, access
from sf_integration.management.verbs import many
from sf_integration.models import AuditEvent, ConnectedApp, ConnectionCheck, SigningKey
from sf_integration.services import connection_file, profiles, transfer
from sf_integration.services.transfer import Report
from sf_integration.testing.django import ConnectableOrg

from .test_command_line import encrypted_key, folder, key_and_certificate, salesforce, tables
from .test_docs import command_lines, salesforce_parser

__all__ = ["folder"]
# A command closes its connection, as at the end of a process.
pytestmark = pytest.mark.django_db(transaction=True)

HEAD = "name,label,login_url,consumer_key,username,signing_key"


def stored_key(name: str = "shared") -> SigningKey:
    from sf_integration import keystore

    key, certificate = key_and_certificate()
    return keystore.take_in(key.encode(), name=name, certificate=certificate.encode())


def line(name: str, /, **cells: str) -> dict[str, str]:
    return {
        "name": name,
        "login_url": f"https://{name}.my.salesforce.com",
        "consumer_key": f"3MVG9.{name}",
        "username": f"integration@{name}.example",
        "signing_key": "shared",
    } | cells


def csv_of(*lines: dict[str, str], delimiter: str = ",") -> str:
    columns = list(dict.fromkeys(column for each in lines for column in each))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def bring_in(*lines: dict[str, str], actor: Any = access.SHELL, **options: Any) -> Report:
    return transfer.bring_in(connection_file.read(csv_of(*lines), name="orgs.csv"), actor=actor, **options)


def outcomes(report: Report) -> list[tuple[str, str]]:
    return [(result.name, result.outcome) for result in report.results]


def only_problem(report: Report) -> tuple[str, str]:
    ((field, reason),) = [item for result in report.results for item in result.problems.items()]
    return field, reason


# ---- all or nothing -------------------------------------------------------------------------------------------------


def forty_with_four_bad() -> list[dict[str, str]]:
    lines = [line(f"org-{number:02}") for number in range(1, 41)]
    lines[4]["login_url"] = "http://org-05.my.salesforce.com"
    lines[11]["username"] = ""
    lines[22]["session_minutes"] = "45"
    lines[37]["name"] = "org-01"
    return lines


REFUSED = [
    (6, "login_url", "unprotected"),
    (13, "username", "It is missing: a new connection needs it."),
    (24, "session_minutes", "“45” is no session length of Salesforce's"),
    (39, "name", "“org-01” stands in row 2 already"),
]


def test_four_bad_rows_of_forty_keep_all_from_being_saved(folder: Path) -> None:
    stored_key()
    (folder / "orgs.csv").write_text(csv_of(*forty_with_four_bad()))
    before = tables()
    ran = salesforce("import", "--file", "orgs.csv", "--json")
    assert ran.status == 1
    assert tables() == before
    told: Any = ran.json
    assert (told["saved"], told["created"], told["refused"]) == (False, 36, 4)
    refused = [
        (row["row"], problem["field"], problem["reason"])
        for row in told["rows"]
        for problem in row["problems"]
    ]
    assert len(refused) == 4
    for (row, field, reason), (wanted_row, wanted_field, words) in zip(refused, REFUSED, strict=True):
        assert (row, field) == (wanted_row, wanted_field)
        assert words in reason


def test_with_keep_going_the_other_36_are_saved(folder: Path) -> None:
    stored_key()
    (folder / "orgs.csv").write_text(csv_of(*forty_with_four_bad()))
    ran = salesforce("import", "--file", "orgs.csv", "--keep-going")
    assert ran.status == 1
    assert ConnectedApp.objects.count() == 36
    assert AuditEvent.objects.filter(act="created").count() == 36
    for row, field, _ in REFUSED:
        (shown,) = [text for text in ran.out.splitlines() if text.strip().startswith(f"{row} ")]
        assert "refused" in shown
        assert f"{field}: " in shown
    assert "36 created, 4 refused." in ran.out


def test_report_for_people_says_that_nothing_was_saved_and_what_to_do(folder: Path) -> None:
    stored_key()
    (folder / "orgs.csv").write_text(csv_of(*forty_with_four_bad()))
    ran = salesforce("import", "--file", "orgs.csv")
    assert "would be created" in ran.out
    assert "Nothing was saved: 36 would be created, 4 refused." in ran.out
    assert "--keep-going" in ran.out


def test_dry_run_tells_and_saves_nothing(folder: Path) -> None:
    stored_key()
    (folder / "orgs.csv").write_text(csv_of(line("acme"), line("globex")))
    before = tables()
    ran = salesforce("import", "--file", "orgs.csv", "--dry-run")
    assert ran.status == 0
    assert "this was a trial: 2 would be created." in ran.out
    assert tables() == before


# ---- outcomes -------------------------------------------------------------------------------------------------------


def test_rows_are_created_changed_or_the_same() -> None:
    stored_key()
    assert outcomes(bring_in(line("acme"), line("globex"))) == [("acme", "created"), ("globex", "created")]
    report = bring_in(line("acme"), line("globex", label="Globex", tags="a, b"))
    assert outcomes(report) == [("acme", "same"), ("globex", "changed")]
    assert report.results[1].changed == ("label", "tags")
    assert ConnectedApp.objects.get(name="globex").tags == ["a", "b"]


def test_empty_cell_leaves_what_is_there() -> None:
    stored_key()
    bring_in(line("acme", notes="mind the gap", session_minutes="60"))
    assert outcomes(bring_in({"name": "acme", "notes": "", "session_minutes": "", "label": ""})) == [
        ("acme", "same")
    ]
    assert ConnectedApp.objects.get(name="acme").notes == "mind the gap"


def test_every_column_is_understood() -> None:
    stored_key()
    bring_in(
        line(
            "acme",
            label="Acme & Söhne",
            audience="https://acme.my.salesforce.com/",
            app_kind="External Client App",
            session_minutes="60",
            api_version="66",
            sample_sobject="Contact",
            sample_fields="Name; Email",
            extra_usernames="ops@acme.example\nme@acme.example",
            expected_org_id="00Dxx0000001gER",
            tags="eu,prod",
            our_contacts="ops@us.example",
            org_contacts="admin@acme.example",
            enabled="nein",
            notes="two\nlines",
        )
    )
    stored = ConnectedApp.objects.get(name="acme")
    assert stored.label == "Acme & Söhne"
    assert stored.audience == "https://acme.my.salesforce.com"
    assert stored.app_kind == "external_client_app"
    assert (stored.session_minutes, stored.api_version, stored.enabled) == (60, "66.0", False)
    assert (stored.sample_sobject, stored.sample_fields) == ("Contact", ["Name", "Email"])
    assert stored.extra_usernames == ["ops@acme.example", "me@acme.example"]
    assert stored.expected_org_id == "00Dxx0000001gEREAY"
    assert stored.tags == ["eu", "prod"]
    assert (stored.our_contacts, stored.org_contacts) == ("ops@us.example", "admin@acme.example")
    assert stored.notes == "two\nlines"


@pytest.mark.parametrize(
    ("cells", "field", "words"),
    [
        ({"name": "Acme Prod"}, "name", "Use lower-case letters"),
        ({"login_url": "https://evil.example"}, "login_url", "SF_ALLOWED_HOSTS"),
        ({"login_url": "not a url"}, "login_url", "."),
        ({"audience": "acme"}, "audience", "whole URL"),
        ({"app_kind": "desktop"}, "app_kind", "is neither external_client_app nor connected_app"),
        (
            {"app_kind": "external_client_app", "login_url": "https://login.salesforce.com"},
            "login_url",
            "My Domain",
        ),
        ({"username": "u" * 300}, "username", "255"),
        ({"signing_key": "nobody's"}, "signing_key", "no signing key “nobody's”"),
        ({"key_file": "server.key"}, "key_file", "command line only"),
        ({"certificate_file": "server.crt"}, "certificate_file", "command line only"),
        ({"api_version": "new"}, "api_version", "Write it as 67.0"),
        ({"sample_fields": "Name)"}, "sample_fields", "field"),
        ({"expected_org_id": "001"}, "expected_org_id", "."),
        ({"enabled": "perhaps"}, "enabled", "neither yes nor no"),
        ({"colour": "red"}, "colour", "no such column"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_bad_value_is_told_by_row_field_and_reason(cells: dict[str, str], field: str, words: str) -> None:
    stored_key()
    report = bring_in(line("globex"), line("acme", **cells), keep_going=True)
    bad = next(result for result in report.results if result.row == 3)
    assert bad.outcome == "refused"
    assert list(bad.problems) == [field]
    assert words in bad.problems[field]
    assert list(ConnectedApp.objects.values_list("name", flat=True)) == ["globex"]


def test_all_that_is_wrong_with_a_row_is_told_at_once() -> None:
    stored_key()
    report = bring_in(line("acme", enabled="perhaps", session_minutes="45", signing_key="none"))
    assert list(report.results[0].problems) == ["signing_key", "session_minutes", "enabled"]


def test_row_that_somebody_else_makes_at_the_same_moment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stored_key()
    validate = profiles._validate

    def overtaken(wanted: ConnectedApp) -> None:
        validate(wanted)
        if wanted.name == "acme":
            monkeypatch.setattr(profiles, "_validate", validate)
            bring_in(line("acme"))

    monkeypatch.setattr(profiles, "_validate", overtaken)
    report = bring_in(line("acme"), line("globex"), keep_going=True)
    assert outcomes(report) == [("acme", "refused"), ("globex", "created")]
    assert "Somebody else" in report.results[0].problems["name"]


# ---- keys from files ------------------------------------------------------------------------------------------------


def key_lines() -> list[dict[str, str]]:
    files = {"signing_key": "", "key_file": "server.key", "certificate_file": "server.crt"}
    return [line("acme", **files), line("globex", **files)]


def test_key_and_certificate_are_read_beside_the_file(folder: Path) -> None:
    there = folder / "there"
    there.mkdir()
    for name in ("server.key", "server.crt"):
        (folder / name).rename(there / name)
    (there / "orgs.csv").write_text(csv_of(*key_lines()))
    ran = salesforce("import", "--file", "there/orgs.csv")
    assert ran.status == 0, ran.err
    (key,) = SigningKey.objects.all()
    assert (key.name, key.connections.count()) == ("acme", 2)
    assert key.certificate
    # And once more: a key that is known is no change.
    assert "2 same." in salesforce("import", "--file", "there/orgs.csv").out


def test_key_of_a_refused_row_serves_the_next(folder: Path) -> None:
    first, second = key_lines()
    (folder / "orgs.csv").write_text(csv_of({**first, "audience": "acme"}, second))
    salesforce("import", "--file", "orgs.csv", "--keep-going")
    assert SigningKey.objects.get().name == "globex"


def test_files_that_can_not_be_read_are_told_by_row(folder: Path) -> None:
    (folder / "other.crt").write_text(key_and_certificate("other")[1])
    (folder / "locked.key").write_bytes(encrypted_key())
    lines = [
        line("a", signing_key="", key_file="missing.key"),
        line("b", signing_key="", key_file="server.crt"),
        line("c", signing_key="", key_file="server.key", certificate_file="other.crt"),
        line("d", signing_key="", key_file="locked.key"),
        line("e", signing_key="x", key_file="server.key"),
    ]
    (folder / "orgs.csv").write_text(csv_of(*lines))
    told: Any = salesforce("import", "--file", "orgs.csv", "--json").json
    found = [(p["field"], p["reason"]) for row in told["rows"] for p in row["problems"]]
    assert [field for field, _ in found] == [
        "key_file",
        "key_file",
        "certificate_file",
        "key_file",
        "key_file",
    ]
    for (_, reason), words in zip(
        found,
        ["There is no key file", "a certificate", "belongs to another key", "passphrase", "not both"],
        strict=True,
    ):
        assert words in reason
    assert not SigningKey.objects.exists()


def test_passphrase_opens_the_keys_of_the_file(folder: Path) -> None:
    (folder / "locked.key").write_bytes(encrypted_key())
    (folder / "word").write_text("opensesame\n")
    (folder / "orgs.csv").write_text(csv_of(line("acme", signing_key="", key_file="locked.key")))
    assert salesforce("import", "--file", "orgs.csv", "--passphrase-file", "word").status == 0


def test_certificate_alone_goes_to_the_present_key(folder: Path) -> None:
    stored_key()
    bring_in(line("acme"))
    (folder / "other.crt").write_text(key_and_certificate("other")[1])
    (folder / "orgs.csv").write_text(csv_of({"name": "acme", "certificate_file": "other.crt"}))
    told: Any = salesforce("import", "--file", "orgs.csv", "--json").json
    (problem,) = told["rows"][0]["problems"]
    assert problem["field"] == "certificate_file"
    assert "belongs to another key" in problem["reason"]


# ---- export ---------------------------------------------------------------------------------------------------------


def two_odd_ones() -> None:
    stored_key()
    bring_in(
        line("acme", label="=HYPERLINK(1)", tags='["a, b", "c"]', notes="-1;\r\n\ttwo", enabled="no"),
        line("globex", session_minutes="60", our_contacts="a@b.example\nc@d.example"),
    )
    ConnectedApp.objects.filter(name="globex").update(
        expected_org_id="00Dxx0000001gEREAY", api_version="67.0"
    )


@pytest.mark.parametrize("name", ["orgs.csv", "orgs.json"])
def test_export_comes_in_again_as_the_same(folder: Path, name: str) -> None:
    two_odd_ones()
    assert salesforce("export", "--out", name).status == 0
    before = list(ConnectedApp.objects.values())
    told: Any = salesforce("import", "--file", name, "--json").json
    assert [row["outcome"] for row in told["rows"]] == ["same", "same"], told
    assert list(ConnectedApp.objects.values()) == before


@pytest.mark.parametrize("name", ["orgs.csv", "orgs.json"])
def test_export_makes_the_same_connections_elsewhere(folder: Path, name: str) -> None:
    two_odd_ones()
    columns = [column for column in connection_file.COLUMNS if column in transfer.profiles.FIELDS]
    before = list(ConnectedApp.objects.order_by("name").values(*columns))
    salesforce("export", "--out", name)
    ConnectedApp.objects.all().delete()
    assert salesforce("import", "--file", name).status == 0
    assert list(ConnectedApp.objects.order_by("name").values(*columns)) == before


def test_export_to_standard_output_is_csv_or_json() -> None:
    two_odd_ones()
    lines = list(csv.DictReader(io.StringIO(salesforce("export").out, newline="")))
    assert [row["name"] for row in lines] == ["acme", "globex"]
    assert lines[0]["label"] == "'=HYPERLINK(1)"
    for option in (("--format", "json"), ("--json",)):
        told: Any = salesforce("export", *option).json
        assert told["connections"][0]["label"] == "=HYPERLINK(1)"


def test_export_holds_no_secret_and_is_audited() -> None:
    two_odd_ones()
    private = key_and_certificate()[0].splitlines()[1]
    for option in ("csv", "json"):
        out = salesforce("export", "--format", option).out
        assert private not in out
        assert "key_file" not in out
        assert "BEGIN" not in out
    assert AuditEvent.objects.filter(act="exported connections").count() == 2


# ---- who may --------------------------------------------------------------------------------------------------------


def user(name: str, *codenames: str) -> User:
    made = User.objects.create_user(name)
    made.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return made


def test_without_the_permission_nothing_comes_in_or_goes_out() -> None:
    viewer = user("vera", "view_health", "run_checks")
    with pytest.raises(PermissionMissing):
        bring_in(line("acme"), actor=viewer)
    with pytest.raises(PermissionMissing):
        transfer.everything(viewer)


def test_hidden_connection_and_its_key_are_out_of_reach() -> None:
    stored_key()
    bring_in(line("hidden"))
    ConnectedApp.objects.get().groups.set([Group.objects.create(name="others")])
    manager = user("mia", "view_health", "manage_keys")
    report = bring_in({"name": "hidden", "label": "mine"}, actor=manager)
    assert only_problem(report) == (
        "name",
        "You may not manage the connection “hidden”. Ask an administrator of this site for the permission.",
    )
    # Its key and no key at all read the same.
    told = [
        only_problem(bring_in(line("mine", signing_key=name), actor=manager))
        for name in ("shared", "missing")
    ]
    assert told[0][1].replace("shared", "missing") == told[1][1]
    assert transfer.everything(manager) == []
    assert ConnectedApp.objects.get().label == ""


# ---- checks afterwards ----------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "SECONDS_BETWEEN_CHECKS", 0.0)


def org_line(org: ConnectableOrg, name: str, **cells: str) -> dict[str, str]:
    return {
        "name": name,
        "login_url": org.url,
        "consumer_key": org.app.consumer_key,
        "username": org.user.username,
        "key_file": "org.key",
    } | cells


@pytest.mark.usefixtures("quick")
def test_check_signs_in_with_each_and_tells_each_result(folder: Path, salesforce_org: ConnectableOrg) -> None:
    (folder / "org.key").write_text(salesforce_org.app.private_key_pem or "")
    lines = [
        org_line(salesforce_org, "acme"),
        org_line(salesforce_org, "sick", consumer_key="3MVG9nonsense"),
        org_line(salesforce_org, "resting", enabled="no"),
    ]
    (folder / "orgs.csv").write_text(csv_of(*lines))
    ran = salesforce("import", "--file", "orgs.csv", "--check", "--json")
    told: Any = ran.json
    assert ran.status == 1
    assert {row["name"]: row.get("check", {}).get("healthy") for row in told["rows"]} == {
        "acme": True,
        "sick": False,
        "resting": None,
    }
    assert "1 of 2 checked connections work." in ran.err
    assert ConnectionCheck.objects.count() == 2


def test_checks_keep_their_distance(
    folder: Path, salesforce_org: ConnectableOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []
    monkeypatch.setattr(many, "SECONDS_BETWEEN_CHECKS", 30.0)
    monkeypatch.setattr(many.time, "sleep", naps.append)
    (folder / "org.key").write_text(salesforce_org.app.private_key_pem or "")
    (folder / "orgs.csv").write_text(
        csv_of(*(org_line(salesforce_org, name) for name in ("acme", "globex", "initech")))
    )
    assert salesforce("import", "--file", "orgs.csv", "--check").status == 0
    assert naps[0] == 0
    assert all(15 < nap <= 30 for nap in naps[1:])
    assert len(naps) == 3


@pytest.mark.usefixtures("quick")
def test_nothing_is_checked_when_nothing_was_saved(folder: Path, salesforce_org: ConnectableOrg) -> None:
    (folder / "org.key").write_text(salesforce_org.app.private_key_pem or "")
    lines = [org_line(salesforce_org, "acme"), org_line(salesforce_org, "Bad Name")]
    (folder / "orgs.csv").write_text(csv_of(*lines))
    assert salesforce("import", "--file", "orgs.csv", "--check").status == 1
    assert salesforce_org.logins == 0


# ---- the command's own refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import"], "Name the connection"),
        (["import", "acme", "--dry-run"], "go with --file"),
        (["import", "acme", "--file", "orgs.csv"], "NAME can't go with --file"),
        (["import", "--file", "orgs.csv", "--username", "x"], "--username can't go with --file"),
        (["import", "--file", "orgs.csv", "--dry-run", "--check"], "nothing to --check"),
        (["import", "--file", "none.csv"], "There is no import file none.csv"),
        (["import", "--file", "server.key"], "must name the columns"),
        (["export", "--out", "no/where.csv"], "can't be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_can_not_be_done_is_one_sentence(folder: Path, arguments: list[str], words: str) -> None:
    (folder / "orgs.csv").write_text(csv_of(line("acme")))
    ran = salesforce(*arguments)
    assert ran.status != 0
    assert words in ran.err
    assert "PRIVATE" not in ran.err + ran.out


# ---- how much it costs ----------------------------------------------------------------------------------------------


def test_cost_of_a_row_does_not_depend_on_their_number() -> None:
    stored_key()

    def queries(number: int, prefix: str) -> int:
        with CaptureQueriesContext(database) as seen:
            bring_in(*(line(f"{prefix}{each}") for each in range(number)))
        return len(seen)

    few, many_of_them = queries(2, "a"), queries(22, "b")
    assert (many_of_them - few) / 20 <= 9


def test_json_of_the_report_is_the_same_for_json_files(folder: Path) -> None:
    stored_key()
    (folder / "orgs.json").write_text(
        json.dumps({"connections": [line("acme"), line("globex", enabled="perhaps")]})
    )
    told: Any = salesforce("import", "--file", "orgs.json", "--keep-going", "--json").json
    assert told == {
        "saved": True,
        "created": 1,
        "changed": 0,
        "same": 0,
        "refused": 1,
        "dry_run": False,
        "rows": [
            {
                "row": 1,
                "name": "acme",
                "outcome": "created",
                "changed": ["certificate", "consumer_key", "login_url", "signing_key", "username"],
                "problems": [],
            },
            {
                "row": 2,
                "name": "globex",
                "outcome": "refused",
                "changed": [],
                "problems": [{"field": "enabled", "reason": "“perhaps” is neither yes nor no."}],
            },
        ],
    }


# ---- the document ---------------------------------------------------------------------------------------------------

MANY = (Path(__file__).parents[1] / "docs" / "many.md").read_text()


def block(kind: str) -> str:
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", MANY, re.MULTILINE | re.DOTALL)
    return str(found)


def test_files_of_the_document_come_in_as_it_says(folder: Path) -> None:
    stored_key()
    (folder / "orgs.csv").write_text(block("csv"))
    (folder / "orgs.json").write_text(block("json"))
    assert "3 created." in salesforce("import", "--file", "orgs.csv").out
    acme = ConnectedApp.objects.get(name="acme-prod")
    assert (acme.tags, acme.session_minutes, acme.app_kind) == (["prod", "eu"], 120, "external_client_app")
    told: Any = salesforce("import", "--file", "orgs.json", "--json").json
    assert [row["changed"] for row in told["rows"]] == [["session_minutes"], ["enabled"]]


def test_document_tells_every_column_and_understood_commands() -> None:
    assert re.findall(r"^\| `(\w+)` \|", MANY, re.MULTILINE) == list(connection_file.COLUMNS)
    lines = [line for line in command_lines(MANY) if "manage.py salesforce " in line]
    assert len(lines) > 4
    for typed in lines:
        arguments = shlex.split(typed.partition("manage.py salesforce ")[2])
        assert salesforce_parser().parse_args(arguments).verb == arguments[0]

"""`query` in its three formats: streamed, complete, or said not to be."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sf_integration.models import AuditEvent
from sf_integration.testing.django import ConnectableOrg

from .test_command_line import BRANDT, MANAGE, salesforce

pytestmark = pytest.mark.django_db(transaction=True)

DATA = "/services/data/v67.0"
LOST_PAGE = f"{DATA}/query/01gDn0000000001AAA-2000"


@pytest.fixture
def org(salesforce_org: ConnectableOrg) -> ConnectableOrg:
    salesforce_org.connect("acme")
    return salesforce_org


def broken_off(org: ConnectableOrg) -> None:
    """Two rows on the first page; the next one is known to nobody."""
    rows = [{"attributes": {"type": "Contact"}, "Id": f"003Dn00000AAAA{letter}IAY"} for letter in "AB"]
    org.answer_path(
        f"{DATA}/query", {"totalSize": 5, "done": False, "nextRecordsUrl": LOST_PAGE, "records": rows}
    )


def test_csv_is_rfc_4180_with_related_and_child_rows(org: ConnectableOrg) -> None:
    soql = f"SELECT Name, Owner.Name, (SELECT LastName FROM Contacts) FROM Account WHERE Id = '{BRANDT}'"
    ran = salesforce("query", "acme", soql, "--csv")
    assert (ran.status, ran.err) == (0, "1 row\n")
    assert ran.out.endswith("\r\n")
    head, row = csv.reader(io.StringIO(ran.out, newline=""))
    assert head == ["Name", "Owner.Name", "Contacts"]
    assert row[0] == "Kaffeerösterei Brandt & Söhne"
    assert set(json.loads(row[2])[0]) == {"LastName"}


def test_csv_leaves_values_as_the_org_has_them(org: ConnectableOrg) -> None:
    """Unlike the file of the pages, which people open in a spreadsheet."""
    body = {"totalSize": 1, "done": True, "records": [{"Name": '=1+1, "x"\nnext line', "Active__c": True}]}
    org.answer_path(f"{DATA}/query", body)
    ran = salesforce("query", "acme", "SELECT Name, Active__c FROM Account", "--csv")
    assert ran.out == 'Name,Active__c\r\n"=1+1, ""x""\nnext line",true\r\n'


def test_all_formats_have_all_pages(org: ConnectableOrg) -> None:
    """The stand-in has 2,500 contacts, 2,000 on a page."""
    told = {
        kind: salesforce("query", "acme", "SELECT Id FROM Contact ORDER BY Id", *kind)
        for kind in ((), ("--csv",), ("--json",))
    }
    ids = [row["Id"] for row in json.loads(told["--json",].out)]
    assert len(ids) == len(set(ids)) == 2_500
    assert told["--csv",].out.splitlines() == ["Id", *ids]
    assert [line for line in told[()].out.splitlines() if line.startswith("003")] == ids
    assert told[()].out.endswith("2500 rows\n")
    assert told["--json",].err == told["--csv",].err == "2500 rows\n"


def test_count_is_a_row_for_programs_and_a_number_for_people(org: ConnectableOrg) -> None:
    soql = "select count( ) FROM Contact"
    assert salesforce("query", "acme", soql, "--json").json == [{"expr0": 2_500}]
    assert salesforce("query", "acme", soql, "--csv").out == "expr0\r\n2500\r\n"
    assert salesforce("query", "acme", soql).out == "2500 rows\n"


def test_no_rows_are_an_empty_array(org: ConnectableOrg) -> None:
    soql = "SELECT Id FROM Contact WHERE LastName = 'nobody'"
    assert salesforce("query", "acme", soql, "--json").out == "[]\n"
    assert salesforce("query", "acme", soql, "--csv").out == "Id\r\n"


@pytest.mark.parametrize(("option", "rows"), [("--json", 2), ("--csv", 3), ("--no-color", 4)])
def test_lost_cursor_is_told_and_exits_1(org: ConnectableOrg, option: str, rows: int) -> None:
    broken_off(org)
    ran = salesforce("query", "acme", "SELECT Id FROM Contact", option)
    assert ran.status == 1
    assert "broke off after 2 of 5 rows, so what is printed is not all" in ran.err
    assert "INVALID_QUERY_LOCATOR" in ran.err
    assert len(ran.err.splitlines()) == 1
    printed = json.loads(ran.out) if option == "--json" else ran.out.strip().splitlines()
    assert len(printed) == rows
    # Who asked is in the trail also when it broke off.
    assert AuditEvent.objects.get(act="looked up").fields == ["Contact"]


def test_fewer_rows_than_told_are_not_taken_for_all(org: ConnectableOrg) -> None:
    org.answer_path(f"{DATA}/query", {"totalSize": 9, "done": True, "records": [{"Id": "1"}]})
    ran = salesforce("query", "acme", "SELECT Id FROM Contact", "--json")
    assert (ran.status, ran.json) == (1, [{"Id": "1"}])
    assert "gave 1 of the 9 rows" in ran.err


def test_columns_that_come_late_are_named(org: ConnectableOrg) -> None:
    page = {"totalSize": 2, "done": False, "nextRecordsUrl": LOST_PAGE, "records": [{"A": 1}]}
    org.answer_path(f"{DATA}/query", page)
    org.answer_path(LOST_PAGE, {"totalSize": 2, "done": True, "records": [{"B": 2}]})
    ran = salesforce("query", "acme", "SELECT FIELDS(ALL) FROM Thing__c LIMIT 200", "--csv")
    assert "left out: b." in ran.err


def test_rows_are_printed_before_the_last_page_is_asked_for(org: ConnectableOrg) -> None:
    page = {"totalSize": 2, "done": False, "nextRecordsUrl": LOST_PAGE, "records": [{"Id": "1"}] * 500}
    printed: list[str] = []
    org.answer_path(f"{DATA}/query", page | {"totalSize": 501})
    out = io.StringIO()

    def last(_request: object) -> object:
        printed.append(out.getvalue())
        return {"totalSize": 501, "done": True, "records": [{"Id": "2"}]}

    org.answer_path(LOST_PAGE, last)
    assert salesforce("query", "acme", "SELECT Id FROM Contact", "--csv", out=out).status == 0
    assert printed[0].splitlines()[:2] == ["Id", "1"]


def test_other_users_of_the_connection_may_be_asked_for(org: ConnectableOrg) -> None:
    org.add_user("ops@acme.example")
    org.connect("shared", extra_usernames=["ops@acme.example"])
    for arguments in (
        ("query", "shared", "SELECT Id FROM Account LIMIT 1"),
        ("record", "shared", "Account", BRANDT),
    ):
        assert salesforce(*arguments, "--username", "ops@acme.example").status == 0
        assert AuditEvent.objects.filter(act="looked up").latest("at").username == "ops@acme.example"
        refused = salesforce(*arguments, "--username", "boss@acme.example")
        assert (refused.status, refused.out) == (1, "")
        assert "allowed extra usernames" in refused.err


def test_two_formats_at_once_are_refused(org: ConnectableOrg) -> None:
    ran = salesforce("query", "acme", "SELECT Id FROM Account", "--csv", "--json")
    assert (ran.status, ran.out) == (1, "")
    assert "choose one" in ran.err
    assert not org.requests


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever runs tests in the background has them, and what they start, ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_mid_stream_stops_with_130_and_the_bar_stays_off_the_data(
    org: ConnectableOrg, process_environment: dict[str, str], interruptible: None
) -> None:
    org.fail("slow", where=f"{DATA}/query/", seconds=30)
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        [*MANAGE, "salesforce", "query", "acme", "SELECT Id FROM Contact", "--csv"],
        env=process_environment | {"SF_ALLOWED_HOSTS": org.url.split("//")[1], "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=its_end,
    ) as process:
        os.close(its_end)
        assert process.stdout
        first = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        told = read_all(terminal)
        status = process.wait(timeout=10)
    assert status == 130
    assert first[0] == b"Id\r\n"
    assert b"\x1b" not in first[1] + rest
    assert "Rows" in told
    assert "Stopped." in told
    assert "Traceback" not in told


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
def test_full_disk_is_one_sentence(org: ConnectableOrg, process_environment: dict[str, str]) -> None:
    process_environment.pop("PYTHONUNBUFFERED", None)  # so that it is noticed last
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*MANAGE, "salesforce", "query", "acme", "SELECT Id FROM Account LIMIT 1", "--csv"],
            env=process_environment | {"SF_ALLOWED_HOSTS": org.url.split("//")[1]},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "1 row",
        "CommandError: The output can't be written: No space left on device.",
    ]


def read_all(terminal: int) -> str:
    """What was written to it, until its other end was closed."""
    found = b""
    try:
        while part := os.read(terminal, 65_536):
            found += part
    except OSError:  # as Linux tells that end
        pass
    os.close(terminal)
    return found.decode(errors="replace")

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sf_integration.salesforce import soql
from sf_integration.salesforce.errors import ApiError, InvalidInput
from sf_integration.salesforce.rest import Client

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(
    "'\"\\%_{}\n\r\t\b\f nrtbfu0OR=", max_size=30
)


class Colour(enum.IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "NULL"),
        (True, "TRUE"),
        (False, "FALSE"),
        ("", "''"),
        ("O'Neill", r"'O\'Neill'"),
        ("back\\slash", r"'back\\slash'"),
        ('"quoted"', r"'\"quoted\"'"),
        ("a\nb\rc\td\be\ff", r"'a\nb\rc\td\be\ff'"),
        ("100 %_", "'100 %_'"),
        (7, "7"),
        (-7, "-7"),
        (Colour.RED, "3"),
        (1.5, "1.5"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (Decimal("1.10"), "1.10"),
        (dt.date(2026, 3, 9), "2026-03-09"),
        (dt.datetime(2026, 3, 9, 12, 30, 1, 999_999, tzinfo=dt.UTC), "2026-03-09T12:30:01.999Z"),
        (dt.datetime(2026, 7, 1, 12, 0, tzinfo=ZoneInfo("Europe/Berlin")), "2026-07-01T10:00:00.000Z"),
        (dt.datetime(999, 1, 1, tzinfo=dt.UTC), "0999-01-01T00:00:00.000Z"),
        (["a", "b'"], r"('a', 'b\'')"),
        ((1, None), "(1, NULL)"),
        ({"a"}, "('a')"),
    ],
)
def test_values_as_literals(value, literal):
    assert soql.quote(value) == literal


@pytest.mark.parametrize(
    "value",
    [
        object,
        b"bytes",
        {"a": 1},
        [],
        (),
        set(),
        float("nan"),
        float("inf"),
        -float("inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        dt.datetime(2026, 1, 1),  # noqa: DTZ001
        dt.time(1),
        dt.timedelta(1),
    ],
    ids=str,
)
def test_values_that_can_not_be_meant_are_refused(value):
    with pytest.raises(InvalidInput):
        soql.quote(value)


def test_places_are_filled_in_order():
    text = soql.format_soql(
        "SELECT Id FROM A WHERE X = {} AND Y IN {} AND Z LIKE '%{:like}%'", 1, ["a", "b"], "50%_\\'"
    )
    assert text == r"SELECT Id FROM A WHERE X = 1 AND Y IN ('a', 'b') AND Z LIKE '%50\%\_\\\'%'"


def test_without_values_the_text_stays_as_it_is():
    assert soql.format_soql("SELECT {} '{{'") == "SELECT {} '{{'"


@pytest.mark.parametrize("nothing", ["", " \n", None])
def test_no_statement_is_refused_before_any_call(nothing):
    with pytest.raises(InvalidInput, match="no SOQL"):
        soql.format_soql(nothing)


def test_doubled_braces_are_braces():
    assert soql.format_soql("X = '{{}}' AND Y = {}", 1) == "X = '{}' AND Y = 1"


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("X = {}", (1, 2)),
        ("X = {} AND Y = {}", (1,)),
        ("X = 1", (1,)),
        ("X = {0}", (1,)),
        ("X = {name}", (1,)),
        ("X = { }", (1,)),
        ("X = }", (1,)),
        ("X = {", (1,)),
    ],
)
def test_places_and_values_must_agree(template, values):
    with pytest.raises(InvalidInput):
        soql.format_soql(template, *values)


@pytest.mark.parametrize(
    ("template", "attack"),
    [
        ("Name = '{}'", " OR Name != "),
        ("Name = 'a' AND X = '{}'", "x"),
        (r"Name = 'it\'s {}'", "x"),
        ("Name LIKE {:like}", "Name OR Name != null"),
        ("Name LIKE '%' AND Y LIKE {:like}", "x"),
    ],
)
def test_a_place_on_the_wrong_side_of_a_quote_is_refused(template, attack):
    """Each of these would let the value out of its literal."""
    with pytest.raises(InvalidInput, match="quotes"):
        soql.format_soql(template, attack)


@given(TEXT)
def test_braces_in_values_are_not_places(text):
    assert soql.format_soql("{} {}", text, 1) == soql.quote(text) + " 1"


@pytest.fixture(scope="module")
def client():
    """One org for the many examples below."""
    from sf_integration.salesforce import signin
    from sf_integration.salesforce.http import Http
    from sf_integration.testing import StandIn

    from .conftest import app_certificate, sign_in_request

    with StandIn(certificate_pem=app_certificate()) as server:
        server.org.api_limit = 10**6
        pools = Http()
        token = signin.run(sign_in_request(server.org), pools).require()
        yield Client(token, http=pools, api_version="67.0")
        pools.close()


EXAMPLES = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@EXAMPLES
@given(text=TEXT.filter(lambda text: "\x00" not in text))  # no text of the stand-in's holds it
def test_no_text_gets_out_of_its_literal(client, text):
    """The org reads every literal as one value: a text that broke out would be an error or find rows."""
    statement = "SELECT Id FROM Account WHERE Name = {} AND Name != {} LIMIT 1"
    assert client.query(statement, text, text).total_size == 0


@EXAMPLES
@given(text=TEXT.filter(str.strip))
def test_a_text_that_is_stored_is_found_again(client, text):
    text = text.strip()[:40]
    if not text or "\x00" in text:
        return
    record_id = client.request("POST", "sobjects/Account", json={"Name": text}).json()["id"]
    try:
        found = client.query("SELECT Name FROM Account WHERE Id = {} AND Name = {}", record_id, text)
        assert [row["Name"] for row in found] == [text]
        alike = client.query("SELECT Id FROM Account WHERE Id = {} AND Name LIKE '{:like}'", record_id, text)
        assert alike.total_size == 1
    finally:
        client.request("DELETE", f"sobjects/Account/{record_id}")


def test_wildcards_in_a_like_value_count_as_themselves(client):
    for name in ("50% off", "50x off"):
        client.request("POST", "sobjects/Account", json={"Name": name})
    found = client.query("SELECT Name FROM Account WHERE Name LIKE '{:like}%'", "50%")
    assert [row["Name"] for row in found] == ["50% off"]


@pytest.mark.parametrize(
    "statement", ["SELEKT Id FROM Account", "SELECT Id FROM", "SELECT Id FROM Account WHERE Name = '"]
)
def test_malformed_soql_is_told_by_the_org(client, statement):
    with pytest.raises(ApiError) as caught:
        client.query(statement)
    assert caught.value.code == "MALFORMED_QUERY"


@pytest.mark.parametrize("text", ["Account", "My_Thing__c", "ns__Thing__c", "Owner__r", "A"])
def test_names(text):
    assert soql.name(text) == text


@pytest.mark.parametrize(
    "text", ["", "1A", "_A", "A B", "A'", "A;", "A.B", "A/B", "Ä", "A\n", "A" * 81, "A--", "(A)"]
)
def test_what_can_be_no_name(text):
    with pytest.raises(InvalidInput):
        soql.name(text)


@pytest.mark.parametrize("text", ["Name", "Owner.Name", "Parent__r.Owner.Name"])
def test_field_paths(text):
    assert soql.field_path(text) == text


@pytest.mark.parametrize("text", ["", ".", "Owner.", ".Name", "Owner..Name", "Owner.Na me"])
def test_what_can_be_no_field_path(text):
    with pytest.raises(InvalidInput):
        soql.field_path(text)

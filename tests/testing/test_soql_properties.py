"""Whatever text comes as a query, there are rows or a refusal; and conditions mean what they say."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sf_integration.testing import ids, soql
from sf_integration.testing.data import company, schema
from sf_integration.testing.data.store import Store

WORDS = (
    "SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "LIKE", "IN", "INCLUDES", "GROUP BY", "ORDER BY", "HAVING",
    "LIMIT", "OFFSET", "ASC", "DESC", "NULLS FIRST", "NULLS LAST", "USING SCOPE", "WITH", "FOR", "VIEW", "ALL ROWS",
    "TYPEOF", "WHEN", "END", "Account", "Contact", "Contacts", "Case", "Cases", "User", "Organization", "Lead", "Id",
    "Name", "LastName", "Account.Name", "Owner.Name", "Parent.Parent.Name", "BillingAddress", "Description",
    "AnnualRevenue", "Key_Account__c", "CreatedDate", "CloseDate", "StageName", "COUNT()", "COUNT(Id)", "MAX(Name)",
    "SUM(AnnualRevenue)", "CALENDAR_YEAR(CreatedDate)", "DAY_ONLY(CreatedDate)", "FIELDS(ALL)", "FIELDS", "FORMAT(", "(",
    ")", ",", ".", "=", "!=", "<>", "<", "<=", ">", ">=", "'a'", "'%\\_'", "''", "'001Dn00000Gi7HJIAZ'", "null", "TRUE", "5",
    "-1", "2.5", "2026-01-01", "2026-01-01T00:00:00Z", "TODAY", "LAST_N_DAYS:3", "THIS_FISCAL_YEAR", ":x", "expr0",
)  # fmt: skip
FIELDS = (
    "Id",
    "Name",
    "AnnualRevenue",
    "Key_Account__c",
    "CreatedDate",
    "LastActivityDate",
    "Type",
    "ParentId",
    "Parent.Name",
)
VALUES = (
    "null", "TRUE", "5", "-2.5", "'k%'", "''", "'001Dn00000Gi7HJIAZ'", "2026-01-01", "2026-01-01T00:00:00Z", "TODAY",
    "LAST_N_DAYS:60", "'Prospect'",
)  # fmt: skip


@cache
def store() -> Store:
    return company.demo_store()


def outcome(text: str) -> soql.Result | soql.SoqlError:
    """The rows, read, or the refusal; anything else is a failure."""
    try:
        result = soql.run(store(), text, base_path="/services/data/v67.0")
        result.records[:50]
    except soql.SoqlError as exc:
        return exc
    return result


@settings(deadline=None)
@given(st.text())
@example("\u2028")
@example("\n\n\r SELECT Id\n")
@example("SELECT Id FROM Account WHERE Name = '\\ud800'")
@example("SELECT Id FROM Account WHERE Name = '\\u0000'")
@example("SELECT Id FROM Account WHERE NumberOfEmployees = 99999999999999999999")
@example("SELECT Id FROM Account WHERE NumberOfEmployees IN (9223372036854775808, -9223372036854775809)")
@example("SELECT Id FROM Account LIMIT 99999999999999999999")
@example("SELECT Id FROM Account WHERE CreatedDate > LAST_N_DAYS:99999999999")
@example("SELECT Id FROM Account WHERE CreatedDate < 9999-12-31T23:59:59-14:00")
@example("SELECT Id FROM Account WHERE CreatedDate > NEXT_N_YEARS:7970")
def test_no_text_breaks_it(text: str):
    found = outcome(text)

    assert isinstance(found, soql.Result) or (found.code and found.message)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
def test_no_row_of_its_words_breaks_it(text: str):
    outcome(text)
    outcome(f"SELECT Id FROM Account {text}")
    outcome(f"SELECT Id FROM Account WHERE {text}")
    outcome(f"SELECT {text} FROM Contact")


conditions = st.recursive(
    st.one_of(
        st.tuples(
            st.sampled_from(FIELDS),
            st.sampled_from(("=", "!=", "<", "<=", ">", ">=", "LIKE")),
            st.sampled_from(VALUES),
        ).map(" ".join),
        st.tuples(
            st.sampled_from(FIELDS),
            st.sampled_from(("IN", "NOT IN")),
            st.lists(st.sampled_from(VALUES), min_size=1),
        ).map(lambda parts: f"{parts[0]} {parts[1]} ({', '.join(parts[2])})"),
    ),
    lambda inner: st.one_of(
        inner.map(lambda part: f"NOT ({part})"),
        st.tuples(inner, st.sampled_from(("AND", "OR")), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(conditions)
def test_a_condition_and_its_contrary_share_out_all_records(condition: str):
    everything = outcome("SELECT COUNT() FROM Account")
    holds = outcome(f"SELECT COUNT() FROM Account WHERE {condition}")
    contrary = outcome(f"SELECT COUNT() FROM Account WHERE NOT ({condition})")

    if isinstance(holds, soql.SoqlError):
        assert isinstance(contrary, soql.SoqlError)
        assert holds.code == contrary.code
    else:
        assert isinstance(contrary, soql.Result)
        assert isinstance(everything, soql.Result)
        assert holds.total_size + contrary.total_size == everything.total_size


# LIKE, against a plain reference: letters without regard to case, % any text, _ any character


PIECES = (
    "a",
    "B",
    "ä",
    "Ä",
    "ß",
    "\u1e9e",
    "\u0131",
    "%",
    "_",
    "\\%",
    "\\_",
    "\\\\",
    "\\'",
    " ",
    ".",
    "*",
    "☕",
    "\\n",
)
TEXTS = st.text(alphabet="abABäÄß\u1e9eSs\u0131Ii%_\\' .*☕\n", min_size=1, max_size=8)


def plainly_matches(pieces: list[str], text: str) -> bool:
    escapes = {"%": ".*", "_": ".", "\\n": "\n"}
    expression = "".join(escapes.get(piece) or re.escape(caseless(piece[-1])) for piece in pieces)
    return re.fullmatch(expression, "".join(map(caseless, text)), re.DOTALL) is not None


def caseless(char: str) -> str:
    return char.upper() if len(char.upper()) == 1 else char


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=7), st.lists(TEXTS, min_size=1, max_size=5, unique=True))
@example(["_"], ["ß", "s", "ss"])
@example(["S", "S"], ["ß", "ss"])
def test_like_matches_as_a_plain_reference_does(pieces: list[str], texts: list[str]):
    own = Store()
    account = schema.get("Account")
    own.add(account, [{"Id": ids.numbered("001", number), "Name": text} for number, text in enumerate(texts)])

    found = soql.run(own, f"SELECT Name FROM Account WHERE Name LIKE '{''.join(pieces)}'", base_path="")

    assert {record["Name"] for record in found.records} == {
        text for text in texts if plainly_matches(pieces, text)
    }


@settings(deadline=None)
@given(TEXTS)
def test_quoted_text_finds_itself(text: str):
    own = Store()
    own.add(schema.get("Account"), [{"Id": ids.numbered("001", 1), "Name": text}])
    quoted = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")

    for condition in (f"Name = '{quoted}'", f"Name IN ('other', '{quoted}')", f"Name >= '{quoted}'"):
        assert soql.run(own, f"SELECT Id FROM Account WHERE {condition}", base_path="").total_size == 1


# Too long for an address, but not for a part of a composite call


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"SELECT Id FROM Account WHERE Name = '{'x' * 100_000}'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE AnnualRevenue IN (" + "1," * 40_000 + "1)", "STAND_IN_DOES_NOT_KNOW"),
        ("SELECT Id FROM Account WHERE " + "(" * 20_000 + "Name = 'a'" + ")" * 20_000, None),
        ("SELECT Id FROM Account WHERE " + " OR ".join(["Name = 'a'"] * 6_000), None),
        ("SELECT Id FROM Account WHERE Name LIKE '" + "%a" * 1_900 + "'", None),
        ("SELECT " + ", ".join(["Id"] * 20_000) + " FROM Account", "MALFORMED_QUERY"),
    ],
)
def test_long_queries_are_answered(query: str, code: str | None):
    found = outcome(query)

    assert (found.code if isinstance(found, soql.SoqlError) else None) == code

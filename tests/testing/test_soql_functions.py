"""Grouped queries and the functions of SOQL, against what Python makes of the same records."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from sf_integration.testing import Org

from .conftest import Caller, refusal


def test_aggregates_of_nothing_are_null_but_for_counts(signed_in: Caller):
    [row] = signed_in.rows(
        "SELECT SUM(AnnualRevenue), AVG(AnnualRevenue), MIN(Name), MAX(CreatedDate), COUNT(Id), COUNT(Name) "
        "FROM Account WHERE Name = 'nobody'"
    )

    assert row == {"expr0": None, "expr1": None, "expr2": None, "expr3": None, "expr4": 0, "expr5": 0}


def test_count_of_a_field_leaves_out_empty_ones(signed_in: Caller):
    rows = signed_in.rows("SELECT Rating FROM Account")
    filled = [row["Rating"] for row in rows if row["Rating"]]

    [counted] = signed_in.rows(
        "SELECT COUNT(Rating) filled, COUNT_DISTINCT(Rating) kinds, COUNT(Id) FROM Account"
    )
    assert counted == {"filled": len(filled), "kinds": len(set(filled)), "expr0": len(rows)}
    assert len(filled) < len(rows)


def test_numbers_are_summed(signed_in: Caller):
    amounts = [row["Amount"] for row in signed_in.rows("SELECT Amount FROM Opportunity WHERE Amount != null")]

    [sums] = signed_in.rows("SELECT SUM(Amount), AVG(Amount), MIN(Amount), MAX(Amount) FROM Opportunity")
    assert list(sums.values()) == pytest.approx(
        [sum(amounts), sum(amounts) / len(amounts), min(amounts), max(amounts)]
    )


def test_having_picks_groups(signed_in: Caller):
    counts = Counter(row["Industry"] for row in signed_in.rows("SELECT Industry FROM Account"))
    grouped = "SELECT Industry, COUNT(Id) accounts FROM Account GROUP BY Industry HAVING"

    many = signed_in.rows(f"{grouped} COUNT(Id) > 10 ORDER BY COUNT(Id) DESC")
    assert [(row["Industry"], row["accounts"]) for row in many] == [
        pair for pair in counts.most_common() if pair[1] > 10
    ]
    some = signed_in.rows(f"{grouped} Industry LIKE 'h%' AND NOT (COUNT(Id) < 1)")
    assert some == [{"Industry": "Hospitality", "accounts": counts["Hospitality"]}]


def test_groups_may_have_other_names(signed_in: Caller):
    rows = signed_in.rows(
        "SELECT Account.Name company, Owner.Name, COUNT(Id) FROM Opportunity GROUP BY Account.Name, Owner.Name LIMIT 2"
    )

    assert [list(row) for row in rows] == [["company", "Name", "expr0"]] * 2


def test_only_the_nameless_are_numbered(signed_in: Caller):
    [row] = signed_in.rows("SELECT COUNT(Id) exprs, MIN(Name), MAX(Name) FROM Account")

    assert list(row) == ["exprs", "expr0", "expr1"]


def test_texts_that_differ_in_case_are_one_group(signed_in: Caller):
    for name in ("Moka", "MOKA", "moka"):
        signed_in.call("POST", "sobjects/Account", json={"Name": name})

    [row] = signed_in.rows("SELECT Name, COUNT(Id) FROM Account WHERE Name = 'moka' GROUP BY Name")
    assert row["expr0"] == 3
    [distinct] = signed_in.rows("SELECT COUNT_DISTINCT(Name) FROM Account WHERE Name = 'moka'")
    assert distinct["expr0"] == 1


def test_smallest_and_largest_text_regard_no_case(signed_in: Caller):
    for name in ("zz b", "ZZ C", "ZZ a"):
        signed_in.call("POST", "sobjects/Account", json={"Name": name})

    [row] = signed_in.rows("SELECT MIN(Name), MAX(Name) FROM Account WHERE Name LIKE 'zz _'")
    assert row == {"expr0": "ZZ a", "expr1": "ZZ C"}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("CALENDAR_YEAR", lambda day: day.year),
        ("CALENDAR_QUARTER", lambda day: (day.month + 2) // 3),
        ("CALENDAR_MONTH", lambda day: day.month),
        ("DAY_IN_YEAR", lambda day: day.timetuple().tm_yday),
        ("DAY_IN_MONTH", lambda day: day.day),
        ("DAY_IN_WEEK", lambda day: day.isoweekday() % 7 + 1),
        ("WEEK_IN_YEAR", lambda day: (day.timetuple().tm_yday - 1) // 7 + 1),
        ("WEEK_IN_MONTH", lambda day: (day.day - 1) // 7 + 1),
        ("DAY_ONLY", date.isoformat),
    ],
)
def test_functions_take_dates_apart(signed_in: Caller, function: str, expected):
    days = [
        date.fromisoformat(row["CreatedDate"][:10]) for row in signed_in.rows("SELECT CreatedDate FROM Case")
    ]

    rows = signed_in.rows(
        f"SELECT {function}(CreatedDate), COUNT(Id) FROM Case GROUP BY {function}(CreatedDate)"
    )
    assert {row["expr0"]: row["expr1"] for row in rows} == Counter(map(expected, days))


def test_functions_of_dates_choose_records(signed_in: Caller):
    hours = [int(row["CreatedDate"][11:13]) for row in signed_in.rows("SELECT CreatedDate FROM Case")]

    early = signed_in.query("SELECT COUNT() FROM Case WHERE HOUR_IN_DAY(CreatedDate) < 6").json()
    assert early["totalSize"] == sum(hour < 6 for hour in hours)


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("SELECT SUM(Name) FROM Account", "INVALID_FIELD", "field Name does not support aggregate operator SUM"),
        ("SELECT MAX(BillingAddress) FROM Account", "INVALID_FIELD", "does not support aggregate operator MAX"),
        ("SELECT COUNT(Key_Account__c) FROM Account", "INVALID_FIELD", "does not support aggregate operator COUNT"),
        ("SELECT COUNT(Id) FROM Account LIMIT 1", "MALFORMED_QUERY", "Non-grouped query that uses overall aggregate functions cannot also use LIMIT"),
        ("SELECT Name, Name FROM Account GROUP BY Name", "MALFORMED_QUERY", "duplicate alias: Name"),
        ("SELECT MAX(Name) n, MIN(Name) n FROM Account", "MALFORMED_QUERY", "duplicate alias: n"),
        ("SELECT AnnualRevenue FROM Account GROUP BY AnnualRevenue", "INVALID_FIELD", "field 'AnnualRevenue' can not be grouped in a query call"),
        ("SELECT Id FROM Account HAVING COUNT(Id) > 1", "MALFORMED_QUERY", "Field must be grouped or aggregated: Id"),
        ("SELECT Name FROM Account GROUP BY Name ORDER BY Type", "MALFORMED_QUERY", "Field must be grouped or aggregated: Type"),
        ("SELECT COUNT(), Id FROM Account", "MALFORMED_QUERY", "COUNT() must be the only item of the select list"),
        ("SELECT Name, COUNT(Id) FROM Account GROUP BY Name HAVING COUNT(Id) > 'many'", "INVALID_FIELD", "should not be enclosed in quotes"),
    ],
)  # fmt: skip
def test_bad_groupings_are_refused(signed_in: Caller, query: str, code: str, message: str):
    status, said_code, said = refusal(signed_in.query(query))

    assert (status, said_code) == (400, code)
    assert message in said


def test_more_groups_than_a_page_are_refused(signed_in: Caller, org: Org):
    org.add_records("Contact", 2_000)
    grouped = "SELECT Phone, COUNT(Id) FROM Contact GROUP BY Phone"

    assert refusal(signed_in.query(grouped))[1] == "EXCEEDED_ID_LIMIT"
    assert len(signed_in.rows(f"{grouped} LIMIT 2000")) == 2_000

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from sf_integration.testing import Org, ids, soql
from sf_integration.testing.data import schema
from sf_integration.testing.data.company import CASES, CONTACTS
from sf_integration.testing.data.company import WELL_KNOWN_ACCOUNT_ID as ACCOUNT_ID
from sf_integration.testing.data.store import Store
from sf_integration.testing.rest.cursors import Cursors
from sf_integration.testing.soql import TIME_ZONE

from .conftest import Caller, refusal


def names(caller: Caller, condition: str) -> list[str]:
    return [row["Name"] for row in caller.rows(f"SELECT Name FROM Account WHERE {condition}")]


# What is selected


def test_records_carry_their_attributes(signed_in: Caller):
    answer = signed_in.query(f"SELECT Id, Name FROM Account WHERE Id = '{ACCOUNT_ID}'").json()

    assert answer == {
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {
                    "type": "Account",
                    "url": f"/services/data/v67.0/sobjects/Account/{ACCOUNT_ID}",
                },
                "Id": ACCOUNT_ID,
                "Name": "Kaffeerösterei Brandt & Söhne",
            }
        ],
    }


def test_question_of_the_command_line_tool_has_one_answer(signed_in: Caller, org: Org):
    [row] = signed_in.rows(
        "SELECT Name, InstanceName, IsSandbox, TrialExpirationDate, NamespacePrefix, OrganizationType "
        "FROM Organization"
    )

    assert row["Name"] == org.name
    assert row["OrganizationType"] == "Developer Edition"
    assert (row["IsSandbox"], row["TrialExpirationDate"], row["NamespacePrefix"]) == (False, None, None)


def test_parents_are_nested_and_null_when_absent(signed_in: Caller):
    with_account = signed_in.rows(
        "select lastname, Account.Name, account.owner.username from contact where AccountId != null limit 1"
    )[0]
    without = signed_in.rows("SELECT LastName, Account.Name FROM Contact WHERE AccountId = null LIMIT 1")[0]

    assert with_account["Account"]["attributes"]["type"] == "Account"
    assert with_account["Account"]["Name"]
    assert with_account["Account"]["Owner"]["Username"] == "integration@nordhafen.example"
    assert without["Account"] is None


def test_children_are_nested_and_null_when_absent(signed_in: Caller):
    rows = signed_in.rows(
        "SELECT Id, (SELECT LastName FROM Contacts WHERE LastName != 'Müller' ORDER BY LastName LIMIT 3) FROM Account"
    )

    children = [row["Contacts"] for row in rows]
    assert None in children
    full = next(child for child in children if child and child["totalSize"] == 3)
    last_names = [record["LastName"] for record in full["records"]]
    assert full["done"] is True
    assert last_names == sorted(last_names)


def test_compound_address_is_an_object(signed_in: Caller):
    [row] = signed_in.rows(f"SELECT BillingAddress, BillingCity FROM Account WHERE Id = '{ACCOUNT_ID}'")

    assert row["BillingAddress"]["city"] == row["BillingCity"] == "Hamburg"


def test_count_gives_a_size_and_no_records(signed_in: Caller):
    answer = signed_in.query("SELECT COUNT() FROM Contact").json()

    assert answer == {"totalSize": CONTACTS, "done": True, "records": []}


def test_aggregates_are_grouped(signed_in: Caller):
    rows = signed_in.rows("SELECT Status, COUNT(Id) cases, MAX(CaseNumber) FROM Case GROUP BY Status")

    assert sum(row["cases"] for row in rows) == CASES
    assert {row["Status"] for row in rows} == {"New", "Working", "Escalated", "Closed"}
    assert all("expr0" in row for row in rows)


def test_fields_function_is_bounded(signed_in: Caller):
    [row] = signed_in.rows("SELECT FIELDS(ALL) FROM Account LIMIT 1")
    assert {"ERP_Number__c", "Name", "BillingAddress"} <= set(row)

    [standard] = signed_in.rows("SELECT FIELDS(STANDARD) FROM Account LIMIT 1")
    assert "ERP_Number__c" not in standard
    for query in ("SELECT FIELDS(ALL) FROM Account", "SELECT FIELDS(ALL) FROM Account LIMIT 201"):
        assert "LIMIT of at most 200" in refusal(signed_in.query(query))[2]


# Conditions


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("Name = 'blåbär KONDITORI ab'", ["Blåbär Konditori AB"]),
        (r"Name = 'O\'Sullivan\'s Coffee Rooms'", ["O'Sullivan's Coffee Rooms"]),
        (r"Name LIKE 'bäckerei \"%'", ['Bäckerei "Goldene Ähre"']),
        ("Name LIKE 'The _low Cup'", ["The Slow Cup"]),
        (r"Name LIKE 'The \_low Cup'", []),
        (r"Name LIKE '100\%'", []),
        ("AnnualRevenue > 80000000", ["Meridian Freight Lines"]),
        ("AnnualRevenue >= 31000000 AND AnnualRevenue < 46000000.5", ["Quay Street Grocers", "Kontor Übersee Handelsgesellschaft"]),
        ("BillingCity IN ('Cork', 'Bergen') AND ParentId = null", ["O'Sullivan's Coffee Rooms", "Fjord & Fjell Kaffebrenneri"]),
        ("ParentId = null AND (BillingCountry = 'Norway' OR BillingCountry = 'Finland')", ["Fjord & Fjell Kaffebrenneri", "Kahvila Ääni"]),
        ("Type = null", ["Kahvila Ääni"]),
        ("Type = ''", ["Kahvila Ääni"]),
        (f"Id IN ('{ACCOUNT_ID[:15]}')", ["Kaffeerösterei Brandt & Söhne"]),
        ("Key_Account__c = TRUE AND BillingCountry = 'Spain'", ["Molino Blanco Panaderías"]),
        ("CreatedDate > 9999-01-01T00:00:00Z", []),
        (f"Id = '{ACCOUNT_ID}' AND CreatedDate <> TODAY AND CreatedDate < 2999-01-01T00:00:00+02:00", ["Kaffeerösterei Brandt & Söhne"]),
    ],
)  # fmt: skip
def test_conditions_select(signed_in: Caller, condition: str, expected: list[str]):
    assert names(signed_in, condition) == expected


def test_negation_turns_every_condition_round(signed_in: Caller):
    everything = signed_in.query("SELECT COUNT() FROM Account").json()["totalSize"]

    for condition in (
        "Type = 'Prospect'",
        "AnnualRevenue > 1000000",
        "Name LIKE 'K%'",
        "Rating IN ('Hot', 'Cold')",
        "LastActivityDate = LAST_N_DAYS:60",
        "Id IN (SELECT AccountId FROM Contact WHERE Email = null)",
    ):
        matching, others = len(names(signed_in, condition)), len(names(signed_in, f"NOT ({condition})"))
        assert matching + others == everything
        assert matching
        assert others


def test_not_equal_and_not_in_include_empty_fields(signed_in: Caller):
    assert "Kahvila Ääni" in names(signed_in, "Type != 'Prospect'")
    assert "Kahvila Ääni" in names(signed_in, "Type NOT IN ('Prospect', 'Other')")
    assert "Kahvila Ääni" not in names(signed_in, "Type NOT IN ('Prospect', null)")


def test_semi_join_and_parents_in_conditions(signed_in: Caller):
    by_join = names(signed_in, "Id IN (SELECT AccountId FROM Opportunity WHERE StageName = 'Closed Won')")
    by_parent = signed_in.rows("SELECT Account.Name FROM Opportunity o WHERE o.StageName = 'Closed Won'")

    assert set(by_join) == {row["Account"]["Name"] for row in by_parent}
    assert signed_in.rows("SELECT Id FROM Contact WHERE Account.Parent.Name LIKE 'Hotel%' LIMIT 1")


def test_date_literals_select_spans(signed_in: Caller, org: Org):
    now = datetime(2026, 7, 2, 12, tzinfo=TIME_ZONE)
    org.clock_offset_seconds = now.timestamp() - time.time()
    contact = signed_in.call(
        "POST", "sobjects/Contact", json={"LastName": "Today", "Birthdate": now.date().isoformat()}
    )
    record_id = contact.json()["id"]

    def finds(condition: str) -> bool:
        return bool(signed_in.rows(f"SELECT Id FROM Contact WHERE Id = '{record_id}' AND {condition}"))

    assert finds("CreatedDate = TODAY")
    assert finds("Birthdate = TODAY")
    assert finds("CreatedDate = THIS_YEAR")
    assert finds("CreatedDate = LAST_N_DAYS:1")
    assert finds("CreatedDate > YESTERDAY")
    assert finds("Birthdate IN (YESTERDAY, TODAY)")
    assert not finds("CreatedDate < TODAY")
    assert not finds("CreatedDate = NEXT_N_DAYS:3")
    assert not finds("CreatedDate != TODAY")
    five_minutes_ago = (now - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S%z")
    assert finds(f"CreatedDate >= {five_minutes_ago}")


def test_days_are_those_of_the_users_time_zone():
    store = Store()
    created = ["2026-07-01T21:59:59.000+0000", "2026-07-01T22:00:00.000+0000", "2026-07-02T22:00:00.000+0000"]
    store.add(
        schema.get("Account"),
        [{"Id": ids.numbered("001", number), "CreatedDate": moment} for number, moment in enumerate(created)],
    )
    noon = datetime(2026, 7, 2, 12, tzinfo=TIME_ZONE)

    found = soql.run(
        store, "SELECT CreatedDate FROM Account WHERE CreatedDate = TODAY", base_path="", now=noon
    )

    assert [record["CreatedDate"] for record in found.records] == ["2026-07-01T22:00:00.000+0000"]


def test_unticked_checkbox_is_what_null_means(signed_in: Caller):
    ticked = names(signed_in, "Key_Account__c = TRUE")

    assert ticked
    assert names(signed_in, "Key_Account__c != null") == ticked
    assert names(signed_in, "Key_Account__c = null") == names(signed_in, "Key_Account__c = FALSE")


def test_checkbox_of_no_parent_counts_as_unticked(signed_in: Caller):
    orphans = "SELECT COUNT() FROM Contact WHERE AccountId = null"

    everybody = signed_in.query(orphans).json()["totalSize"]

    assert everybody
    unticked = signed_in.query(f"{orphans} AND Account.Key_Account__c = FALSE").json()["totalSize"]
    assert unticked == everybody


def test_ids_compare_as_they_sort(signed_in: Caller):
    first, *others = [row["Id"] for row in signed_in.rows("SELECT Id FROM Account ORDER BY Id")]

    after = signed_in.rows(f"SELECT Id FROM Account WHERE Id > '{first[:15]}' ORDER BY Id")
    assert [row["Id"] for row in after] == others


# Order, limit, offset


def test_order_puts_empty_fields_first_unless_told(signed_in: Caller):
    def revenues(order: str) -> list[float | None]:
        return [
            row["AnnualRevenue"]
            for row in signed_in.rows(f"SELECT AnnualRevenue FROM Account ORDER BY {order}")
        ]

    assert revenues("AnnualRevenue")[0] is None
    assert revenues("AnnualRevenue DESC")[0] is None
    filled = revenues("AnnualRevenue DESC NULLS LAST")
    assert filled[0] == 88_000_000
    assert filled[-1] is None


def test_picklists_are_ordered_by_their_values_places(signed_in: Caller):
    rows = signed_in.rows("SELECT StageName FROM Opportunity ORDER BY StageName")
    stages = [option for field in schema.get("Opportunity").fields for option in field.options]

    assert list(dict.fromkeys(row["StageName"] for row in rows)) == stages


def test_text_is_ordered_without_regard_to_case(signed_in: Caller):
    for name in ("aaa", "AAB", "aac"):
        assert signed_in.call("POST", "sobjects/Account", json={"Name": name}).status_code == 201

    assert names(signed_in, "Name LIKE 'aa_' ORDER BY Name") == ["aaa", "AAB", "aac"]
    assert names(signed_in, "Name LIKE 'aa_' ORDER BY Name DESC") == ["aac", "AAB", "aaa"]


def test_limit_zero_finds_nothing(signed_in: Caller):
    assert signed_in.query("SELECT Id FROM Account LIMIT 0").json() == {
        "totalSize": 0,
        "done": True,
        "records": [],
    }


def test_limit_and_offset_cut_out_a_piece(signed_in: Caller):
    query = "SELECT Id FROM Contact ORDER BY Id"
    whole = signed_in.rows(f"{query} LIMIT 10")

    assert signed_in.rows(f"{query} LIMIT 3 OFFSET 4") == whole[4:7]
    assert signed_in.query("SELECT COUNT() FROM Contact LIMIT 7").json()["totalSize"] == 7
    assert refusal(signed_in.query(f"{query} OFFSET 2001"))[1] == "NUMBER_OUTSIDE_VALID_RANGE"


# Pages


def test_long_results_come_in_pages(signed_in: Caller):
    first = signed_in.query("SELECT Id FROM Contact").json()
    second = signed_in.get(first["nextRecordsUrl"]).json()

    assert (first["totalSize"], first["done"], len(first["records"])) == (CONTACTS, False, 2_000)
    assert first["nextRecordsUrl"].startswith("/services/data/v67.0/query/01g")
    assert first["nextRecordsUrl"].endswith("-2000")
    assert (second["totalSize"], second["done"], len(second["records"])) == (CONTACTS, True, CONTACTS - 2_000)
    assert "nextRecordsUrl" not in second
    found = {record["Id"] for record in first["records"] + second["records"]}
    assert len(found) == CONTACTS


def test_batch_size_is_honoured_within_bounds(signed_in: Caller):
    def page_length(size: int | str) -> int:
        headers = {"Sforce-Query-Options": f"batchSize={size}"}
        answer = signed_in.call("GET", "query", params={"q": "SELECT Id FROM Contact"}, headers=headers)
        return len(answer.json()["records"])

    assert [page_length(size) for size in (1, 200, 700, 5_000, "9" * 5_000)] == [200, 200, 700, 2_000, 2_000]


@pytest.mark.long
def test_hundred_thousand_records_are_paged(signed_in: Caller, org: Org):
    org.add_records("Contact", 100_000)

    page = signed_in.query("SELECT Id FROM Contact").json()
    found = {record["Id"] for record in page["records"]}
    while not page["done"]:
        page = signed_in.get(page["nextRecordsUrl"]).json()
        found.update(record["Id"] for record in page["records"])

    assert len(found) == page["totalSize"] == CONTACTS + 100_000


def test_page_that_does_not_exist_is_refused(signed_in: Caller):
    locator = signed_in.query("SELECT Id FROM Contact").json()["nextRecordsUrl"].rpartition("-")[0]

    for offset in (str(CONTACTS), "999999999999", "-1", "٣", "x", ""):
        assert refusal(signed_in.get(f"{locator}-{offset}"))[1] == "INVALID_QUERY_LOCATOR"


def test_oldest_of_too_many_rows_give_way():
    cursors = Cursors(lambda: 900)
    rows = [{"Id": str(number)} for number in range(300_000)]
    urls = [cursors.first_page(rows, 2_000, "token", "")["nextRecordsUrl"] for _ in range(4)]

    pages = [cursors.page(url.rpartition("/")[2], "token", "") for url in urls]
    assert [page is None for page in pages] == [True, False, False, False]


def test_locator_dies_with_its_session(signed_in: Caller):
    next_url = signed_in.query("SELECT Id FROM Contact").json()["nextRecordsUrl"]
    signed_in.sign_in()

    assert refusal(signed_in.get(next_url)) == (400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    assert refusal(signed_in.get("query/01g5g0000QuErYxAQK-2000"))[1] == "INVALID_QUERY_LOCATOR"


# Refusals


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("", "MALFORMED_QUERY", "A query string has to be specified"),
        ("SELEKT Id FROM Account", "MALFORMED_QUERY", "\nSELEKT Id FROM Account\n^\nERROR at Row:1:Column:1\nunexpected token: 'SELEKT'"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        # FORM could be an alias: it is the word after it that doesn't fit.
        ("SELECT Id,\nName FORM Account", "MALFORMED_QUERY", "\nName FORM Account\n          ^\nERROR at Row:2:Column:11\nunexpected token: 'Account'"),
        ("SELECT Name n FROM Account", "MALFORMED_QUERY", "only aggregate expressions use field aliasing"),
        ("SELECT FIELDS(ALL), Name FROM Account LIMIT 1", "MALFORMED_QUERY", "duplicate field selected: Name"),
        ("SELECT Id FROM Account ALL ROWS", "MALFORMED_QUERY", "ALL ROWS not allowed in this context"),
        ("SELECT Id FROM Account WHERE Id IN :ids", "MALFORMED_QUERY", "Bind variables only allowed in Apex code"),
        ("SELECT Id FROM Account LIMIT :most", "MALFORMED_QUERY", "Bind variables only allowed in Apex code"),
        ("SELECT Id FROM Account FOR BREAKFAST", "MALFORMED_QUERY", "unexpected token: 'BREAKFAST'"),
        ("SELECT FOO(Id) FROM Account", "MALFORMED_QUERY", "unexpected token: 'FOO'"),
        ("SELECT Id FROM Account WHERE COUNT(Id) > 1", "MALFORMED_QUERY", "unexpected token: 'COUNT'"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT Id FROM Account)", "MALFORMED_QUERY", "should not be on the same object type"),
        ("SELECT Id FROM Account WHERE Name = 'x' OR Id IN (SELECT AccountId FROM Contact)", "MALFORMED_QUERY", "not allowed with the 'OR' operator"),
        ("SELECT Id FROM Account ORDER BY Description", "INVALID_FIELD", "field 'Description' can not be sorted in a query call"),
        ("SELECT Id FROM Account ORDER BY BillingAddress", "INVALID_FIELD", "field 'BillingAddress' can not be sorted in a query call"),
        ("SELECT Id FROM Account WHERE Key_Account__c = 'true'", "INVALID_FIELD", "must be of type boolean and should not be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE CreatedDate = 2026-02-30T00:00:00Z", "MALFORMED_QUERY", "Invalid date: 2026-02-30T00:00:00Z"),
        ("SELECT Id FROM Account WHERE CreatedDate < 0001-01-01T00:00:00+14:00", "MALFORMED_QUERY", "Invalid date"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY", "unexpected token: 'OR'"),
        ("SELECT Id FROM Account WHERE Name = #", "MALFORMED_QUERY", "line 1:36 no viable alternative at character '#'"),
        ("SELECT Id FROM Account WHERE Name = 'open", "MALFORMED_QUERY", "no viable alternative at character '''"),
        (r"SELECT Id FROM Account WHERE Name = 'a\q'", "MALFORMED_QUERY", r"Illegal character sequence '\q' in string literal"),
        ("SELECT Id FROM Account WHERE CreatedDate = SOMEDAY", "MALFORMED_QUERY", "unexpected token: 'SOMEDAY'"),
        ("SELECT Id, Id FROM Account", "MALFORMED_QUERY", "duplicate field selected: Id"),
        ("SELECT Name FROM Account GROUP BY Type", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Bacon__c FROM Account LIMIT 2", "INVALID_FIELD",
         "\nSELECT Bacon__c FROM Account LIMIT 2\n       ^\nERROR at Row:1:Column:8\nNo such column 'Bacon__c' on entity 'Account'."),
        ("SELECT Id FROM Account WHERE Bacon__c = 1", "INVALID_FIELD", "ERROR at Row:1:Column:30"),
        ("SELECT Boss.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Boss' in field path."),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "'Name' must be of type string and should be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE AnnualRevenue = '5'", "INVALID_FIELD", "must be of type currency and should not be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "must be of type dateTime and should not be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "field 'Description' can not be filtered in a query call"),
        ("SELECT Id FROM Account WHERE Id = '123'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: 123"),
        ("SELECT Id FROM Xyzzy", "INVALID_TYPE", "ERROR at Row:1:Column:16\nsObject type 'Xyzzy' is not supported."),
        ("SELECT Id FROM ScratchOrgInfo limit 1", "INVALID_TYPE", "sObject type 'ScratchOrgInfo' is not supported."),
        ("SELECT Id, (SELECT Id FROM Pets) FROM Account", "INVALID_TYPE", "Didn't understand relationship 'Pets' in FROM part of query call."),
    ],
)  # fmt: skip
def test_bad_queries_are_refused(signed_in: Caller, query: str, code: str, message: str):
    status, said_code, said = refusal(signed_in.query(query))

    assert (status, said_code) == (400, code)
    assert message in said


def test_values_never_become_sql(signed_in: Caller):
    hostile = r"x\' OR \'1\'=\'1\'; DROP TABLE Account; --"

    assert names(signed_in, f"Name = '{hostile}'") == []
    assert signed_in.query("SELECT COUNT() FROM Account").json()["totalSize"] == 60


def test_long_chain_of_conditions_is_no_trouble(signed_in: Caller):
    condition = " OR ".join(["Name = 'nobody'"] * 600 + ["Name = 'The Slow Cup'"])

    assert names(signed_in, condition) == ["The Slow Cup"]


def test_longest_list_of_values_is_no_trouble(signed_in: Caller):
    values = ",".join(f"'name {number}'" for number in range(1_200))

    assert names(signed_in, f"Name IN ({values}, 'The Slow Cup')") == ["The Slow Cup"]

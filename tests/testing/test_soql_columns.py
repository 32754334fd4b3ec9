"""The columns of a query, as the Salesforce CLI asks for them: the shapes recorded in the tests of its data plugin."""

from __future__ import annotations

from typing import Any

import pytest

from sf_integration.testing import Org

from .conftest import Caller, refusal

KEYS = {
    "aggregate", "apexType", "booleanType", "columnName", "custom", "displayName", "foreignKeyName", "insertable",
    "joinColumns", "numberType", "textType", "updatable",
}  # fmt: skip


def columns(caller: Caller, query: str) -> list[dict[str, Any]]:
    return caller.get("query", q=query, columns="true").json()["columnMetadata"]


def test_whole_answer_has_the_recorded_shape(signed_in: Caller):
    answer = signed_in.get("query", q="SELECT Id, Name FROM Contact", columns="true").json()

    common = {
        "aggregate": False,
        "booleanType": False,
        "custom": False,
        "foreignKeyName": None,
        "insertable": False,
        "joinColumns": [],
        "numberType": False,
        "updatable": False,
    }
    assert answer == {
        "columnMetadata": [
            {**common, "apexType": "Id", "columnName": "Id", "displayName": "Id", "textType": False},
            {**common, "apexType": "String", "columnName": "Name", "displayName": "Name", "textType": True},
        ],
        "entityName": "Contact",
        "groupBy": False,
        "idSelected": True,
        "keyPrefix": "003",
    }


def test_children_and_parents_hold_their_columns(signed_in: Caller):
    name, contacts, owner = columns(
        signed_in, "SELECT Name, (SELECT LastName FROM Contacts), Owner.Name, Owner.Email FROM Account"
    )

    assert (contacts["aggregate"], contacts["columnName"], contacts["apexType"]) == (True, "Contacts", None)
    [last_name] = contacts["joinColumns"]
    assert (last_name["columnName"], last_name["insertable"]) == ("LastName", True)
    assert (owner["columnName"], owner["foreignKeyName"], owner["aggregate"]) == ("Owner", "OwnerId", False)
    assert [column["columnName"] for column in owner["joinColumns"]] == ["Name", "Email"]
    assert all(set(column) == KEYS for column in (name, contacts, last_name, owner))


def test_aggregates_show_their_function(signed_in: Caller):
    query = "SELECT AccountId, AVG(Amount), COUNT(Id) deals FROM Opportunity GROUP BY AccountId"
    account_id, average, deals = columns(signed_in, query)

    assert (account_id["columnName"], account_id["apexType"]) == ("AccountId", "Id")
    assert (average["columnName"], average["displayName"]) == ("expr0", "avg(Amount)")
    assert (average["aggregate"], average["numberType"], average["apexType"]) == (True, True, None)
    assert (deals["columnName"], deals["displayName"]) == ("deals", "count(Id)")
    assert signed_in.get("query", q=query, columns="true").json()["groupBy"] is True


def test_groups_of_fields_show_their_own(signed_in: Caller):
    def names(group: str) -> set[str]:
        answer = signed_in.get("query", q=f"SELECT FIELDS({group}) FROM Account LIMIT 1", columns="true")
        return {column["columnName"] for column in answer.json()["columnMetadata"]}

    assert names("CUSTOM") == {"ERP_Number__c", "Customer_Since__c", "Key_Account__c"}
    assert names("STANDARD") | names("CUSTOM") == names("ALL")
    assert not names("STANDARD") & names("CUSTOM")


def test_types_are_told(signed_in: Caller):
    query = (
        "SELECT Key_Account__c, AnnualRevenue, NumberOfEmployees, CreatedDate, Customer_Since__c FROM Account"
    )
    shown = columns(signed_in, query)

    assert [column["apexType"] for column in shown] == ["Boolean", "Double", "Integer", "Datetime", "Date"]
    assert [column["booleanType"] for column in shown] == [True, False, False, False, False]
    assert [column["numberType"] for column in shown] == [False, True, True, False, False]
    assert [column["custom"] for column in shown] == [True, False, False, False, True]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Bacon__c FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Xyzzy", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE Bacon__c = 1", "INVALID_FIELD"),
        ("SELEKT", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead", "STAND_IN_DOES_NOT_KNOW"),
    ],
)
def test_bad_queries_have_no_columns(signed_in: Caller, query: str, code: str):
    assert refusal(signed_in.get("query", q=query, columns="true"))[1] == code


def test_rows_given_by_hand_have_columns(signed_in: Caller, org: Org):
    org.answer("SELECT Id, Company FROM Lead", [{"Id": "00Q000000000001", "Company": "Acme"}])

    shown = columns(signed_in, "SELECT Id, Company FROM Lead")
    assert [column["columnName"] for column in shown] == ["Id", "Company"]
    assert all(set(column) == KEYS for column in shown)

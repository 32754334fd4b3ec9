"""What Salesforce has and the stand-in has not: said so, never answered wrongly, never mistaken for a mistake."""

from __future__ import annotations

import pytest

from sf_integration.testing import Org
from sf_integration.testing.data import schema, standard

from .conftest import Caller, refusal


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ("SELECT Id FROM Account WITH SECURITY_ENFORCED", "the clause WITH"),
        ("SELECT Id FROM Account WHERE Name != null WITH USER_MODE LIMIT 3", "the clause WITH"),
        ("SELECT Title FROM Knowledge__kav WITH DATA CATEGORY Geography__c AT asia__c", "the clause WITH"),
        ("SELECT Id FROM Account USING SCOPE mine", "USING SCOPE mine"),
        ("SELECT Id FROM Account LIMIT 1 FOR UPDATE", "FOR UPDATE"),
        ("SELECT Id FROM Account UPDATE TRACKING", "UPDATE TRACKING"),
        ("SELECT TYPEOF What WHEN Account THEN Phone ELSE Name END FROM Event", "TYPEOF"),
        ("SELECT Id FROM Account WHERE Industry INCLUDES ('a;b', 'c')", "INCLUDES"),
        ("SELECT Id FROM Account WHERE Industry EXCLUDES ('a')", "EXCLUDES"),
        ("SELECT FORMAT(Amount) a FROM Opportunity", "FORMAT()"),
        ("SELECT toLabel(StageName) FROM Opportunity", "toLabel()"),
        ("SELECT convertCurrency(Amount) FROM Opportunity", "convertCurrency()"),
        ("SELECT CALENDAR_YEAR(convertTimezone(CreatedDate)), COUNT(Id) FROM Case GROUP BY CALENDAR_YEAR(convertTimezone(CreatedDate))", "convertTimezone()"),
        ("SELECT CALENDAR_YEAR(CreatedDate) FROM Case", "CALENDAR_YEAR() outside of grouped queries"),
        ("SELECT Id FROM Account WHERE DISTANCE(BillingAddress, GEOLOCATION(37.7, -122.4), 'mi') < 20", "DISTANCE()"),
        ("SELECT Industry, COUNT(Id) FROM Account GROUP BY ROLLUP(Industry)", "ROLLUP()"),
        ("SELECT Industry, GROUPING(Industry) FROM Account GROUP BY Industry", "GROUPING()"),
        ("SELECT COUNT() FROM Contact c, c.Account a WHERE a.Name = 'x'", "relationships with an alias in FROM"),
        ("SELECT Id, (SELECT Id FROM Contacts OFFSET 3) FROM Account LIMIT 1", "sub-queries with GROUP BY or OFFSET"),
        ("SELECT Id, (SELECT Id FROM Contacts), (SELECT Name FROM Contacts) FROM Account", "two sub-queries of Contacts"),
        ("SELECT Parent.Parent.Parent.Parent.Parent.Parent.Name FROM Account", "more than 5 parents"),
        ("SELECT Id FROM Account WHERE AnnualRevenue > null", "> with an empty value"),
        ("SELECT Id FROM Account WHERE Name < ''", "< with an empty value"),
        ("SELECT Id FROM Account WHERE Key_Account__c > FALSE", "> with the boolean field Key_Account__c"),
        ("SELECT Id FROM Opportunity WHERE StageName > 'Closed'", "> with the picklist field StageName"),
        ("SELECT MAX(StageName) FROM Opportunity", "MAX() of picklists"),
        ("SELECT Id FROM Account WHERE ParentId = ''", "the id ParentId with an empty text"),
        ("SELECT Id FROM Account WHERE AnnualRevenue > USD5000", "amounts with a currency such as USD5000"),
        ("SELECT Id FROM Opportunity WHERE CloseDate = THIS_FISCAL_QUARTER", "the fiscal year of THIS_FISCAL_QUARTER"),
        ("SELECT Id FROM Account WHERE Name IN (SELECT Name FROM Contact)", "fields that are no ids"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact LIMIT 1)", "more than a WHERE part"),
        ("SELECT COUNT() FROM Account ORDER BY Name", "COUNT() with GROUP BY or ORDER BY"),
        ("SELECT Id FROM Account WHERE " + "NOT " * 5_000 + "Name = 'a'", "nested this deeply"),
        ("SELECT Id FROM Account WHERE " + "NOT " * 100 + "Name = 'a'", "nested this deeply"),
        ("SELECT Id FROM Account WHERE Name LIKE '" + "%a" * 3_000 + "'", "a pattern this long"),
        # sObjects, fields and relationships that every org has
        ("SELECT Id FROM Lead", "Lead"),
        ("select id from permissionset", "PermissionSet"),
        ("SELECT Fax FROM Account", "Account.Fax"),
        ("SELECT Id FROM Contact WHERE OtherCity = 'x'", "Contact.OtherCity"),
        ("SELECT Owner.Profile.Name FROM Account", "User.Profile"),
        ("SELECT RecordType.Name FROM Case", "Case.RecordType"),
        ("SELECT Owner.Type FROM Case", "User.Type"),
        ("SELECT Id, (SELECT Id FROM Tasks) FROM Account", "Account.Tasks"),
    ],
)  # fmt: skip
def test_queries_beyond_the_stand_in_are_told_apart(signed_in: Caller, query: str, unknown: str):
    status, code, message = refusal(signed_in.query(query))

    assert (status, code) == (400, "STAND_IN_DOES_NOT_KNOW")
    assert message.startswith("This stand-in does not know ")
    assert unknown in message
    assert message.endswith('give the answer with org.answer("SELECT …", rows).')


def test_clauses_without_effect_here_are_obeyed(signed_in: Caller):
    plain = signed_in.rows("SELECT Name FROM Account LIMIT 3")

    assert signed_in.rows("SELECT Name FROM Account USING SCOPE everything LIMIT 3") == plain
    assert signed_in.rows("SELECT Name FROM Account LIMIT 3 FOR VIEW") == plain
    assert signed_in.rows("SELECT Name FROM Account LIMIT 3 FOR REFERENCE") == plain


def test_more_children_than_a_page_are_beyond_it(signed_in: Caller, org: Org):
    account_id = signed_in.call("POST", "sobjects/Account", json={"Name": "Many"}).json()["id"]
    org.store.add(
        schema.get("Contact"),
        [
            {"Id": record_id, "AccountId": account_id, "LastName": "Child"}
            for record_id in org.store.new_ids(schema.get("Contact"), 2_001)
        ],
    )
    query = "SELECT Id, (SELECT Id FROM Contacts{}) FROM Account WHERE Name = 'Many'"

    assert refusal(signed_in.query(query.format("")))[1] == "STAND_IN_DOES_NOT_KNOW"
    [row] = signed_in.rows(query.format(" LIMIT 2000"))
    assert row["Contacts"]["totalSize"] == 2_000


def test_answers_by_hand_are_the_way_out(signed_in: Caller, org: Org):
    org.answer("SELECT Id FROM Lead", [{"Id": "00Q000000000001"}])

    assert signed_in.rows("SELECT Id FROM Lead") == [{"Id": "00Q000000000001"}]


def test_records_beyond_the_stand_in_are_told_apart(signed_in: Caller):
    contact_id = signed_in.rows("SELECT Id FROM Contact LIMIT 1")[0]["Id"]

    for answer in (signed_in.get("sobjects/Lead/describe"), signed_in.get("sobjects/lead/00Q000000000001")):
        assert "This stand-in does not know" in refusal(answer)[2]
    read = signed_in.get(f"sobjects/Contact/{contact_id}", fields="LastName,Fax")
    written = signed_in.call("PATCH", f"sobjects/Contact/{contact_id}", json={"fax": "1"})
    for answer in (read, written):
        assert refusal(answer)[:2] == (400, "STAND_IN_DOES_NOT_KNOW")
        assert "does not know Contact.Fax" in refusal(answer)[2]
    unknown = signed_in.get(f"sobjects/Contact/{contact_id}", fields="Bacon__c")
    assert refusal(unknown)[1] == "INVALID_FIELD"
    assert refusal(signed_in.get("sobjects/Xyzzy/describe"))[2] == "The requested resource does not exist"


def test_nothing_is_both_there_and_lacking():
    for sobject in schema.SOBJECTS:
        assert standard.sobject(sobject.name) is None
        assert not [field.name for field in sobject.fields if standard.field(sobject.name, field.name)]
        for child, field in schema.SCHEMA.children_of(sobject):
            assert standard.children(sobject.name, field.children) is None, child

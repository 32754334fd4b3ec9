"""What a user may not see isn't there: in queries, descriptions and records alike."""

from __future__ import annotations

import pytest

from sf_integration.testing import Org
from sf_integration.testing.data import schema

from .conftest import Caller, refusal

SOME_CONTACT = "SELECT Id FROM Contact WHERE Email != null AND FirstName != null LIMIT 1"


@pytest.fixture
def contact_id(signed_in: Caller) -> str:
    return str(signed_in.rows(SOME_CONTACT)[0]["Id"])


def test_hidden_field_is_no_field(signed_in: Caller, org: Org, contact_id: str):
    org.user.hidden.add("contact.EMAIL")

    for query in (
        "SELECT Email FROM Contact",
        "SELECT Id FROM Contact WHERE Email != null",
        "SELECT Id FROM Contact ORDER BY Email",
        "SELECT COUNT(Email) FROM Contact",
        "SELECT Contact.Email FROM Case",
    ):
        code, message = refusal(signed_in.query(query))[1:]
        assert code == "INVALID_FIELD"
        assert "No such column 'Email' on entity 'Contact'." in message
    assert "Email" not in signed_in.rows("SELECT FIELDS(ALL) FROM Contact LIMIT 1")[0]
    described = signed_in.get("sobjects/Contact/describe").json()
    assert "Email" not in [field["name"] for field in described["fields"]]
    assert "Email" not in signed_in.get(f"sobjects/Contact/{contact_id}").json()
    path = f"sobjects/Contact/{contact_id}"
    assert refusal(signed_in.get(path, fields="Email"))[1] == "INVALID_FIELD"
    assert refusal(signed_in.call("PATCH", path, json={"Email": "a@b.example"}))[1] == "INVALID_FIELD"


def test_hidden_sobject_is_no_sobject(signed_in: Caller, org: Org, contact_id: str):
    org.user.hidden.add("contact")

    code, message = refusal(signed_in.query("SELECT Id FROM Contact"))[1:]
    assert (code, "sObject type 'Contact' is not supported." in message) == ("INVALID_TYPE", True)
    assert refusal(signed_in.query("SELECT (SELECT Id FROM Contacts) FROM Account"))[1] == "INVALID_TYPE"
    assert refusal(signed_in.query("SELECT Contact.Name FROM Case"))[1] == "INVALID_FIELD"
    assert (
        refusal(signed_in.query("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact)"))[1]
        == "INVALID_TYPE"
    )
    assert signed_in.rows("SELECT ContactId FROM Case LIMIT 1")
    listed = signed_in.get("sobjects").json()["sobjects"]
    assert "Contact" not in [entry["name"] for entry in listed]
    children = signed_in.get("sobjects/Account/describe").json()["childRelationships"]
    assert "Contact" not in [child["childSObject"] for child in children]
    for path in ("sobjects/Contact", "sobjects/Contact/describe", f"sobjects/Contact/{contact_id}"):
        assert refusal(signed_in.get(path))[:2] == (404, "NOT_FOUND")


def test_hidden_is_not_mistaken_for_unknown_to_the_stand_in(signed_in: Caller, org: Org):
    org.user.hidden.update({"Lead", "Account.Fax"})

    assert refusal(signed_in.query("SELECT Id FROM Lead"))[1] == "INVALID_TYPE"
    assert refusal(signed_in.query("SELECT Fax FROM Account"))[1] == "INVALID_FIELD"
    assert refusal(signed_in.get("sobjects/Lead/describe"))[2] == "The requested resource does not exist"


def test_others_see_what_one_may_not(signed_in: Caller, org: Org):
    other = org.add_user("other@nordhafen.example", hidden={"Account"})
    signed_in.sign_in(sub=other.username)
    assert refusal(signed_in.query("SELECT Id FROM Account"))[1] == "INVALID_TYPE"

    signed_in.sign_in()
    assert signed_in.rows("SELECT Id FROM Account LIMIT 1")


def test_name_is_made_of_hidden_fields_too(signed_in: Caller, org: Org, contact_id: str):
    first = signed_in.rows(f"SELECT FirstName FROM Contact WHERE Id = '{contact_id}'")[0]["FirstName"]
    org.user.hidden.add("Contact.FirstName")

    signed_in.call("PATCH", f"sobjects/Contact/{contact_id}", json={"LastName": "Renamed"})
    assert signed_in.rows(f"SELECT Name FROM Contact WHERE Id = '{contact_id}'") == [
        {"Name": f"{first} Renamed"}
    ]


def test_address_is_seen_whole_or_not_at_all():
    for hidden in ({"Account.BillingAddress"}, {"Account.BillingCity"}):
        fields = schema.visible(hidden).get("Account").by_name
        assert "billingaddress" not in fields
        assert "billingcity" not in fields
    assert "billingstreet" not in schema.visible({"Account.BillingAddress"}).get("Account").by_name


def test_what_nobody_can_do_without_is_always_seen():
    hidden = {"Contact.Id", "Contact.LastName", "Contact.IsDeleted", "Contact.SystemModstamp"}

    assert schema.visible(hidden).get("Contact").fields == schema.get("Contact").fields


def test_without_secrets_the_schema_is_the_same():
    assert schema.visible(set()) is schema.SCHEMA
    assert schema.visible({"Account"}).find("Account") is None
    assert schema.SCHEMA.find("account") is schema.get("Account")

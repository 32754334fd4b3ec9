"""The org's records: the same for the same seed, as many as wanted, and true to the org's users."""

from __future__ import annotations

import gc
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sf_integration.testing import Org, ids, soql
from sf_integration.testing.data import company, schema
from sf_integration.testing.data.store import Store

from .conftest import Caller

FILLED = ("Account", "Contact", "Opportunity", "Case")


def dump(store: Store, name: str) -> list[tuple[Any, ...]]:
    return store.rows(f'SELECT * FROM "{name}" ORDER BY rowid')


def test_same_seed_makes_the_same_company():
    one, twin, other = company.demo_store("a"), company.demo_store("a"), company.demo_store("b")
    for store in (one, twin, other):
        company.fill(store, "Contact", 50, seed="more")

    for name in FILLED:
        assert dump(one, name) == dump(twin, name)
        assert dump(one, name) != dump(other, name)


def test_stores_are_ones_own():
    one = company.demo_store()
    company.fill(one, "Account", 1)

    assert company.demo_store().count(schema.get("Account")) == one.count(schema.get("Account")) - 1


@pytest.mark.parametrize("name", FILLED)
def test_filled_records_are_as_believable_as_the_first(name: str):
    store = company.demo_store()
    sobject = schema.get(name)
    before = store.count(sobject)

    company.fill(store, name.lower(), 500)
    company.fill(store, name, 500)

    records = [
        dict(zip([field.name for field in sobject.columns], row, strict=True)) for row in dump(store, name)
    ]
    assert len(records) == before + 1_000
    record_ids = [record["Id"] for record in records]
    assert len(set(record_ids)) == len(records)
    assert all(
        ids.is_well_formed(record_id) and record_id.startswith(sobject.prefix) for record_id in record_ids
    )
    for record in records:
        assert record["CreatedDate"] <= record["LastModifiedDate"]
        assert record["OwnerId"] == company.FIRST_USER_ID
        for field in sobject.columns:
            value = record[field.name]
            assert value is not None or not field.required
            assert not field.options or value is None or value in field.options
            assert not (field.length and value) or len(value) <= field.length


def test_two_fillings_are_not_the_same_people():
    store = company.demo_store()
    before = store.count(schema.get("Contact"))
    company.fill(store, "Contact", 30)
    company.fill(store, "Contact", 30)

    people = [name for (name,) in store.rows('SELECT "Name" FROM "Contact" ORDER BY rowid')][before:]
    assert people[:30] != people[30:]


def test_references_lead_somewhere():
    store = company.demo_store()
    for name in FILLED:
        company.fill(store, name, 200)

    for name in FILLED:
        for field in schema.get(name).fields:
            if field.target not in ("", "User"):
                lost = f'SELECT COUNT(*) FROM "{name}" WHERE "{field.name}" NOT IN (SELECT "Id" FROM "{field.target}")'
                assert store.rows(lost) == [(0,)]


@pytest.mark.parametrize(("name", "count"), [("Lead", 1), ("User", 1), ("Organization", 1), ("Contact", -1)])
def test_what_cannot_be_made_up_is_told(name: str, count: int):
    with pytest.raises(ValueError, match=r"made up|negative"):
        company.fill(company.demo_store(), name, count)


def test_empty_store_can_be_filled():
    store = Store()
    for name in reversed(FILLED):
        company.fill(store, name, 10)

    assert [store.count(schema.get(name)) for name in FILLED] == [10] * 4


def test_state_of_a_user_shows_in_its_record(signed_in: Caller, org: Org):
    colleague = org.add_user("colleague@nordhafen.example", first_name="Ada")
    query = f"SELECT IsActive, Name, Email FROM User WHERE Id = '{colleague.id}'"
    assert signed_in.rows(query)[0]["IsActive"] is True

    colleague.active, colleague.last_name, colleague.email = False, "Lovelace", "ada@nordhafen.example"

    changed = {"IsActive": False, "Name": "Ada Lovelace", "Email": "ada@nordhafen.example"}
    assert signed_in.rows(query) == [changed]
    record = signed_in.get(f"sobjects/User/{colleague.id}").json()
    assert changed.items() <= record.items()


def test_failed_insert_leaves_nothing_behind():
    store = Store()
    account = schema.get("Account")
    record_id = ids.numbered("001", 1)

    with pytest.raises(Exception, match="UNIQUE"):
        store.add(account, [{"Id": record_id, "Name": "a"}, {"Id": record_id, "Name": "b"}])

    assert store.count(account) == 0
    store.add(account, [{"Id": record_id, "Name": "a"}])
    assert store.count(account) == 1


def test_store_nobody_needs_is_closed():
    store = company.demo_store()
    connection = store._connection
    del store
    gc.collect()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_what_is_undone_is_never_seen(signed_in: Caller, org: Org):
    """Others ask and write while composites come to nothing."""
    parts = [
        {"method": "POST", "url": f"/services/data/v67.0/sobjects/{name}", "referenceId": name, "body": body}
        for name, body in (("Account", {"Name": "Ghost"}), ("Contact", {"FirstName": "No last name"}))
    ]

    def call(number: int) -> int:
        caller = Caller(org)
        caller.token = signed_in.token
        with caller.http:
            if number % 3 == 0:
                caller.call("POST", "composite", json={"allOrNone": True, "compositeRequest": parts})
            if number % 3 == 1:
                caller.call("POST", "sobjects/Account", json={"Name": "Real"})
            return len(caller.rows("SELECT Id FROM Account WHERE Name = 'Ghost'"))

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(call, range(90))) == {0}
    assert len(org.query("SELECT Id FROM Account WHERE Name = 'Real'")) == 30


def test_many_may_ask_while_others_write():
    store = company.demo_store()

    def ask(number: int) -> int:
        if number % 8 == 0:
            company.fill(store, "Case", 5)
        found = soql.run(store, "SELECT Id, Account.Name FROM Contact ORDER BY Name LIMIT 20", base_path="")
        return len(found.records[:])

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(ask, range(128))) == {20}
    assert store.count(schema.get("Case")) == company.CASES + 80


def test_records_are_arranged_and_looked_at(signed_in: Caller, org: Org):
    account_id = org.add_record("Account", Name="Nordlicht", ERP_Number__c="a/b c")
    signed_in.call("POST", "sobjects/Contact", json={"LastName": "Lind", "AccountId": account_id})
    assert (
        org.query(f"SELECT LastName, Account.Name FROM Contact WHERE AccountId = '{account_id}'")[0][
            "LastName"
        ]
        == "Lind"
    )
    # A value in a path may hold what paths are made of.
    assert signed_in.get("sobjects/Account/ERP_Number__c/a%2Fb%20c").json()["Id"] == account_id
    assert org.api_used == 2


@pytest.mark.parametrize(
    ("sobject", "values", "said"),
    [
        ("Account", {}, "Required fields are missing: [Name]"),
        ("Account", {"Name": "A", "Bacon__c": 1}, "No such column 'Bacon__c'"),
        ("Xyzzy", {}, "NOT_FOUND"),
    ],
)
def test_impossible_records_are_told(org: Org, sobject: str, values: dict[str, object], said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        org.add_record(sobject, **values)


def test_impossible_queries_are_told(org: Org):
    with pytest.raises(ValueError, match="sObject type 'Xyzzy' is not supported"):
        org.query("SELECT Id FROM Xyzzy")


def test_locators_are_forgotten_when_idle(signed_in: Caller, org: Org):
    more = signed_in.query("SELECT Id FROM Contact").json()["nextRecordsUrl"]
    assert signed_in.get(more).status_code == 200
    org.cursor_seconds = -1
    assert signed_in.get(more).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_new_records_carry_the_time_of_the_org(org: Org):
    org.clock_offset_seconds = 400 * 86_400
    org.add_record("Account", Name="Later")
    assert org.query("SELECT Name FROM Account WHERE CreatedDate = TODAY") == [{"Name": "Later"}]


def test_records_looked_at_are_bare_through_and_through(org: Org):
    account_id = org.add_record("Account", Name="A")
    org.add_record("Contact", LastName="B", AccountId=account_id)

    query = (
        f"SELECT Name, (SELECT LastName, Account.Name FROM Contacts) FROM Account WHERE Id = '{account_id}'"
    )
    assert org.query(query) == [
        {
            "Name": "A",
            "Contacts": {
                "totalSize": 1,
                "done": True,
                "records": [{"LastName": "B", "Account": {"Name": "A"}}],
            },
        }
    ]


def test_users_looked_at_are_as_they_are_now(org: Org):
    org.user.active = False

    assert org.query("SELECT IsActive FROM User") == [{"IsActive": False}]


def test_bare_count_has_no_records_to_look_at(org: Org):
    with pytest.raises(ValueError, match=r"ask for COUNT\(Id\)"):
        org.query("SELECT COUNT() FROM Account")


def test_a_username_is_there_once(org: Org):
    with pytest.raises(ValueError, match="there is a user INTEGRATION@nordhafen"):
        org.add_user("INTEGRATION@nordhafen.example")
    assert org.find_user("integration@nordhafen.example") is org.user

"""What people ask an org: whose token it is, a record, a query, a file of rows."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.cache import CacheKeyWarning, cache
from django.test import AsyncClient, Client

from sf_integration.models import AuditEvent, ConnectedApp, RecentLookup
from sf_integration.services import describes, lookups, queries
from sf_integration.testing.django import ConnectableOrg

from .browser.watching import browser
from .test_views import ACCOUNT, alice, groups, person, text_of

__all__ = ["alice", "groups"]
pytestmark = pytest.mark.django_db(transaction=True)

DATA = "/services/data/v67.0"


@pytest.fixture
def org(salesforce_org: ConnectableOrg) -> ConnectableOrg:
    salesforce_org.connect("acme")
    return salesforce_org


def look_up(client: Client, record: str, sobject: str = "", **more: Any) -> tuple[int, str, str]:
    response = client.post("/connections/acme/record/", {"sobject": sobject, "record": record, **more})
    html = response.content.decode()
    return response.status_code, text_of(html), html


def ask(client: Client, soql: str, **more: object) -> tuple[int, str, str]:
    response = client.post("/connections/acme/query/", {"soql": soql, **more})
    html = response.content.decode()
    return response.status_code, text_of(html), html


def calls(org: ConnectableOrg) -> list[str]:
    return [
        request.path.removeprefix(DATA) for request in org.requests if request.path.startswith(DATA + "/")
    ]


# ---- identity -------------------------------------------------------------------------------------------------------


def test_identity_is_compared_with_what_is_expected(org: ConnectableOrg, alice: Client) -> None:
    alice.post("/connections/acme/check/")
    told = text_of(alice.post("/connections/acme/identity/").content.decode())
    assert org.user.username in told
    assert org.id in told
    assert told.count("as expected") == 2


# ---- records: how they are found -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        ACCOUNT,
        ACCOUNT[:15],
        f"https://acme.lightning.force.com/lightning/r/Account/{ACCOUNT}/view?ws=%2Flightning%2Fr%2FCase%2F500Dn00000Gi7HJIAZ",
        f"https://elsewhere.example/{ACCOUNT[:15]}",
    ],
)
def test_record_is_found_by_id_and_by_address_of_whatever_host(
    org: ConnectableOrg, alice: Client, record: str
) -> None:
    status, told, _ = look_up(alice, record, fields=["AccountNumber", "Name"])
    assert status == 200
    assert "Account Number AccountNumber NH-10000" in told
    assert "Industry Industry" not in told.partition("The org")[2]
    assert f"/sobjects/Account/{ACCOUNT}" in calls(org)
    event = AuditEvent.objects.get(act="looked up")
    assert (event.actor, event.subject, event.fields) == ("alice", "acme", ["Account"])


def test_id_counts_more_than_the_object_named_beside_it(org: ConnectableOrg, alice: Client) -> None:
    _, told, _ = look_up(alice, ACCOUNT, "Contact")
    assert "You asked for Contact; this id is of Account." in told


def test_object_may_be_named_by_its_label(org: ConnectableOrg, alice: Client) -> None:
    described = {
        "name": "Grinder_Visit__c",
        "label": "Grinder visit",
        "keyPrefix": "a0X",
        "fields": [{"name": "Name", "label": "Visit", "type": "string", "nameField": True}],
    }
    org.answer_path(f"{DATA}/sobjects", {"sobjects": [described]})
    org.answer_path(f"{DATA}/sobjects/Grinder_Visit__c/describe", described)
    org.answer(
        "SELECT Id, Name FROM Grinder_Visit__c WHERE Name LIKE '%V-1%' ORDER BY Name LIMIT 26",
        [{"Id": f"a0X00000000000{n}AAA", "Name": f"V-1{n}"} for n in range(2)],
    )
    _, told, _ = look_up(alice, "V-1", "grinder VISIT")
    assert "Grinder visit: 2 with “V-1” in the name" in told
    _, told, _ = look_up(alice, "V-1", "Grindr visit")
    assert "No object is called “Grindr visit”. Did you mean Grinder_Visit__c?" in told


def test_search_takes_every_sign_as_itself(org: ConnectableOrg, alice: Client) -> None:
    names = ("100% Robusta", "a_b", "O'Sullivan\\", '"Crema"', "x' OR Name != '", "PRODUCT20240001")
    for name in (*names, "1000 Robusta", "aXb", "O''Sullivan"):
        org.add_record("Account", Name=name)
    for name in names:
        look_up(alice, f'"{name}"', "Account")
        found = RecentLookup.objects.latest("at").record_id  # one hit is shown at once
        assert org.query(f"SELECT Name FROM Account WHERE Id = '{found}'") == [{"Name": name}]


def test_many_hits_are_a_list_to_choose_from(org: ConnectableOrg, alice: Client) -> None:
    for number in range(lookups.MOST_HITS + 3):
        org.add_record("Account", Name=f"Roastery {number:02}")
    _, told, html = look_up(alice, "roastery", "Account")
    assert "Account: the first 25 with “roastery” in the name" in told
    assert "Roastery 24" in told
    assert "Roastery 25" not in told
    found = re.search(r'name="record" value="(\w{18})">Roastery 07<', html)
    assert found
    assert "Name Roastery 07" in look_up(alice, found[1])[1]


@pytest.mark.parametrize(
    ("path", "answer", "record"),
    [
        (f"/sobjects/Account/{ACCOUNT}", {"attributes": "x", "Name": "y"}, ACCOUNT),
        ("/query", {"records": [{"Name": "x"}], "totalSize": 1}, "Some"),
    ],
)
def test_answers_of_another_form_break_no_page(
    org: ConnectableOrg, alice: Client, path: str, answer: dict[str, Any], record: str
) -> None:
    org.answer_path(f"{DATA}{path}", answer)
    status, told, _ = look_up(alice, record, "Account")
    assert "Look up a record" in told
    assert status < 500


def test_a_refusal_that_passes_by_itself_keeps_its_explanation(org: ConnectableOrg, alice: Client) -> None:
    org.fail("rest_error", times=None, where=DATA, status=403, code="REQUEST_LIMIT_EXCEEDED", message="x")
    told = look_up(alice, ACCOUNT, "Account")[1]
    assert "has used up a limit" in told
    assert "It frees up hour by hour" in told


def test_nothing_found_by_name_is_told(org: ConnectableOrg, alice: Client) -> None:
    assert "No Account has “nosuch” in its name" in look_up(alice, "nosuch", "Account")[1]


@pytest.mark.parametrize(
    ("record", "sobject", "sentence"),
    [
        ("001Dn00000Gi7HJIA", "Account", "it has 17 characters"),
        ("001Dn00000Gi7HJIAX", "Account", "its last three characters should be IAZ"),
        ("https://acme.my.salesforce.com/home", "Account", "This address holds no record id"),
        ("Nordhafen", "", "Name the object to search in"),
        ("", "Account", "This field is required."),
    ],
)
def test_what_cannot_be_looked_up_is_refused_without_a_call(
    org: ConnectableOrg, alice: Client, record: str, sobject: str, sentence: str
) -> None:
    status, told, html = look_up(alice, record, sobject)
    assert status == 422
    assert sentence in told
    assert f'value="{record}"' in html or not record
    assert not org.requests
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("record", "sobject", "cause"),
    [
        ("001000000000001AAA", "Account", "There is no such record"),
        ("Xyzzy", "Nonsense", "There is no such object"),
        ("Xyzzy", "../limits", "There is no such object"),
        ("zzz000000000001", "", "ids that begin with “zzz”"),
    ],
)
def test_what_is_not_there_is_told_and_the_input_kept(
    org: ConnectableOrg, alice: Client, record: str, sobject: str, cause: str
) -> None:
    status, told, html = look_up(alice, record, sobject)
    assert status == 422
    assert cause in told
    assert f'value="{record}"' in html
    assert not any("limits" in path for path in calls(org))


def test_object_hidden_from_the_user_is_told_as_such(org: ConnectableOrg, alice: Client) -> None:
    org.user.hidden = {"Contact", "Account.Industry"}
    status, told, _ = look_up(alice, "Müller", "Contact")
    assert (status, "There is no such object, or the user may not see it." in told) == (422, True)
    assert "Industry" not in look_up(alice, ACCOUNT)[1]


# ---- records: how they are shown -------------------------------------------------------------------------------------

FIELDS = {
    "Name": ("string", "Grinder <b>7</b>", "Grinder &lt;b&gt;7&lt;/b&gt;"),
    "Count__c": ("int", 12345, "12,345"),
    "Weight__c": ("double", 1234.5, "1,234.500"),
    "Price__c": ("currency", -1234567.5, '-1,234,567.500 <span class="sf-quiet">EUR</span>'),
    "Share__c": ("percent", 12.5, "12.500000000000000000\N{NO-BREAK SPACE}%"),
    "Sold__c": ("boolean", True, "yes"),
    "Day__c": ("date", "2026-01-31", '<time datetime="2026-01-31">31 Jan 2026</time>'),
    "Moment__c": ("datetime", "2026-07-01T02:30:00.000+0000", "30 Jun 2026, 22:30:00 EDT"),
    "Opens__c": ("time", "08:30:00.000Z", "08:30:00"),
    "Kind__c": ("picklist", "b", 'Burr <span class="sf-quiet">b</span>'),
    "Kinds__c": ("multipicklist", "b;c", "Burr · c"),
    "Site__c": ("url", "www.grind.example/a?b=1", 'href="https://www.grind.example/a?b=1" target="_blank" rel="noopener'),
    "Trap__c": ("url", "javascript:alert(1)", "<td>javascript:alert(1)"),
    "Mail__c": ("email", "a@b.example", 'href="mailto:a@b.example"'),
    "Mails__c": ("email", "a@b.example?bcc=x@y.example", "<td>a@b.example?bcc=x@y.example"),
    "Phone__c": ("phone", "+49 (431) 123", 'href="tel:+49431123"'),
    "Call__c": ("phone", "ask Anna", "<td>ask Anna"),
    "Place__c": ("location", {"latitude": 54.3233, "longitude": 10.1228}, "54.32330, 10.12280"),
    "Address__c": (
        "address",
        {"street": "Kai 3\nHaus B", "city": "Kiel", "postalCode": "24103", "country": "Germany", "state": None},
        "Kai 3\nHaus B\n24103 Kiel\nGermany",
    ),
    "Note__c": ("html", "<p>One &amp; two</p><script>x</script><p>three</p>", "One &amp; two\nx"),
    "Torn__c": ("html", "<b" * 99, "&lt;b&lt;b"),
    "Photo__c": ("base64", f"{DATA}/sobjects/Grinder__c/a00000000000001AAA/Photo__c", "a file, not shown"),
    "Blank__c": ("string", " " * 400, '<span class="sf-long">   '),
    "Odd__c": ("date", "not a date", "<td>not a date"),
    "Odder__c": ("double", "12 or so", "<td>12 or so"),
}  # fmt: skip


def test_each_type_is_shown_as_what_it_is(org: ConnectableOrg, alice: Client) -> None:
    fields = [
        {
            "name": name,
            "label": name.removesuffix("__c"),
            "type": "textarea" if kind == "html" else kind,
            "scale": 3 if kind != "percent" else 10**9,
            "htmlFormatted": kind == "html",
            "nameField": name == "Name",
            "picklistValues": [{"value": "b", "label": "Burr"}, {"value": "c", "label": "c"}],
        }
        for name, (kind, *_) in FIELDS.items()
    ]
    fields.append({"name": "CurrencyIsoCode", "label": "Currency", "type": "picklist"})
    path = f"{DATA}/sobjects/Grinder__c"
    org.answer_path(
        f"{path}/describe", {"name": "Grinder__c", "label": "Grinder", "keyPrefix": "a00", "fields": fields}
    )
    record = {name: value for name, (_, value, _) in FIELDS.items()}
    org.answer_path(
        f"{path}/a00000000000001AAA",
        record | {"attributes": {"type": "Grinder__c"}, "CurrencyIsoCode": "EUR"},
    )
    alice.cookies["sf_timezone"] = "America/New_York"
    status, _, html = look_up(alice, "a00000000000001", "Grinder__c")
    assert status == 200
    table = html.partition('id="found"')[2]
    for name, (_, _, shown) in FIELDS.items():
        line = table.partition(f"<code>{name}</code>" if name != "Name" else '<th scope="row">Name<')[
            2
        ].partition("</tr>")[0]
        assert shown in line, name
    assert "<script>x" not in html


def test_empty_fields_are_out_of_the_way_and_parts_are_seen_in_the_whole(
    org: ConnectableOrg, alice: Client
) -> None:
    record = org.add_record("Account", Name="Sparse", BillingCity="Kiel")
    _, told, html = look_up(alice, record)
    assert "Billing Address BillingAddress Kiel" in told
    assert "Billing City" not in told.partition("1 API call")[2].partition("empty fields")[0]
    assert re.search(
        r"<details[^>]*><summary>\d+ empty fields</summary>.*<code>Industry</code>", html, re.DOTALL
    )
    _, told, _ = look_up(alice, record, "Account", fields=["Industry"], fields_of="Account")
    assert "Industry empty" in told.replace("— ", "")


def test_related_records_lead_on_by_their_names(org: ConnectableOrg, alice: Client) -> None:
    contact = org.query("SELECT Id, AccountId, Account.Name FROM Contact WHERE AccountId != NULL LIMIT 1")[0]
    _, _, html = look_up(alice, contact["Id"])
    button = re.search(r'<button[^>]*form="follow" name="record" value="(\w+)">([^<]+) <code>', html)
    assert button
    assert button[1] == contact["AccountId"]
    assert button[2].replace("&#x27;", "'") == contact["Account"]["Name"]
    assert look_up(alice, button[1])[0] == 200


def test_record_is_shown_without_the_names_that_could_not_be_had(org: ConnectableOrg, alice: Client) -> None:
    assert look_up(alice, ACCOUNT)[0] == 200
    org.fail("garbage", times=None, where=f"{DATA}/query")
    status, told, html = look_up(alice, ACCOUNT)
    assert (status, "Integration User" in told) == (200, False)
    assert f'value="{org.user.id}"' in html


def test_page_of_a_record_in_salesforce_is_that_of_lightning() -> None:
    url = "https://acme--uat.sandbox.my.salesforce.com"
    lightning = "https://acme--uat.sandbox.lightning.force.com"
    assert lookups.record_url(url, "Case", "500x") == f"{lightning}/lightning/r/Case/500x/view"
    assert lookups.record_url("http://127.0.0.1:8001", "Case", "500x") == ""


# ---- what is kept ----------------------------------------------------------------------------------------------------


def test_fields_are_described_once_an_hour_for_each_connection_and_user(
    org: ConnectableOrg, alice: Client
) -> None:
    def described() -> int:
        return calls(org).count("/sobjects/Account/describe")

    look_up(alice, ACCOUNT, "Account")
    look_up(alice, ACCOUNT, "Account")
    ask(alice, "SELECT Id FROM Account LIMIT 1")
    assert described() == 1
    org.connect("other")
    alice.post("/connections/other/record/", {"sobject": "Account", "record": ACCOUNT})
    assert described() == 2
    org.add_user("ops@acme.example")
    ConnectedApp.objects.filter(name="acme").update(username="ops@acme.example")
    look_up(alice, ACCOUNT, "Account")
    assert described() == 3


def test_what_is_kept_names_no_secret(org: ConnectableOrg) -> None:
    connection = ConnectedApp.objects.get(name="acme")
    key = describes.Describes(connection)._prefix
    assert connection.consumer_key not in key
    assert connection.username not in key


def test_without_its_cache_the_page_asks_the_org(
    org: ConnectableOrg, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise ConnectionError("redis://user:password@cache")

    monkeypatch.setattr(type(cache._connections[cache._alias]), "get", down)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(cache._connections[cache._alias]), "set", down)  # type: ignore[attr-defined]
    assert look_up(alice, ACCOUNT, "Account")[0] == 200


def test_no_object_s_name_is_too_long_for_the_cache(
    org: ConnectableOrg, alice: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CacheKeyWarning)
        alice.post("/connections/acme/record/", {"do": "objects", "sobject": "a" * 300})
    assert "The cache could not be read" not in caplog.text


def test_pickers_are_filled_by_a_button_and_kept_for_the_next_page(
    org: ConnectableOrg, alice: Client
) -> None:
    before = alice.get("/connections/acme/record/").content.decode()
    assert "<datalist" not in before
    _, told, html = look_up(alice, "", do="objects")
    assert "6 objects are known now" in told
    assert '<option value="Opportunity">Opportunity</option>' in html
    _, told, html = look_up(alice, "", "Account", do="fields")
    assert "Annual Revenue AnnualRevenue currency" in told
    assert "Owner Id OwnerId lookup to User" in told
    _, _, html = look_up(alice, ACCOUNT, "Account", fields=["Name", "Phone"], fields_of="Account")
    assert re.findall(r'value="(\w+)" checked', html) == ["Name", "Phone"]
    html = alice.post(
        "/connections/acme/record/", {"do": "fields", "sobject": "account", "fields": ["OwnerId", "Name"]}
    )
    assert set(re.findall(r'value="(\w+)" checked', html.content.decode())) == {"OwnerId", "Name"}
    asked = len(org.requests)
    assert "<datalist" in alice.get("/connections/acme/record/").content.decode()
    assert len(org.requests) == asked


def test_ticked_fields_of_one_object_are_not_asked_of_another(org: ConnectableOrg, alice: Client) -> None:
    case = org.query("SELECT Id FROM Case LIMIT 1")[0]["Id"]
    status, told, _ = look_up(alice, case, "Case", fields=["Industry"], fields_of="Account")
    assert status == 200
    assert "CaseNumber" in told


def test_recent_lookups_are_ten_and_each_persons_own(org: ConnectableOrg, alice: Client) -> None:
    found = [row["Id"] for row in org.query("SELECT Id FROM Contact LIMIT 12")]
    for record in [*found, found[5]]:
        look_up(alice, record, "Contact", fields=["Name"])
    html = alice.get("/connections/acme/record/").content.decode()
    assert re.findall(r'form="follow" name="record" value="(\w+)"', html) == [
        found[5],
        *[record for record in reversed(found[2:]) if record != found[5]],
    ]
    assert RecentLookup.objects.count() == 10
    assert found[5] not in person("bob", "operate").get("/connections/acme/record/").content.decode()


# ---- SOQL ------------------------------------------------------------------------------------------------------------


def test_query_spreads_related_records_and_nests_child_queries(org: ConnectableOrg, alice: Client) -> None:
    soql = f"SELECT name, Owner.Name, AnnualRevenue, (SELECT LastName FROM Contacts LIMIT 2) FROM Account WHERE Id = '{ACCOUNT}'"
    status, told, html = ask(alice, soql)
    assert status == 200
    assert "1 row" in told
    headings = [text_of(found).strip() for found in re.findall(r"<th scope=.col[^>]*>(.*?)</th>", html)]
    assert headings == [
        "Row",
        "Name",
        "Owner.Name Name",
        "AnnualRevenue Annual Revenue",
        "Contacts",
        "LastName Last Name",
    ]
    assert AuditEvent.objects.get(act="looked up").fields == ["Account", "Contacts"]


def test_aggregates_are_called_as_the_query_has_them(org: ConnectableOrg, alice: Client) -> None:
    soql = "SELECT Industry, COUNT(Id), MAX(AnnualRevenue) best FROM Account GROUP BY Industry"
    _, told, _ = ask(alice, soql)
    assert "Row Industry COUNT(Id) best MAX(AnnualRevenue) 1" in told
    assert re.search(r"Technology \d+ \d+,\d{3},\d{3}\.00", told)


def test_query_count_without_rows_is_told(org: ConnectableOrg, alice: Client) -> None:
    status, told, _ = ask(alice, "SELECT COUNT() FROM Contact")
    assert (status, "2,500 rows" in told, "Counted only" in told) == (200, True, True)


def test_query_goes_on_to_the_next_page(org: ConnectableOrg, alice: Client) -> None:
    soql = "SELECT Id FROM Contact"
    _, told, html = ask(alice, soql)
    assert "2,500 rows rows 1 to 2,000" in told
    found = re.search(r'name="next_path" value="([^"]+)"', html)
    assert found
    _, told, html = ask(alice, soql, next_path=found[1], before=2000)
    assert "rows 2,001 to 2,500" in told
    assert "next_path" not in html


def test_child_query_goes_on_to_its_own_next_page(org: ConnectableOrg, alice: Client) -> None:
    children = {
        "totalSize": 3,
        "done": False,
        "nextRecordsUrl": f"{DATA}/query/01gDn0000000001AAA-2",
        "records": [{"attributes": {"type": "Contact"}, "LastName": name} for name in ("One", "Two")],
    }
    soql = "SELECT Name, (SELECT LastName FROM Contacts) FROM Account"
    org.answer(soql, [{"Name": "Big", "Contacts": children}])
    rest = {"attributes": {"type": "Contact"}, "LastName": "=Three"}
    org.answer_path(children["nextRecordsUrl"], {"totalSize": 3, "done": True, "records": [rest]})  # type: ignore[arg-type]
    html = ask(alice, soql)[2]
    found = re.search(
        r'name="next_path" value="([^"]+)">\s*<input type="hidden" name="before" value="2"', html
    )
    assert found
    assert "3 rows rows 3 to 3" in ask(alice, soql, next_path=found[1], before=2)[1]
    whole = json.loads(download(alice, soql, "json")[1])
    assert [child["LastName"] for child in whole["records"][0]["Contacts"]] == ["One", "Two", "=Three"]


def test_child_rows_of_one_record_have_an_end(
    org: ConnectableOrg, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_ROWS", 30)
    path = f"{DATA}/query/01gDn0000000001AAA-2"
    page = {
        "totalSize": 90,
        "done": False,
        "nextRecordsUrl": path,
        "records": [{"attributes": {"type": "Contact"}, "LastName": "Again"}] * 20,
    }
    soql = "SELECT Name, (SELECT LastName FROM Contacts) FROM Account"
    org.answer(soql, [{"Name": "Big", "Contacts": page}])
    org.answer_path(path, page)  # it leads to itself
    found = json.loads(download(alice, soql, "json")[1])
    assert (found["complete"], "more than 30 rows of a child query" in found["why"]) == (False, True)
    assert len(calls(org)) < 6


@pytest.mark.parametrize("path", ["https://elsewhere.example/", "/services/data/v67.0/limits", "/../x"])
def test_next_page_leads_to_query_pages_only(org: ConnectableOrg, alice: Client, path: str) -> None:
    status, told, _ = ask(alice, "SELECT Id FROM Contact", next_path=path, before=1)
    assert status == 422
    assert "not the path of a further query page" in told


@pytest.mark.parametrize(
    ("soql", "place", "marked"),
    [
        ("SELECT Id\r\nFROM Account\r\nWHERE Nmae = 'x'", "Line 3, column 7", "WHERE <mark>Nmae</mark> = "),
        ("SELECT Id FROM Account WHERE", "Line 1, column", "<mark>"),
        ("SELECT Id FROM Account\nWHERE Name = 'x", "Line 2, column 14", "Name = <mark>&#x27;</mark>x"),
    ],
)
@pytest.mark.parametrize("path", ["query/", "query/rows.csv"])
def test_mistake_is_shown_at_its_place(
    org: ConnectableOrg, alice: Client, soql: str, place: str, marked: str, path: str
) -> None:
    response = alice.post(f"/connections/acme/{path}", {"soql": soql})
    html = response.content.decode()
    assert response.status_code == 422
    assert place in html
    assert marked in html
    assert "What to do" in html
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    "soql", ["DELETE FROM Account", "FIND {x} IN ALL FIELDS", "", "UPDATE Account SET Name = 'x'"]
)
@pytest.mark.parametrize("path", ["query/", "query/rows.json"])
def test_only_select_is_taken(org: ConnectableOrg, alice: Client, soql: str, path: str) -> None:
    assert alice.post(f"/connections/acme/{path}", {"soql": soql}).status_code == 422
    assert not org.requests


def test_place_of_a_mistake_is_that_in_the_box(org: ConnectableOrg, alice: Client) -> None:
    _, _, html = ask(alice, "\r\n\r\n  SELECT Nmae FROM Account")
    box = html.partition("<textarea")[2].partition(">")[2].partition("<")[0].removeprefix("\n")
    found = re.search(r'data-sf-place="(\d+)"', html)
    assert found
    assert box[int(found[1]) :].startswith("Nmae")


def test_texts_of_a_query_are_not_audited(org: ConnectableOrg, alice: Client) -> None:
    ask(alice, "SELECT Id FROM Account WHERE Name = 'from Smith\\' from Jones'")
    assert AuditEvent.objects.get(act="looked up").fields == ["Account"]


# ---- files -----------------------------------------------------------------------------------------------------------


def download(client: Client, soql: str, kind: str) -> tuple[Any, str]:
    response = client.post(f"/connections/acme/query/rows.{kind}", {"soql": soql})
    assert response.status_code == 200
    return response, b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]


def test_file_is_written_while_its_rows_come(org: ConnectableOrg, alice: Client) -> None:
    org.add_records("Contact", 7_500)
    response = alice.post("/connections/acme/query/rows.csv", {"soql": "SELECT Id, LastName FROM Contact"})
    parts = iter(response.streaming_content)  # type: ignore[attr-defined]
    assert next(parts) == b"Id,LastName\r\n"
    assert len(next(parts).splitlines()) < 2_000
    assert len(calls(org)) == 1
    assert sum(len(part.splitlines()) for part in parts) > 9_000
    assert len(calls(org)) == 5
    assert "no-store" in response["Cache-Control"]
    assert re.fullmatch(
        r'attachment; filename="acme-Contact-\d{8}T\d{6}Z.csv"', response["Content-Disposition"]
    )
    assert AuditEvent.objects.get().act == "downloaded"
    assert "Records downloaded" in text_of(
        alice.get("/connections/acme/timeline/?kind=uses").content.decode()
    )


def test_file_is_written_while_its_rows_come_under_asgi_too(org: ConnectableOrg, alice: Client) -> None:
    client = AsyncClient()
    client.cookies = alice.cookies

    async def first_and_last() -> tuple[bytes, int, bytes]:
        soql = {"soql": "SELECT Id FROM Contact"}
        parts = aiter(await client.post("/connections/acme/query/rows.json", soql))  # type: ignore[arg-type]
        return await anext(parts), len(calls(org)), b"".join([part async for part in parts])

    first, asked, rest = async_to_sync(first_and_last)()
    assert asked == 1
    assert json.loads(first + rest)["rows"] == 2_500


def test_file_says_that_it_is_not_the_whole(
    org: ConnectableOrg, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_ROWS", 2_100)
    response, text = download(alice, "SELECT Id FROM Contact", "csv")
    lines = text.splitlines()
    assert (len(lines), lines[-1]) == (2_102, "# Only the first 2100 of 2500 rows: a file holds no more.")
    assert "first-2100" in response["Content-Disposition"]
    assert response["X-Total-Rows"] == "2500"
    found = json.loads(download(alice, "SELECT Id FROM Contact", "json")[1])
    assert (len(found["records"]), found["complete"]) == (2_100, False)
    assert "Only the first 2100" in found["why"]


def test_file_tells_of_columns_that_came_too_late(org: ConnectableOrg, alice: Client) -> None:
    rows = [
        {"What": {"attributes": {"type": kind}, name: "x"}}
        for kind, name in (("Account", "Phone"), ("Case", "Number"))
    ]
    path = f"{DATA}/query/01gDn0000000001AAA-1"
    org.answer_path(
        f"{DATA}/query", {"totalSize": 2, "done": False, "nextRecordsUrl": path, "records": rows[:1]}
    )
    org.answer_path(path, {"totalSize": 2, "done": True, "records": rows[1:]})
    soql = "SELECT TYPEOF What WHEN Account THEN Phone ELSE Number END FROM Event"
    lines = download(alice, soql, "csv")[1].splitlines()
    assert (lines[0], lines[-1]) == (
        "What.Phone",
        "# Columns that came after the first page are missing: what.number.",
    )


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_file_that_breaks_off_says_so(org: ConnectableOrg, alice: Client, kind: str) -> None:
    response = alice.post(f"/connections/acme/query/rows.{kind}", {"soql": "SELECT Id FROM Contact"})
    org.lose_cursors()
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    sentence = "The download broke off after 2000 of 2500 rows: Salesforce answered 400 INVALID_QUERY_LOCATOR"
    if kind == "csv":
        assert text.splitlines()[-1].startswith(f"# {sentence}")
    else:
        found = json.loads(text)
        assert (found["rows"], found["complete"], sentence in found["why"]) == (2_000, False, True)


def test_file_of_pages_that_never_end_breaks_off(
    org: ConnectableOrg, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_ROWS", 20)
    path = f"{DATA}/query/01gDn0000000001AAA-1"
    page = {"totalSize": 9, "done": False, "nextRecordsUrl": path, "records": [{"Name": "x"}]}
    for each in (f"{DATA}/query", path):
        org.answer_path(each, page)
    assert "pages that never end" in download(alice, "SELECT Name FROM Account", "json")[1]


def test_no_text_is_a_formula_in_a_spreadsheet(org: ConnectableOrg, alice: Client) -> None:
    for name in ("=1+1", "+49 431", "-x", "@SUM(A1)", "\uff1d1", 'a "b", c\nd', "5-1"):
        org.add_record("Account", Name=name, AnnualRevenue=-5, Rating="Hot")
    _, text = download(
        alice,
        "SELECT Name, AnnualRevenue, Owner.Name FROM Account WHERE Rating = 'Hot' ORDER BY CreatedDate",
        "csv",
    )
    rows = {row["Name"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert {"'=1+1", "'+49 431", "'-x", "'@SUM(A1)", "'\uff1d1", 'a "b", c\nd', "5-1"} <= set(rows)
    assert rows["5-1"]["AnnualRevenue"] == "-5.0"
    assert rows["5-1"]["Owner.Name"] == "Integration User"


def test_no_name_of_a_column_is_a_formula_either(org: ConnectableOrg, alice: Client) -> None:
    org.answer("SELECT FIELDS(ALL) FROM Account LIMIT 1", [{"Name": "x", "=cmd|' /C calc'!A0": "y"}])
    _, text = download(alice, "SELECT FIELDS(ALL) FROM Account LIMIT 1", "csv")
    assert text.splitlines() == ["Name,'=cmd|' /C calc'!A0", "x,y"]


def test_files_are_of_known_kinds_and_never_of_a_get(org: ConnectableOrg, alice: Client) -> None:
    assert (
        alice.post("/connections/acme/query/rows.exe", {"soql": "SELECT Id FROM Account"}).status_code == 404
    )
    response = alice.get("/connections/acme/query/rows.csv")
    assert (response.status_code, response["Location"]) == (302, "/connections/acme/query/")
    assert not org.requests


# ---- trouble ---------------------------------------------------------------------------------------------------------


def stop(org: ConnectableOrg) -> None:
    org.fail("close", times=None, where="any")


def html_instead(org: ConnectableOrg) -> None:
    org.fail("html", times=None, where="any")


def garbage_instead(org: ConnectableOrg) -> None:
    org.fail("garbage", times=None, where="any")


def maintenance(org: ConnectableOrg) -> None:
    org.fail("maintenance", times=None, where="any")


def refuse_user(org: ConnectableOrg) -> None:
    org.user.active = False


@pytest.mark.parametrize("trouble", [stop, html_instead, garbage_instead, maintenance, refuse_user])
@pytest.mark.parametrize("lookup", ["identity/", "record/", "query/", "query/rows.csv"])
def test_trouble_of_the_org_is_a_page_that_says_what_to_do(
    org: ConnectableOrg, alice: Client, lookup: str, trouble: Callable[[ConnectableOrg], None]
) -> None:
    trouble(org)
    asked = {"sobject": "Account", "record": ACCOUNT, "soql": "SELECT Id FROM Account"}
    response = alice.post(f"/connections/acme/{lookup}", asked)
    told = text_of(response.content.decode())
    assert response.status_code == 424
    assert "What to do" in told
    assert "Who must act" in told
    if lookup != "identity/":
        assert "Account" in response.content.decode()
    assert not AuditEvent.objects.exists()


@pytest.mark.once
@pytest.mark.chromium
@pytest.mark.parametrize("with_script", [True, False])
def test_in_a_browser(
    org: ConnectableOrg, admin_client: Client, live_server: Any, *, with_script: bool
) -> None:
    cookie = admin_client.cookies[settings.SESSION_COOKIE_NAME].value
    with browser(live_server.url, cookie, java_script_enabled=with_script) as page:  # type: ignore[var-annotated]
        page.goto("/connections/acme/query/")
        page.fill("textarea", "SELECT Id, Nmae FROM Account")
        page.press("textarea", "Control+Enter") if with_script else page.click("button:has-text('Run')")
        assert page.inner_text("mark") == "Nmae"
        if with_script:
            page.click("button:has-text('Go there')")
            assert page.evaluate("getSelection().toString()") == "Nmae"
        page.fill("textarea", f"SELECT Id, Name FROM Account WHERE Id = '{ACCOUNT}'")
        with page.expect_download() as download:
            page.click("button:has-text('CSV')")
        assert download.value.path().read_bytes().startswith(b"Id,Name\r\n001Dn")
        page.click("button:has-text('Run')")
        page.click(f"button:has-text('{ACCOUNT}')")
        page.wait_for_url("**/record/")
        assert "Kaffee" in page.inner_text("#found")
        page.click("button:has-text('Choose fields')")
        page.wait_for_selector("#fields[open]")
        if with_script:
            page.fill("[data-sf-filter]", "revenue")
            assert page.locator("#fields label:visible >> input[type=checkbox]").count() == 1
        page.check("[name=fields][value=AnnualRevenue]")
        page.fill("[name=record]", f"https://acme.lightning.force.com/lightning/r/Account/{ACCOUNT}/view")
        page.click("button:has-text('Look up')")
        page.wait_for_selector(".sf-record")
        assert page.locator(".sf-record tbody tr").count() == 1

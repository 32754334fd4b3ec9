"""The library over TLS, on which it insists, with sessions that end before, between and after its calls."""

from __future__ import annotations

import csv
import datetime as dt
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import time_machine
from simple_salesforce import Salesforce  # type: ignore[attr-defined]
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)

from sf_integration import (
    ActionNeeded,
    ConnectionPaused,
    InvalidInput,
    QueryCursorLost,
    SessionExpired,
    TransportError,
    get_token,
    tokens,
)
from sf_integration.contrib.simple_salesforce import CursorLost, SessionRefused, connect
from sf_integration.models import ConnectedApp
from sf_integration.testing.django import ConnectableOrg, stand_in

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = "001Dn00000Gi7HJIAZ"
CONTACTS = "SELECT Id FROM Contact LIMIT 500"
LINDS = "SELECT LastName FROM Contact WHERE LastName LIKE 'Lind _'"
ROWS = [{"LastName": f"Lind {number}"} for number in range(3)]


@pytest.fixture
def org() -> Iterator[ConnectableOrg]:
    with stand_in(tls=True) as org:
        org.connect("acme")
        yield org


# What the library does; each gives something that is so only if all its calls did their work.


def query(salesforce: Salesforce) -> Any:
    return salesforce.query("SELECT Id FROM Account LIMIT 1")["totalSize"]


def paging(salesforce: Salesforce) -> Any:
    return len({row["Id"] for row in salesforce.query_all_iter(CONTACTS, headers=_BY_200)})


def whole(salesforce: Salesforce) -> Any:
    return salesforce.query_all(CONTACTS, headers=_BY_200)["totalSize"]


def records(salesforce: Salesforce) -> Any:
    contact = salesforce.Contact
    made = contact.create({"LastName": "Lind"})["id"]
    contact.update(made, {"LastName": "Lund"})
    salesforce.Account.upsert("ERP_Number__c/NEW-1", {"Name": "New"})
    found = salesforce.Account.get_by_custom_id("ERP_Number__c", "NEW-1")["Name"]
    name = contact.get(made)["LastName"]
    contact.delete(made)
    return name, found, contact.describe()["name"]


def composite(salesforce: Salesforce) -> Any:
    parts = [{"method": "GET", "url": f"{_BASE}/sobjects/Account/{ACCOUNT}", "referenceId": "first"}]
    answer = salesforce.restful("composite", method="POST", json={"compositeRequest": parts})
    return answer["compositeResponse"][0]["body"]["Id"]


def apex(salesforce: Salesforce) -> Any:
    return salesforce.apexecute("stock", method="POST", data={"beans": 7})


def bulk(salesforce: Salesforce) -> Any:
    made = salesforce.bulk.Contact.insert(ROWS)
    found = salesforce.bulk.Contact.query(LINDS)
    return [row["success"] for row in made], sorted({row["LastName"] for row in found})


def bulk2(salesforce: Salesforce) -> Any:
    [done] = salesforce.bulk2.Contact.insert(records=ROWS, wait=0)
    [answer] = salesforce.bulk2.Contact.query(LINDS, wait=0)
    results = salesforce.bulk2.Contact.get_all_ingest_records(done["job_id"])
    rows = list(csv.DictReader(io.StringIO(answer)))
    return done["numberRecordsProcessed"], len(rows), len(results["successfulRecords"])


_BASE = "/services/data/v67.0"
_BY_200 = {"Sforce-Query-Options": "batchSize=200"}
_LAST_NAMES = ["Lind 0", "Lind 1", "Lind 2"]
WORK: dict[Callable[[Salesforce], Any], Any] = {
    query: 1,
    paging: 500,
    whole: 500,
    records: ("Lund", "New", "Contact"),
    composite: ACCOUNT,
    apex: {"beans": 7},
    bulk: ([True, True, True], _LAST_NAMES),
    bulk2: (3, 3, 3),
}
every_work = pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)


def end_sessions_after(salesforce: Salesforce, org: ConnectableOrg, calls: int) -> list[int]:
    """Let the org end all sessions once so many calls are answered; the list grows with each answer."""
    answered: list[int] = []

    def count(response: requests.Response, **_: Any) -> None:
        answered.append(response.status_code)
        if len(answered) == calls:
            org.end_sessions()

    salesforce.session.hooks["response"].append(count)
    return answered


@every_work
def test_an_ended_session_costs_one_login_wherever_it_ends(
    org: ConnectableOrg, work: Callable[[Salesforce], Any]
) -> None:
    org.cursor_owner = "user"
    org.answer_path("/services/apexrest/stock", {"beans": 7}, method="POST")
    tokens.get("acme")
    salesforce = connect("acme", version="67.0")
    answered = end_sessions_after(salesforce, org, 0)
    work(salesforce)
    steps = len(answered)
    assert org.token_requests == 1

    for place in range(steps):
        forget_contacts(org)
        salesforce = connect("acme", version="67.0")
        if place == 0:
            org.end_sessions()
        end_sessions_after(salesforce, org, place)
        before = org.token_requests
        assert work(salesforce) == WORK[work], f"ended after {place} of {steps} calls"
        assert org.token_requests == before + 1


def forget_contacts(org: ConnectableOrg) -> None:
    """Those that the work before has made."""
    org.store.rows("UPDATE Contact SET IsDeleted = 1 WHERE LastName LIKE 'Lind _'")


def test_sessions_that_are_always_refused_end_in_one_error_after_one_renewal(org: ConnectableOrg) -> None:
    for work in WORK.keys() - {apex}:
        org.session_seconds = 7200
        salesforce = connect("acme", version="67.0")
        query(salesforce)
        before = org.token_requests
        org.session_seconds = -1

        with pytest.raises(SessionRefused) as caught:
            work(salesforce)

        assert org.token_requests == before + 1, work
        assert isinstance(caught.value, SessionExpired)
        assert isinstance(caught.value, SalesforceExpiredSession)
        assert "the one that was made anew was refused, too" in str(caught.value)
        assert (caught.value.code, caught.value.url[:8]) == ("INVALID_SESSION_ID", "https://")


def test_xml_of_the_bulk_api_is_understood(org: ConnectableOrg) -> None:
    said = (
        '<?xml version="1.0"?><error><exceptionCode>InvalidSessionId</exceptionCode>'
        "<exceptionMessage>Invalid session id</exceptionMessage></error>"
    )
    org.fail("answer", where="/services/async", status=400, body=said, content_type="application/xml")

    assert bulk(connect("acme", version="67.0"))[0] == [True] * 3
    assert org.token_requests == 2


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400, "code": "INVALID_FIELD", "message": "InvalidSessionId"},
        {"status": 401, "code": "INVALID_SESSION_ID", "message": "This session is not valid for use with the REST API"},
    ],
    ids=["400", "401"],
)  # fmt: skip
def test_what_looks_like_an_ended_session_costs_no_login(org: ConnectableOrg, fault: dict[str, Any]) -> None:
    salesforce = connect("acme", version="67.0")
    org.fail("rest_error", **fault)

    with pytest.raises((SalesforceMalformedRequest, SalesforceExpiredSession)) as caught:
        query(salesforce)
    assert not isinstance(caught.value, SessionRefused)
    assert org.token_requests == 1


def test_a_cursor_lost_with_its_session_is_told_or_the_query_started_again(org: ConnectableOrg) -> None:
    salesforce = connect("acme", version="67.0")
    end_sessions_after(salesforce, org, 1)

    with pytest.raises(CursorLost, match="start the query again") as caught:
        paging(salesforce)
    assert isinstance(caught.value, (QueryCursorLost, SalesforceMalformedRequest))
    salesforce = connect("acme", version="67.0")
    end_sessions_after(salesforce, org, 2)
    assert whole(salesforce) == 500
    assert org.token_requests == 3


def test_threads_may_share_one_object(org: ConnectableOrg) -> None:
    salesforce = connect("acme", version="67.0")
    org.end_sessions()
    at_once = threading.Barrier(8)

    def work(number: int) -> Any:
        at_once.wait(10)
        return salesforce.Account.get(ACCOUNT)["Id"], query(salesforce)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [(ACCOUNT, 1)] * 8
    assert org.token_requests == 2


def test_an_org_that_moves_is_followed(org: ConnectableOrg) -> None:
    salesforce = connect("acme", version="67.0")
    org.move()
    with time_machine.travel(_in_minutes(2)):
        assert salesforce.Contact.create({"LastName": "Lind"})["success"]
        assert bulk(salesforce)[0] == [True] * 3
        assert query(salesforce) == 1
    assert org.token_requests == 2
    assert get_token("acme").instance_url == org.instance_url


def test_other_redirects_are_not_followed(org: ConnectableOrg) -> None:
    salesforce = connect("acme", version="67.0")
    org.fail("redirect", where="rest", times=None)

    with pytest.raises(TransportError, match="redirects") as caught:
        salesforce.Contact.create({"LastName": "Lind"})
    assert caught.value.code == "redirected"
    assert org.token_requests == 1
    with time_machine.travel(_in_minutes(2)), pytest.raises(TransportError):
        query(salesforce)
    assert org.token_requests == 2


def _in_minutes(minutes: int) -> Any:
    return dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)


def test_a_connection_paused_in_mid_life_is_our_error_with_its_remedy(org: ConnectableOrg) -> None:
    salesforce = connect("acme", version="67.0")
    ConnectedApp.objects.update(enabled=False)
    tokens.reset()  # as after the five seconds that another process's edit takes

    with pytest.raises(ConnectionPaused) as caught:
        bulk2(salesforce)
    assert caught.value.remedy


def test_a_refused_sign_in_is_our_error_with_its_remedy(org: ConnectableOrg) -> None:
    org.user.approved = False
    with pytest.raises(ActionNeeded) as caught:
        connect("acme")
    assert caught.value.remedy


def test_another_user_has_a_token_of_its_own(org: ConnectableOrg) -> None:
    ConnectedApp.objects.update(extra_usernames=["ops@nordhafen.example"])
    org.add_user("ops@nordhafen.example")
    salesforce = connect("acme", username="ops@nordhafen.example")

    made = salesforce.Contact.create({"LastName": "Lind"})["id"]

    [owner] = org.query(f"SELECT Owner.Username FROM Contact WHERE Id = '{made}'")
    assert owner["Owner"]["Username"] == "ops@nordhafen.example"


# Options


def test_options_are_the_librarys(org: ConnectableOrg) -> None:
    with requests.Session() as own:
        salesforce = connect("acme", session=own, version="60.0", client_id="acme", object_pairs_hook=dict)
        assert type(salesforce.Account.get(ACCOUNT)) is dict
    assert salesforce.session is own
    assert salesforce.sf_version == "60.0"
    assert connect("acme").sf_version == "67.0"
    assert connect("acme", proxies={"http": "http://127.0.0.1:9"}).session.proxies == {
        "http": "http://127.0.0.1:9"
    }
    # A closed one opens its sockets anew.
    assert query(salesforce) == 1


def test_calls_do_not_wait_for_ever(org: ConnectableOrg) -> None:
    org.fail("slow", where="rest", seconds=30, times=2)
    salesforce = connect("acme", version="67.0", timeout_seconds=0.2)
    with pytest.raises(requests.ReadTimeout):
        query(salesforce)
    with pytest.raises(requests.ReadTimeout):
        connect("acme", version="67.0").query("SELECT Id FROM Account", timeout=0.2)


def test_options_that_can_not_be_meant_are_refused(org: ConnectableOrg) -> None:
    with requests.Session() as taken, requests.Session() as own:
        connect("acme", session=taken, version="67.0")
        for options, message in (
            (
                {"password": "x", "domain": "test"},
                "connect() takes no domain, password: the connection signs in",
            ),
            ({"session": taken}, "give each connection a session of its own"),
            ({"session": own, "proxies": {}}, "Give the proxies to your session"),
        ):
            with pytest.raises(InvalidInput) as caught:
                connect("acme", **options)
            assert message in str(caught.value)


def test_plain_http_is_refused_with_the_way_out(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with pytest.raises(InvalidInput, match="Start the stand-in with TLS"):
        connect("acme")


# Secrets


def test_the_object_holds_no_token(org: ConnectableOrg) -> None:
    salesforce = connect("acme", version="67.0")
    records(salesforce)
    secret = get_token("acme").value
    held = [vars(salesforce), vars(salesforce.session), vars(salesforce.Account), vars(salesforce.bulk)]
    assert secret not in repr(held)


def test_redirects_elsewhere_take_no_token_along(org: ConnectableOrg) -> None:
    other = org.add_org()
    salesforce = connect("acme", version="67.0")
    org.fail("redirect", where="rest", location=f"{other.url}/services/async/67.0/job", times=None)

    with pytest.raises(TransportError):
        bulk(salesforce)
    assert other.requests == []


def test_the_metadata_api_gets_a_live_token_each_time(org: ConnectableOrg) -> None:
    pytest.importorskip("zeep")
    sent: list[bytes] = []

    def deployed(request: Any) -> str:
        sent.append(request.body)
        return (
            '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"'
            ' xmlns="http://soap.sforce.com/2006/04/metadata"><e:Body><deployResponse><result>'
            "<id>0AfDn0000000001AAA</id><state>Queued</state></result></deployResponse></e:Body></e:Envelope>"
        )

    org.answer_path("/services/Soap/m/67.0/deployRequest", deployed, method="POST")
    salesforce = connect("acme", version="67.0")
    for _ in range(2):
        org.end_sessions()
        answer = salesforce.deploy(io.BytesIO(b"PK"), sandbox=True)
        assert answer["asyncId"] == "0AfDn0000000001AAA"
        assert get_token("acme").value.encode() in sent[-1]
    assert org.token_requests == 3


def test_unknown_objects_are_the_librarys_own_error(org: ConnectableOrg) -> None:
    with pytest.raises(SalesforceResourceNotFound):
        connect("acme").Nonsense__c.describe()

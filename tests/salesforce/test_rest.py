from __future__ import annotations

import io
import json
from dataclasses import dataclass, field

import pytest

from sf_integration.salesforce import signin
from sf_integration.salesforce.describe import DescribedObject
from sf_integration.salesforce.errors import (
    ApiError,
    InvalidInput,
    NotFound,
    OutcomeUnknown,
    QueryCursorLost,
    SessionExpired,
    TransportError,
)
from sf_integration.salesforce.oauth import Token
from sf_integration.salesforce.rest import (
    ApiUsage,
    ApiVersion,
    AppUsage,
    Client,
    QueryResult,
    Record,
    newest_common_version,
    read_usage,
)

from .conftest import sign_in_request, token_for
from .raw_server import Visit

ACCOUNT = "001Dn00000Gi7HJIAZ"


@dataclass
class RenewingSource:
    """Signs in at the stand-in, and counts."""

    org: object
    http: object
    token: Token | None = None
    renewals: list[str] = field(default_factory=list)

    def get(self) -> Token:
        if self.token is None:
            self.token = signin.run(sign_in_request(self.org), self.http).require()
        return self.token

    def renew(self, failed: Token) -> Token:
        self.renewals.append(failed.value)
        self.token = None
        return self.get()


@pytest.fixture
def source(org, http):
    return RenewingSource(org, http)


@pytest.fixture
def client(source, http):
    with Client(source, http=http, timeout_seconds=5.0) as opened:
        yield opened


# Reading


def test_a_record_is_read_by_either_form_of_its_id(client):
    assert client.record("Account", ACCOUNT[:15])["Name"] == client.record("Account", ACCOUNT)["Name"]


def test_only_the_fields_asked_for_are_read(client):
    record = client.record("Account", ACCOUNT, fields=["Name", "AccountNumber"])
    assert set(record) == {"Name", "AccountNumber", "Id"}
    assert record.sobject == "Account"


def test_an_absent_record_is_not_found(client):
    with pytest.raises(NotFound) as caught:
        client.record("Account", "001000000000000")
    assert caught.value.status_code == 404


@pytest.mark.parametrize("bad", ["", "x", ACCOUNT[:-1] + "A", "../../limits00000", "0015g00000AcC T"])
def test_a_malformed_id_is_refused_before_any_call(client, org, bad):
    with pytest.raises(InvalidInput):
        client.record("Account", bad)
    assert org.requests == []


@pytest.mark.parametrize(
    "bad", ["", "Account/x", "../limits", "Account?x", "1Account", "Account%2f", "Ac count", "Ä"]
)
def test_a_malformed_name_is_refused_before_any_call(client, org, bad):
    for call in (
        lambda: client.record(bad, ACCOUNT),
        lambda: client.record("Account", ACCOUNT, fields=[bad]),
        lambda: client.describe(bad) if bad else client.record("", ACCOUNT),
    ):
        with pytest.raises(InvalidInput):
            call()
    assert org.requests == []


def test_pages_are_fetched_as_they_are_taken(client, org):
    rows = client.query_all("SELECT Id FROM Contact")
    next(rows)
    queries = [request for request in org.requests if "/query" in request.path]
    assert len(queries) == 1
    assert len({row["Id"] for row in rows}) + 1 == client.query("SELECT Id FROM Contact").total_size > 2000


def test_nested_records_are_plain(client):
    row = client.query("SELECT Name, Owner.Name FROM Account LIMIT 1").records[0]
    assert row.sobject == "Account"
    assert "attributes" not in row
    assert row["Owner"].sobject == "User"
    assert set(row["Owner"]) == {"Name"}


@pytest.mark.parametrize("attributes", ["x", None, [], {}, {"type": None}, {"type": 5}])
def test_attributes_of_another_form_break_no_record(attributes):
    record = Record.from_json({"attributes": attributes, "Name": "x", "Owner": {"attributes": attributes}})
    assert record == {"Name": "x", "Owner": {}}
    assert isinstance(record.sobject, str)


def test_child_queries_are_results(client):
    statement = "SELECT Id, (SELECT LastName FROM Contacts) FROM Account WHERE Id IN (SELECT AccountId FROM Contact) LIMIT 1"
    row = client.query(statement).records[0]
    assert isinstance(row["Contacts"], QueryResult)
    assert row["Contacts"].records[0].sobject == "Contact"


def test_a_lost_cursor_has_its_own_error(client, org):
    page = client.query("SELECT Id FROM Contact")
    org.end_sessions()
    with pytest.raises(QueryCursorLost):
        client.query_page(page.next_path)


def test_losing_the_cursor_on_the_way_ends_the_iteration(client, org):
    rows = client.query_all("SELECT Id FROM Contact")
    for _ in range(2000):
        next(rows)
    org.end_sessions()
    with pytest.raises(QueryCursorLost):
        next(rows)


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/services/data/v67.0/query/01g-2000",
        "//evil.example/services/data/v67.0/query/01g-2000",
        "/services/data/v67.0/query/../sobjects",
        "/services/data/v67.0/query/",
        "/services/oauth2/revoke",
        "/services/data/v67.0/query/01g?x=y",
        "/services/data/v67.0/query/01g-2000\n",
        "",
    ],
)
def test_a_next_page_elsewhere_is_refused(client, org, path):
    with pytest.raises(InvalidInput):
        client.query_page(path)
    assert org.requests == []


def test_pages_that_lead_back_to_themselves_end(client, org):
    """A known fault of some orgs: else the loop would go on for ever."""
    path = "/services/data/v67.0/query/01g000000000001-2000"
    org.answer_path(
        path, {"totalSize": 2001, "done": False, "records": [{"Id": "x"}], "nextRecordsUrl": path}
    )
    first = QueryResult([], 2001, path)
    with pytest.raises(TransportError, match="never end"):
        list(client.pages(first))
    assert [request.path for request in org.requests].count(path) == 1


def test_empty_pages_do_not_go_on_for_ever(client, org):
    prefix, asked = "/services/data/v67.0/query/01g000000000001-", []

    def answer(request):
        asked.append(request.path)
        return {"totalSize": 9, "done": False, "records": [], "nextRecordsUrl": f"{prefix}{len(asked) + 1}"}

    for number in range(20):
        org.answer_path(f"{prefix}{number}", answer)
    with pytest.raises(TransportError, match="never end"):
        list(client.pages(QueryResult([], 9, f"{prefix}0")))
    assert 5 < len(asked) < 15


def test_deleted_rows_are_found_when_asked_for(client, org):
    deleted = client.create("Account", {"Name": "Gone"})
    client.delete("Account", deleted)
    statement = "SELECT Id FROM Account WHERE Name = 'Gone'"
    assert client.query(statement).total_size == 0
    assert client.query(statement, include_deleted=True).records[0]["Id"] == deleted
    assert [row["Id"] for row in client.query_all(statement, include_deleted=True)] == [deleted]


def test_an_org_that_points_to_a_foreign_next_page_is_not_followed(client, org, raw_server):
    foreign = raw_server(lambda visit: visit.read_request())
    client.api_version  # noqa: B018 - asked for before the answer is planted
    body = {
        "totalSize": 2,
        "done": False,
        "records": [],
        "nextRecordsUrl": f"{foreign.url}/services/data/v67.0/query/x",
    }
    org.fail("answer", where="rest", body=json.dumps(body))
    with pytest.raises(InvalidInput):
        list(client.query_all("SELECT Id FROM Account"))
    assert foreign.visits == 0


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "{}",
        "null",
        '{"totalSize": 1}',
        '{"totalSize": "many", "records": []}',
        '{"totalSize": 1, "records": null}',
        '{"totalSize": 1, "records": [null]}',
        '{"totalSize": 1, "records": [[]]}',
        '{"totalSize": 1, "records": ["x"]}',
        '{"totalSize": Infinity, "records": []}',
        '{"totalSize": null, "records": []}',
        '{"totalSize": 1, "records": [' + '{"attributes": {}, "Parent": ' * 900 + "1" + "}" * 900 + "]}",
    ],
)
def test_a_query_answer_of_another_form_is_told(client, org, body):
    client.api_version  # noqa: B018
    org.fail("answer", where="rest", body=body)
    with pytest.raises(TransportError) as caught:
        client.query("SELECT Id FROM Account")
    assert caught.value.code in ("malformed_answer", "not_json")


def test_a_next_path_that_is_no_text_is_refused():
    page = QueryResult.from_json({"totalSize": 1, "records": [], "nextRecordsUrl": 5})
    with pytest.raises(InvalidInput):
        Client(token_for("http://127.0.0.1:1")).query_page(page.next_path)


def test_limits_may_hold_further_objects(client, org):
    limits = {
        "DailyApiRequests": {"Max": 15000, "Remaining": 14988, "Acme Connector": {"Max": 0, "Remaining": 0}}
    }
    client.api_version  # noqa: B018
    org.fail("answer", where="rest", body=json.dumps(limits))
    assert client.limits() == limits


def test_limits_without_the_permission_are_a_refusal(client, org):
    org.limits_refused = True
    with pytest.raises(ApiError) as caught:
        client.limits()
    assert caught.value.code == "API_DISABLED_FOR_ORG"


def test_describe_one_or_all(client):
    assert client.describe("Account")["name"] == "Account"
    assert "Account" in {each["name"] for each in client.describe()["sobjects"]}


def test_descriptions_are_names_labels_and_types(client):
    [account] = [each for each in client.described_objects() if each.name == "Account"]
    assert account.key_prefix == "001"
    described = client.described_object("contact")
    assert described.name_field.name == "Name"
    owner = described.field("ownerid")
    assert (owner.type, owner.refers_to, owner.relationship) == ("reference", ("User",), "Owner")
    assert described.is_part(described.fields["MailingCity"])
    assert not described.is_part(described.fields["MailingAddress"])


@pytest.mark.parametrize("body", [[], {}, {"sobjects": [1]}, {"name": "X", "fields": [{"name": "Y"}]}])
def test_descriptions_of_another_form_are_no_answer(client, org, body):
    for path in ("", "/Account/describe"):
        org.answer_path(f"/services/data/v67.0/sobjects{path}", body)
    with pytest.raises(TransportError):
        client.described_object("Account")
    if body != {"name": "X", "fields": [{"name": "Y"}]}:
        with pytest.raises(TransportError):
            client.described_objects()


def test_search_finds_names_by_any_part(client):
    assert [row["Name"] for row in client.search("Account", "BRANDT", limit=1)] == [
        "Kaffeerösterei Brandt & Söhne"
    ]


def test_identity_through_the_client(client, org):
    assert client.identity().username == org.user.username


# Versions and usage


def test_the_newest_common_version_is_asked_for_once(client, org):
    client.limits()
    client.limits()
    assert client.api_version == "67.0"
    assert [request.path for request in org.requests].count("/services/data") == 1


def test_versions_are_asked_without_the_token(raw_server):
    def versions(visit: Visit) -> None:
        visit.read_request()
        visit.answer(b'[{"label":"x","version":"67.0"},{"label":"y","version":"9.0"}]')

    server = raw_server(versions)
    with Client(token_for(server.url)) as client:
        assert [version.version for version in client.versions()] == ["9.0", "67.0"]
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("served", "newest"),
    [
        (["42.0"], "42.0"),
        (["41.0", "42.0", "66.0"], "66.0"),
        (["66.0", "67.0", "68.0"], "67.0"),
        (["66.0", "68.0", "100.0"], "66.0"),
        (["30.0", "41.0"], None),
        (["68.0"], None),
        ([], None),
    ],
)
def test_the_newest_version_both_know(served, newest):
    versions = tuple(ApiVersion(version, "") for version in served)
    if newest:
        assert newest_common_version(versions) == newest
        return
    with pytest.raises(TransportError) as caught:
        newest_common_version(versions)
    assert caught.value.code == "no_common_api_version"


@pytest.mark.parametrize(
    "body",
    [
        "5",
        "null",
        '[{"label": "x"}]',
        '[{"version": "new"}]',
        '[{"version": "67.000"}]',
        '[{"version": "6_7.0"}]',
        '[{"version": "NaN"}]',
        '["67.0"]',
        "[null]",
    ],
)
def test_a_list_of_versions_of_another_form_is_told(client, org, body):
    org.fail("answer", where="rest", body=body)
    with pytest.raises(TransportError) as caught:
        client.versions()
    assert caught.value.code == "malformed_answer"


@pytest.mark.parametrize(
    ("header", "usage"),
    [
        ("api-usage=61/100000", ApiUsage(61, 100_000)),
        (
            "api-usage=25/5000; per-app-api-usage=17/250(appName=sample-connected-app)",
            ApiUsage(25, 5000, AppUsage("sample-connected-app", 17, 250)),
        ),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("", None),
        ("api-usage=x/y", None),
        ("api-usage=1/" + "9" * 5000, None),
    ],
)
def test_the_usage_header(header, usage):
    assert read_usage(header) == usage


def test_the_client_remembers_the_usage(client, org):
    client.limits()
    assert client.api_usage == ApiUsage(org.api_used, org.api_limit)


# Renew once, replay once


def test_an_ended_session_is_renewed_and_the_call_replayed(client, org, source):
    client.limits()
    dead = source.token.value
    org.end_sessions()
    assert client.limits()
    assert source.renewals == [dead]


def test_the_replay_happens_once(client, org, source):
    client.limits()
    before = len(org.requests)
    org.fail(
        "rest_error", times=None, status=401, code="INVALID_SESSION_ID", message="Session expired or invalid"
    )
    with pytest.raises(SessionExpired):
        client.limits()
    rest_calls = [request for request in org.requests[before:] if request.path.endswith("/limits")]
    assert len(rest_calls) == 2
    assert len(source.renewals) == 1


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        (
            401,
            "INVALID_SESSION_ID",
            "This session is not valid for use with the specified REST API endpoint. One of the following scopes is required: api",
        ),
        (401, "INVALID_SESSION_ID", "Connected app is not attached to Agent"),
        (401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        (403, "INSUFFICIENT_ACCESS", "Session expired or invalid"),
        (400, "INVALID_SESSION_ID", "Session expired or invalid"),
        (500, "INVALID_SESSION_ID", "Session expired or invalid"),
        (404, "NOT_FOUND", "The requested resource does not exist"),
    ],
)
def test_look_alikes_never_lead_to_a_new_sign_in(client, org, source, status, code, message):
    client.limits()
    org.fail("rest_error", times=None, status=status, code=code, message=message)
    with pytest.raises(ApiError) as caught:
        client.request("POST", "x")
    assert not isinstance(caught.value, SessionExpired)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert source.renewals == []
    assert org.logins == 1


def test_missing_scope_api_is_no_dead_session(client, org, source):
    org.app.scopes = ("id", "refresh_token")
    with pytest.raises(ApiError, match="not valid for use with the REST API"):
        client.limits()
    assert source.renewals == []


def test_bad_oauth_token_at_the_identity_url_renews(client, org, source):
    client.identity()
    org.end_sessions()
    assert client.identity().username == org.user.username
    assert len(source.renewals) == 1


def test_the_same_token_back_is_not_tried_again(org, http, token):
    org.end_sessions()
    with Client(token, http=http, api_version="67.0") as client:
        with pytest.raises(SessionExpired):
            client.limits()
        with pytest.raises(SessionExpired):
            client.identity()
    assert [request.path for request in org.requests].count("/services/data/v67.0/limits") == 1


def created(client, org, name) -> str:
    return client.query("SELECT Id FROM Account WHERE Name = {}", name).records[0]["Id"]


def test_a_file_is_rewound_before_the_replay(client, org, source):
    source.get()
    org.end_sessions()
    body = io.BytesIO(b'....{"Name": "Rewound"}')
    body.seek(4)
    client.request("POST", "sobjects/Account", data=body, headers={"Content-Type": "application/json"})
    assert created(client, org, "Rewound")
    assert len(source.renewals) == 1


def test_a_generator_can_not_be_sent_twice(client, org, source):
    source.get()
    client.api_version  # noqa: B018
    org.end_sessions()
    with pytest.raises(SessionExpired):
        client.request("POST", "sobjects/Account", data=(part for part in (b'{"Name": ', b'"Half"}')))
    assert len(source.renewals) == 1  # for the next call
    assert client.query("SELECT Id FROM Account WHERE Name = 'Half'").total_size == 0


def test_an_upload_that_was_read_is_not_sent_a_second_time_empty(client, org, source):
    source.get()
    client.api_version  # noqa: B018
    org.end_sessions()
    with pytest.raises(SessionExpired):
        client.request("POST", "sobjects/Account", files={"file": io.BytesIO(b"content")})
    assert len(source.renewals) == 1  # for the next call


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.request("GET", "https://evil.example/x"),
        lambda client: client.request("GET", "//evil.example/x"),
        lambda client: client.request("GET", "../../apexrest/stock"),
        lambda client: client.request("GET", "/services/data/../../secur/frontdoor.jsp"),
        lambda client: client.request("GET", "limits", timeout_seconds=0),
        lambda client: client.with_timeout("3"),
        lambda client: client.record("Account", "001Dn00000Gi7HJIAZ", fields="Name"),
        lambda client: Client(client._source, timeout_seconds=-1),
        lambda client: Client(client._source, timeout_seconds=float("inf")),
    ],
)
def test_what_can_not_be_meant_is_refused_before_any_call(client, org, call):
    with pytest.raises(InvalidInput):
        call(client)
    assert not org.requests


@pytest.mark.parametrize("text", ["../x", "https://acme.example/"])
def test_a_query_may_hold_what_a_path_may_not(client, text):
    statement = f"SELECT+Id+FROM+Account+WHERE+Name='{text}'"
    assert client.request("GET", f"query?q={statement}").json()["totalSize"] == 0


def test_json_of_any_call_is_read_or_refused_with_a_sentence(client, org):
    assert client.request_json("GET", "limits")["DailyApiRequests"]["Max"] > 0
    account = client.request_json("POST", "sobjects/Account", json={"Name": "Acme"})["id"]
    assert client.request_json("DELETE", f"sobjects/Account/{account}") is None
    org.fail("answer", status=200, body="<html>", where="rest", times=2)
    with pytest.raises(TransportError) as read:
        client.request_json("GET", "limits")
    with pytest.raises(OutcomeUnknown):
        client.request_json("POST", "sobjects/Account", json={"Name": "Acme"})
    assert read.value.code == "not_json"
    assert not isinstance(read.value, OutcomeUnknown)


@pytest.mark.parametrize(
    "body", [{"json": {"Name": "Same"}}, {"data": '{"Name": "Same"}'}, {"data": b'{"Name": "Same"}'}]
)
def test_plain_bodies_are_sent_again_as_they_are(client, org, source, body):
    source.get()
    org.end_sessions()
    client.request("POST", "sobjects/Account", headers={"Content-Type": "application/json"}, **body)
    assert created(client, org, "Same")


# Where the bearer goes


@pytest.mark.parametrize(
    "path",
    [
        "{foreign}/x",
        "//{host}/x",
        "/\\{host}/x",
        "@{host}/x",
        "///{host}/x",
        "\\\\{host}",
        "/..//{host}/x",
        "/[",
        "//[",
    ],
)
def test_no_path_leads_the_bearer_to_another_host(org, http, token, raw_server, path):
    foreign = raw_server(lambda visit: visit.read_request())
    with (
        Client(token, http=http, api_version="67.0", timeout_seconds=2.0) as client,
        pytest.raises((ApiError, InvalidInput)),
    ):
        client.request("GET", path.format(foreign=foreign.url, host=foreign.url.removeprefix("http://")))
    assert foreign.visits == 0


def test_an_authorization_header_of_the_caller_does_not_replace_ours(org, http, token):
    with Client(token, http=http, api_version="67.0") as client:
        assert client.request("GET", "limits", headers={"Authorization": "Basic x"}).ok


def test_netrc_does_not_replace_the_bearer(client, tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login planted password planted\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert client.limits()
    assert client.identity().username


def test_redirects_of_the_rest_api_are_refused(client, org):
    client.api_version  # noqa: B018
    org.fail("redirect", where="rest")
    with pytest.raises(TransportError) as caught:
        client.limits()
    assert caught.value.code == "redirected"


def test_a_deadline_may_be_given_for_one_call(client, org):
    client.api_version  # noqa: B018
    org.fail("slow", where="rest", seconds=5, times=None)
    with pytest.raises(TransportError) as caught:
        client.request("GET", "limits", timeout_seconds=0.3)
    assert caught.value.code == "timeout"


def test_another_time_out_shares_all_else(client, org):
    other = client.with_timeout(4)
    assert other.query("SELECT Id FROM Account LIMIT 1").records
    assert client.api_usage == other.api_usage == ApiUsage(org.api_used, org.api_limit)
    assert client.api_version == "67.0"
    assert org.logins == 1
    assert [request.path for request in org.requests].count("/services/data") == 1


def test_another_time_out_holds(client, org):
    client.api_version  # noqa: B018
    org.fail("slow", where="rest", seconds=5)
    with pytest.raises(TransportError, match=r"within 0\.3 seconds"):
        client.with_timeout(0.3).limits()


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_at_all_is_refused(seconds):
    with pytest.raises(InvalidInput):
        Client(token_for("http://127.0.0.1:1")).with_timeout(seconds)


def test_usage_of_the_app_is_kept(client, org):
    org.app.api_limit = 250
    client.limits()
    assert client.api_usage.of_app == AppUsage(org.app.name, org.app.api_used, 250)


def test_a_copy_leaves_the_pools_open(token):
    with Client(token, api_version="67.0") as client:
        session = client._http.session()
        with client.with_timeout(5) as quick:
            quick.limits()
        assert client._http.session() is session


def test_a_client_closes_only_pools_of_its_own(http, token):
    with Client(token, http=http) as client:
        client.limits()
    with Client(token) as client:
        client.limits()
    session = http.session()
    assert http.session() is session


ENDLESS = json.loads("1e999")  # what JSON can say, and no whole number can be


def test_numbers_without_end_are_no_answer():
    with pytest.raises(TransportError):
        QueryResult.from_json({"records": [], "totalSize": ENDLESS})
    with pytest.raises(TransportError):
        DescribedObject.from_json(
            {"name": "A", "fields": [{"name": "X", "type": "double", "scale": ENDLESS}]}
        )

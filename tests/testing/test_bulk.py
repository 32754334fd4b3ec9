"""Bulk API and Bulk API 2.0 by hand, as the guides tell them; how a client library gets on: test_simple_salesforce.py."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
import requests

from sf_integration.testing import Org
from sf_integration.testing.bulk import jobs

from .conftest import Caller, refusal

ACCOUNT = "001Dn00000Gi7HJIAZ"


def table(answer: requests.Response) -> list[dict[str, str]]:
    assert answer.headers["Content-Type"] == "text/csv"
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def create(caller: Caller, kind: str = "ingest", **body: Any) -> dict[str, Any]:
    answer = caller.call("POST", f"jobs/{kind}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def load(
    caller: Caller, content: str, operation: str = "insert", name: str = "Contact", **body: Any
) -> tuple[str, dict[str, Any]]:
    """Path and description of a job that has been through."""
    job = create(caller, operation=operation, object=name, **body)
    path = f"jobs/ingest/{job['id']}"
    assert caller.call("PUT", f"{path}/batches", data=content.encode()).status_code == 201
    assert caller.call("PATCH", path, json={"state": "UploadComplete"}).status_code == 200
    return path, caller.get(path).json()


# Bulk API 2.0: records in


def test_a_job_goes_through_its_states(signed_in: Caller, org: Org) -> None:
    org.bulk_looks = 1
    job = create(signed_in, operation="insert", object="contact", contentType="CSV", lineEnding="LF")
    path = f"jobs/ingest/{job['id']}"
    assert (job["state"], job["object"], job["id"][:3]) == ("Open", "Contact", "750")
    assert job["contentUrl"] == f"services/data/v67.0/{path}/batches"

    uploaded = signed_in.call("PUT", "/" + job["contentUrl"], data=b"LastName\nLind\n")
    closed = signed_in.call("PATCH", path, json={"state": "UploadComplete"}).json()
    early = signed_in.get(f"{path}/successfulResults")
    looks = [signed_in.get(path).json() for _ in range(3)]

    assert (uploaded.status_code, uploaded.content) == (201, b"")
    assert (closed["state"], "contentUrl" in closed) == ("UploadComplete", False)
    assert refusal(early)[:2] == (400, "INVALIDJOBSTATE")
    assert [look["state"] for look in looks] == ["InProgress", "JobComplete", "JobComplete"]
    assert [look["numberRecordsProcessed"] for look in looks] == [0, 1, 1]
    assert [listed["id"] for listed in signed_in.get("jobs/ingest").json()["records"]] == [job["id"]]


def test_rows_are_saved_each_by_itself_and_told(signed_in: Caller, org: Org) -> None:
    content = 'LastName,Email,Description\nLind,lind@acme.example,"a, ""b""\nc"\n,nobody@acme.example,\nBerg,no mail,\n'

    path, job = load(signed_in, content)

    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 3, 2)
    [made] = table(signed_in.get(f"{path}/successfulResults/"))
    assert (made["sf__Created"], made["LastName"], made["Description"]) == ("true", "Lind", 'a, "b"\nc')
    assert org.query(f"SELECT Email FROM Contact WHERE Id = '{made['sf__Id']}'") == [
        {"Email": "lind@acme.example"}
    ]
    first, second = table(signed_in.get(f"{path}/failedResults"))
    assert first["sf__Error"] == "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --"
    assert (second["sf__Error"].partition(":")[0], second["LastName"]) == ("INVALID_EMAIL_ADDRESS", "Berg")
    assert table(signed_in.get(f"{path}/unprocessedrecords")) == []


def test_update_upsert_and_delete(signed_in: Caller, org: Org) -> None:
    field = "ERP_Number__c"
    filled = f"{field} != NULL AND Phone != NULL AND Website != NULL"
    [known, other] = org.query(f"SELECT Id, {field}, Website FROM Account WHERE {filled} LIMIT 2")

    updated, _ = load(signed_in, f"id,Phone,Website\n{known['Id']},#N/A,\n,1,\n", "update", "Account")
    upserted, _ = load(
        signed_in,
        f"{field};Name\r\n{other[field]};Renamed\r\nNEW-1;New\r\n;None\r\n",
        "upsert",
        "Account",
        externalIdFieldName=field.lower(),
        columnDelimiter="SEMICOLON",
        lineEnding="CRLF",
    )
    made = org.add_record("Contact", LastName="Soon gone")
    deleted, _ = load(signed_in, f"Id\n{made}\n{made}\n", "delete")

    assert [row["sf__Created"] for row in table(signed_in.get(f"{updated}/successfulResults"))] == ["false"]
    assert "MISSING_ARGUMENT" in signed_in.get(f"{updated}/failedResults").text
    [now] = org.query(f"SELECT Phone, Website FROM Account WHERE Id = '{known['Id']}'")
    assert now == {"Phone": None, "Website": known["Website"]}
    told = list(csv.reader(io.StringIO(signed_in.get(f"{upserted}/successfulResults").text), delimiter=";"))
    assert [row[1] for row in told[1:]] == ["false", "true"]
    assert org.query(f"SELECT Name FROM Account WHERE Id = '{other['Id']}'") == [{"Name": "Renamed"}]
    assert f"{field} not specified" in signed_in.get(f"{upserted}/failedResults").text
    assert len(table(signed_in.get(f"{deleted}/successfulResults"))) == 1
    assert "ENTITY_IS_DELETED" in signed_in.get(f"{deleted}/failedResults").text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("LastName,Nonsense__c\nLind,1\n", "InvalidBatch : Field name not found : Nonsense__c"),
        (
            "LastName\r\nLind\r\n",
            "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF",
        ),
        ("", "InvalidBatch : The CSV can not be read"),
        ("LastName,Email\nLind\n", "InvalidBatch : The CSV can not be read"),
        ("LastName\nLind,1\n", "InvalidBatch : The CSV can not be read"),
    ],
)
def test_a_wrong_file_fails_as_a_whole(signed_in: Caller, content: str, message: str) -> None:
    path, job = load(signed_in, content)

    assert (job["state"], job["errorMessage"]) == ("Failed", message)
    assert table(signed_in.get(f"{path}/successfulResults")) == []


@pytest.mark.parametrize("column", ["Account.ERP_Number__c", "Fax"])
def test_column_that_only_salesforce_knows_is_told(signed_in: Caller, column: str) -> None:
    _, job = load(signed_in, f"LastName,{column}\nLind,C00000\n")

    assert job["state"] == "Failed"
    assert job["errorMessage"].startswith("This stand-in does not know Contact.")


def test_an_aborted_job_has_saved_nothing(signed_in: Caller) -> None:
    path = f"jobs/ingest/{create(signed_in, operation='insert', object='Contact')['id']}"
    signed_in.call("PUT", f"{path}/batches", data=b"LastName\nLind\n")
    again = signed_in.call("PUT", f"{path}/batches", data=b"LastName\nBerg\n")
    open_still = signed_in.call("DELETE", path)
    aborted = signed_in.call("PATCH", path, json={"state": "Aborted"})
    closed = signed_in.call("PATCH", path, json={"state": "UploadComplete"})

    assert refusal(again)[:2] == (400, "CLIENTINPUTERROR")
    assert refusal(open_still)[:2] == (400, "INVALIDJOBSTATE")
    assert aborted.json()["state"] == "Aborted"
    assert refusal(closed) == (400, "INVALIDJOBSTATE", "Closing already Aborted Job not allowed")
    assert table(signed_in.get(f"{path}/unprocessedrecords")) == [{"LastName": "Lind"}]
    assert signed_in.call("DELETE", path).status_code == 204
    assert refusal(signed_in.get(path))[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"operation": "insert", "object": "Nonsense__c"}, "INVALIDENTITY"),
        ({"operation": "insert", "object": "Lead"}, "STAND_IN_DOES_NOT_KNOW"),
        ({"operation": "merge", "object": "Contact"}, "INVALIDOPERATION"),
        ({"operation": "hardDelete", "object": "Contact"}, "FEATURENOTENABLED"),
        ({"operation": "upsert", "object": "Contact"}, "INVALIDJOB"),
        ({"operation": "upsert", "object": "Contact", "externalIdFieldName": "LastName"}, "INVALIDJOB"),
        ({"operation": "insert", "object": "Contact", "contentType": "XML"}, "INVALIDJOB"),
        ({"operation": "insert", "object": "Contact", "columnDelimiter": ["COMMA"]}, "INVALIDJOB"),
        ({"operation": "insert", "object": "Contact", "lineEnding": "CR"}, "INVALIDJOB"),
    ],
)
def test_a_wrong_job_is_refused(signed_in: Caller, body: dict[str, Any], code: str) -> None:
    assert refusal(signed_in.call("POST", "jobs/ingest", json=body))[:2] == (400, code)


# Bulk API 2.0: records out


def test_a_query_comes_in_sets(signed_in: Caller, org: Org) -> None:
    soql = "SELECT Id, Account.Owner.Name, IsDeleted, CreatedDate FROM Contact ORDER BY Id LIMIT 5"
    job = create(signed_in, "query", operation="query", query=soql)
    path = f"jobs/query/{job['id']}"
    early = signed_in.get(f"{path}/results")
    done = signed_in.get(path).json()

    rows: list[dict[str, str]] = []
    told: list[tuple[str, str]] = []
    locator = ""
    while locator != "null":
        answer = signed_in.get(f"{path}/results", maxRecords="2", locator=locator)
        rows += table(answer)
        locator = answer.headers["Sforce-Locator"]
        told.append((answer.headers["Sforce-NumberOfRecords"], locator))

    assert (job["state"], done["state"]) == ("UploadComplete", "JobComplete")
    assert (done["object"], done["numberRecordsProcessed"]) == ("Contact", 5)
    assert early.status_code == 204
    assert told == [("2", "Mg"), ("2", "NA"), ("1", "null")]
    assert [row["Id"] for row in rows] == [row["Id"] for row in org.query(soql)]
    assert list(rows[0]) == ["Id", "Account.Owner.Name", "IsDeleted", "CreatedDate"]
    assert (rows[0]["IsDeleted"], rows[0]["CreatedDate"][-5:]) == ("false", ".000Z")
    assert refusal(signed_in.get(f"{path}/results", locator="?"))[1] == "INVALID_QUERY_LOCATOR"


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Nonsense FROM Contact", "INVALID_FIELD"),
        ("SELECT", "MALFORMED_QUERY"),
        ("SELECT COUNT() FROM Contact", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Name, COUNT(Id) FROM Contact GROUP BY Name", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "FUNCTIONALITY_NOT_ENABLED"),
        ("SELECT BillingAddress FROM Account", "FUNCTIONALITY_NOT_ENABLED"),
    ],
)
def test_what_bulk_queries_can_not_do_is_refused(signed_in: Caller, soql: str, code: str) -> None:
    answer = signed_in.call("POST", "jobs/query", json={"operation": "query", "query": soql})
    assert refusal(answer)[:2] == (400, code)


def test_queries_see_what_the_user_may_and_what_was_given_by_hand(signed_in: Caller, org: Org) -> None:
    org.answer("SELECT Id, Size__c FROM Cup__c", [{"Id": "a00Dn0000000001AAA", "Size__c": None}])
    org.user.hidden.add("Contact.Email")

    job = create(signed_in, "query", operation="queryAll", query="SELECT Id, Size__c FROM Cup__c")
    hidden = signed_in.call(
        "POST", "jobs/query", json={"operation": "query", "query": "SELECT Email FROM Contact"}
    )

    signed_in.get(f"jobs/query/{job['id']}")
    assert table(signed_in.get(f"jobs/query/{job['id']}/results")) == [
        {"Id": "a00Dn0000000001AAA", "Size__c": ""}
    ]
    assert refusal(hidden)[1] == "INVALID_FIELD"
    _, loaded = load(signed_in, "LastName,Email\nLind,a@b.example\n")
    assert loaded["errorMessage"] == "InvalidBatch : Field name not found : Email"


# Bulk API


class Batches:
    """Bulk API with the token in the header that it has of its own."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def call(self, method: str, path: str = "", **options: Any) -> requests.Response:
        headers = {"X-SFDC-Session": self.caller.token}
        url = f"{self.caller.org.url}/services/async/67.0/job{path}"
        return self.caller.http.request(method, url, headers=headers, timeout=10, **options)

    def run(self, operation: str, name: str, batch: Any, **body: Any) -> tuple[str, dict[str, Any]]:
        """Path and description of a batch that has been through."""
        wanted = {"operation": operation, "object": name, "contentType": "JSON"} | body
        job = self.call("POST", json=wanted).json()
        content = {"data": batch} if isinstance(batch, str) else {"json": batch}
        added = self.call("POST", f"/{job['id']}/batch", **content)
        assert (added.status_code, added.json()["state"]) == (201, "Queued"), added.text
        path = f"/{job['id']}/batch/{added.json()['id']}"
        return path, self.call("GET", path).json()


@pytest.fixture
def batches(signed_in: Caller) -> Batches:
    return Batches(signed_in)


def refused(answer: requests.Response) -> tuple[int, str]:
    assert set(answer.json()) == {"exceptionCode", "exceptionMessage"}
    return answer.status_code, answer.json()["exceptionCode"]


def test_a_batch_goes_through_its_states(batches: Batches, org: Org) -> None:
    org.bulk_looks = 1
    job = batches.call(
        "POST", json={"operation": "insert", "object": "Contact", "contentType": "JSON", "concurrencyMode": 1}
    )
    path = f"/{job.json()['id']}"
    added = batches.call("POST", f"{path}/batch", json=[{"LastName": "Lind"}]).json()
    early = batches.call("GET", f"{path}/batch/{added['id']}/result")
    looks = [batches.call("GET", f"{path}/batch/{added['id']}").json()["state"] for _ in range(2)]
    closed = batches.call("POST", path, json={"state": "Closed"}).json()
    late = batches.call("POST", f"{path}/batch", json=[])

    assert (job.status_code, job.json()["state"], job.json()["concurrencyMode"]) == (201, "Open", "Serial")
    assert [added["state"], *looks] == ["Queued", "InProgress", "Completed"]
    assert refused(early) == (400, "InvalidBatch")
    assert (closed["state"], closed["numberBatchesCompleted"], closed["numberRecordsProcessed"]) == (
        "Closed",
        1,
        1,
    )
    assert refused(late) == (400, "InvalidJobState")
    [listed] = batches.call("GET", f"{path}/batch").json()["batchInfo"]
    assert listed["id"] == added["id"]


def test_results_of_a_batch_are_in_its_order(batches: Batches, org: Org) -> None:
    rows = [{"LastName": "Lind", "Email": None}, {"Email": "a@b.example"}, {"LastName": "Berg", "Nope": 1}]

    path, batch = batches.run("insert", "Contact", rows)
    made, missing, unknown = batches.call("GET", f"{path}/result").json()

    assert (batch["numberRecordsProcessed"], batch["numberRecordsFailed"]) == (3, 2)
    assert (made["success"], made["created"], made["errors"]) == (True, True, [])
    assert (missing["success"], missing["id"]) == (False, None)
    assert missing["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert unknown["errors"][0]["statusCode"] == "INVALID_FIELD"
    assert batches.call("GET", f"{path}/request").json() == rows
    upserted, _ = batches.run("upsert", "Contact", [{"id": made["id"], "LastName": "Lund"}, {"LastName": "New"}],
                              externalIdFieldName="Id")  # fmt: skip
    assert [row["created"] for row in batches.call("GET", f"{upserted}/result").json()] == [False, True]
    assert org.query(f"SELECT LastName FROM Contact WHERE Id = '{made['id']}'") == [{"LastName": "Lund"}]


def test_a_query_batch_has_results_of_its_own(batches: Batches) -> None:
    path, _ = batches.run("query", "Account", "SELECT Id, CreatedDate FROM Account ORDER BY Id LIMIT 2")
    [result] = batches.call("GET", f"{path}/result").json()
    first, second = batches.call("GET", f"{path}/result/{result}").json()
    _, failed = batches.run("query", "Account", "SELECT Nope FROM Account")

    assert result.startswith("752")
    assert first["attributes"]["type"] == "Account"
    assert first["Id"] < second["Id"]
    assert isinstance(first["CreatedDate"], int)
    assert failed["state"] == "Failed"
    assert failed["stateMessage"].startswith("InvalidBatch : Failed to process query: INVALID_FIELD: ")


@pytest.mark.parametrize(
    ("method", "path", "body", "wanted"),
    [
        ("POST", "", {"operation": "insert", "object": "Nope", "contentType": "JSON"}, (400, "InvalidEntity")),
        ("POST", "", {"operation": "merge", "object": "Contact", "contentType": "JSON"}, (400, "InvalidJob")),
        ("POST", "", {"operation": "insert", "object": "Contact", "contentType": "CSV"}, (400, "InvalidJob")),
        ("POST", "", {"operation": "upsert", "object": "Contact", "contentType": "JSON"}, (400, "InvalidJob")),
        ("POST", "", [], (400, "InvalidJob")),
        ("POST", "", {"operation": ["insert"], "object": {}, "contentType": "JSON", "concurrencyMode": []},
         (400, "InvalidJob")),
        ("GET", "/750Dn000000000AMAQ", None, (400, "InvalidJob")),
        ("GET", "s", None, (404, "InvalidUrl")),
        ("PUT", "", None, (405, "MethodNotAllowed")),
    ],
)  # fmt: skip
def test_batch_jobs_are_refused_in_a_shape_of_their_own(
    batches: Batches, method: str, path: str, body: Any, wanted: tuple[int, str]
) -> None:
    assert refused(batches.call(method, path, json=body)) == wanted


def test_sobject_that_only_salesforce_knows_is_told(batches: Batches) -> None:
    body = {"operation": "insert", "object": "Lead", "contentType": "JSON"}

    answer = batches.call("POST", "", json=body)

    assert refused(answer) == (400, "InvalidEntity")
    assert "This stand-in does not know Lead" in answer.text


# Both


def test_sessions_rights_and_limits_hold_as_elsewhere(batches: Batches, signed_in: Caller, org: Org) -> None:
    used = org.api_used
    job = create(signed_in, operation="insert", object="Contact")
    other = org.add_user("other@nordhafen.example", approved=True)
    counted = batches.call("GET", "/nonsense").headers["Sforce-Limit-Info"]
    token, signed_in.token = signed_in.token, org.start_session(other, org.app).token
    of_another = signed_in.get(f"jobs/ingest/{job['id']}")
    signed_in.token = token
    org.user.api_enabled = False
    not_enabled = batches.call("GET")
    org.user.api_enabled = True
    org.end_sessions()

    assert counted == f"api-usage={used + 2}/15000"
    assert refusal(of_another)[:2] == (404, "NOT_FOUND")
    assert refused(not_enabled) == (400, "InvalidUser")
    assert refused(batches.call("GET")) == (400, "InvalidSessionId")
    assert refusal(signed_in.get("jobs/ingest"))[:2] == (401, "INVALID_SESSION_ID")
    signed_in.sign_in()
    assert signed_in.get(f"jobs/ingest/{job['id']}").json()["state"] == "Open"


def test_bearer_alone_is_no_session_of_the_bulk_api(signed_in: Caller) -> None:
    answer = signed_in.call("GET", "/services/async/67.0/job/750Dn000000000AMAQ")
    assert refused(answer) == (400, "InvalidSessionId")


def test_trouble_and_answers_given_by_hand_reach_the_jobs(
    batches: Batches, signed_in: Caller, org: Org
) -> None:
    org.fail("rest_error", status=503, code="SERVER_UNAVAILABLE", message="Busy", where="rest")
    org.fail("close", where="/services/data/v67.0/jobs")
    org.answer_path("/services/async/67.0/job", {"id": "by hand"}, method="POST")

    assert batches.call("GET").status_code == 503
    with pytest.raises(requests.ConnectionError):
        signed_in.get("jobs/ingest")
    assert batches.call("POST", json={}).json() == {"id": "by hand"}


def test_the_oldest_jobs_give_way(monkeypatch: pytest.MonkeyPatch, signed_in: Caller) -> None:
    monkeypatch.setattr(jobs, "_BYTES_KEPT", 40)
    first, _ = load(signed_in, "LastName\nLind\nBerg\n")
    second, _ = load(signed_in, "LastName\nDahl\nEk\nFalk\n")

    assert signed_in.get(first).status_code == 404
    assert signed_in.get(second).status_code == 200

"""The page of the catalogue, and the verb that does the same in a shell."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from sf_integration.models import RESERVED_NAMES, AuditEvent, ConnectedApp
from sf_integration.salesforce import diagnosis

from .test_command_line import MANAGE, salesforce

pytestmark = pytest.mark.once

PAGE = "/connections/explain/"
REFUSED = "invalid_grant: user hasn't approved this consumer"
LOG = f"first line\nERROR connection=acme {REFUSED}\nError: getaddrinfo ENOTFOUND acme.my.salesforce.com\n"
CANARY = "00D5g000004FaKe!AREAQPr0TCanaryCanary_Canary.CanaryCanary7Canary"


@pytest.fixture
def alice(db: None) -> Client:
    """May look."""
    return person("alice", "view_health")


def person(name: str, *permissions: str) -> Client:
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("&#x27;", "'").replace("&quot;", '"')


def asked(client: Client, text: str, status: int = 200) -> str:
    response = client.post(PAGE, {"text": text})
    assert response.status_code == status
    html: str = response.content.decode()
    return html


# ---- the page: who may ----------------------------------------------------------------------------------------------


def test_anonymous_is_sent_to_sign_in(client: Client, db: None) -> None:
    for response in (client.get(PAGE), client.post(PAGE, {"text": REFUSED})):
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")


def test_outsider_is_refused(db: None) -> None:
    charlie = person("charlie")
    assert charlie.get(PAGE).status_code == 403
    assert charlie.post(PAGE, {"text": REFUSED}).status_code == 403


def test_form_of_another_site_is_refused(alice: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="alice"))
    assert strict.post(PAGE, {"text": REFUSED}).status_code == 403
    token = strict.get(PAGE).cookies["csrftoken"].value
    assert strict.post(PAGE, {"text": REFUSED, "csrfmiddlewaretoken": token}).status_code == 200


def test_list_leads_there(alice: Client) -> None:
    assert f'href="{PAGE}"' in alice.get("/connections/").content.decode()


@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_no_connection_takes_the_address_of_a_page(name: str) -> None:
    with pytest.raises(Exception, match="address of a page here: choose another name"):
        ConnectedApp(name=name).clean()


def test_reserved_names_hold_the_pages() -> None:
    assert {"new", "explain", "import", "export"} <= set(RESERVED_NAMES)


# ---- the page: the catalogue ----------------------------------------------------------------------------------------


def test_every_entry_stands_on_the_page_at_its_address(alice: Client) -> None:
    html = alice.get(PAGE).content.decode()
    ids = re.findall(r'id="([^"]+)"', html)
    assert len(set(ids)) == len(ids)
    assert {entry.anchor for entry in diagnosis.CATALOGUE} <= set(ids)
    assert f"All {len(diagnosis.CATALOGUE)} known errors" in html


def test_search_finds_entries_that_have_all_words(alice: Client) -> None:
    html = alice.get(PAGE, {"q": "Approved consumer"}).content.decode()
    shown = set(re.findall(r'class="sf-entry" id="([^"]+)"', html))
    assert "invalid_grant-user-hasnt-approved" in shown
    assert 0 < len(shown) < 10


def test_search_by_what_another_program_says_finds_the_entry(alice: Client) -> None:
    assert 'id="dns_failure"' in alice.get(PAGE, {"q": "ENOTFOUND"}).content.decode()


def test_search_that_finds_nothing_says_so(alice: Client) -> None:
    html = alice.get(PAGE, {"q": "<b>printer</b>"}).content.decode()
    assert "Nothing found" in html
    assert "<b>printer" not in html


# ---- the page: a pasted text ----------------------------------------------------------------------------------------


def test_pasted_log_is_explained_with_line_and_link(alice: Client) -> None:
    html = asked(alice, LOG)
    read = text_of(html)
    assert "2 known errors in the text" in read
    assert "line 2" in read
    assert "line 3" in read
    assert "The app is not approved for this user" in read
    assert "ERROR connection=acme" in read
    assert f'href="{PAGE}#invalid_grant-user-hasnt-approved"' in html


def test_text_that_nothing_is_known_about_is_shown_as_it_came(alice: Client) -> None:
    read = text_of(asked(alice, '{"error":"never_heard_of"}'))
    assert "Nothing in this text is known here" in read
    assert '{"error":"never_heard_of"}' in read
    assert "Login History" in read


def test_pasted_markup_is_shown_as_text(alice: Client) -> None:
    assert "<script>alert" not in asked(alice, f"<script>alert(1)</script> {REFUSED}")


def test_pasted_text_leaves_no_trace(alice: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for text in (f"{REFUSED} {CANARY}", CANARY, f"Authorization: Bearer {CANARY}\n{REFUSED}"):
        html = asked(alice, text)
        assert "Canary" not in html
    assert "Canary" not in caplog.text
    assert not AuditEvent.objects.exists()


def test_pasted_text_is_kept_out_of_reports(alice: Client) -> None:
    response = alice.post(PAGE, {"text": REFUSED})
    assert response.wsgi_request.sensitive_post_parameters == ("text",)
    assert "no-store" in response["Cache-Control"]


def test_empty_form_asks_for_a_text(alice: Client) -> None:
    assert "Paste a text first." in asked(alice, " ", 422)


def test_megabyte_is_taken_and_more_is_refused_with_a_sentence(alice: Client) -> None:
    assert "1 known error" in text_of(asked(alice, f"{REFUSED}\n{'x' * 990_000}"))
    assert "longer than 1,000,000 characters" in asked(alice, "x" * 1_000_001, 422)


@pytest.mark.parametrize("size", [2_100_000, 6_000_000])
def test_form_that_django_would_not_read_is_refused_with_the_same_sentence(alice: Client, size: int) -> None:
    assert "longer than 1,000,000 characters" in asked(alice, "x" * size, 413)


# ---- the verb -------------------------------------------------------------------------------------------------------


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("typed", [[], ["-"]])
def test_verb_reads_standard_input(monkeypatch: pytest.MonkeyPatch, typed: list[str]) -> None:
    piped(monkeypatch, LOG.encode() + b"\xff\xfe")
    ran = salesforce("explain", *typed)
    assert ran.status == 0
    assert ran.out.index("not approved") < ran.out.index("name does not exist")
    assert f"Line 2: ERROR connection=acme {REFUSED}" in ran.out


def test_verb_takes_words_without_quotes() -> None:
    ran = salesforce("explain", *REFUSED.split())
    assert "not approved" in ran.out
    assert "Line" not in ran.out


def test_json_has_the_first_finding_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, LOG.encode())
    answer = salesforce("explain", "--json").json
    assert isinstance(answer, dict)
    assert list(answer) == ["code", "cause", "who", "remedy", "where", "retryable", "findings"]
    assert answer["code"] == "invalid_grant"
    assert [(found["code"], found["line"]) for found in answer["findings"]] == [
        ("invalid_grant", 2),
        ("dns_failure", 3),
    ]
    assert answer["findings"][0]["excerpt"] == f"ERROR connection=acme {REFUSED}"


def test_json_of_something_unheard_of_is_json_too() -> None:
    ran = salesforce("explain", "the printer is on fire", "--json")
    assert ran.status == 1
    answer = ran.json
    assert isinstance(answer, dict)
    assert (answer["code"], answer["findings"]) == ("", [])
    assert "Nothing is known" in ran.err


def test_secrets_of_a_pasted_text_are_not_printed() -> None:
    ran = salesforce("explain", f"{REFUSED}\nAuthorization: Bearer {CANARY}\n{CANARY}")
    unknown = salesforce("explain", CANARY)
    assert "Canary" not in ran.out + ran.err + unknown.out + unknown.err
    assert unknown.status == 1


def test_verb_needs_no_database_and_no_keys() -> None:
    environment = dict(os.environ) | {
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "DJANGO_SETTINGS_MODULE": "sfjwt_site.settings",
        "SECRET_KEY": "x" * 60,
        "SF_ENCRYPTION_KEYS": "",
        "ENV_FILE": "",
    }
    done = subprocess.run(
        [*MANAGE, "salesforce", "explain"],
        input=LOG,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not approved" in done.stdout

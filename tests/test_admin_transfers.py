"""Import, export and “Save as new” in the admin."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from sf_integration.models import AuditEvent, ConnectedApp
from sf_integration.testing.django import ConnectableOrg

from .test_admin import ADMIN, Inputs, opened, staff
from .test_transfer import bring_in, csv_of, line, stored_key
from .test_views import text_of

pytestmark = pytest.mark.django_db(transaction=True)

IMPORT = f"{ADMIN}/connectedapp/import/"


def upload(client: Client, text: str | bytes, name: str = "orgs.csv") -> str:
    data = text if isinstance(text, bytes) else text.encode()
    response = client.post(IMPORT, {"file": SimpleUploadedFile(name, data)})
    return str(response.content.decode())


def confirm(client: Client, page: str, **more: str) -> str:
    """As a browser does, which turns line breaks in values into CR LF."""
    hidden = {
        name: re.sub(r"\r?\n", "\r\n", html.unescape(value))
        for name, value in re.findall(r'<input type="hidden" name="(name|text)" value="([^"]*)"', page)
    }
    assert set(hidden) == {"name", "text"}
    return str(client.post(IMPORT, hidden | more).content.decode())


def lines(page: str) -> list[list[str]]:
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [text_of(cell).strip() for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


# ---- import ---------------------------------------------------------------------------------------------------------


def test_list_leads_to_import_and_export(admin_client: Client) -> None:
    page = admin_client.get(f"{ADMIN}/connectedapp/").content.decode()
    assert IMPORT in page
    assert f"{ADMIN}/connectedapp/export/" in page
    assert "CSV or JSON file" in admin_client.get(IMPORT).content.decode()


def test_preview_shows_what_would_happen_and_saves_nothing(admin_client: Client) -> None:
    stored_key()
    bring_in(line("old"))
    events = AuditEvent.objects.count()
    page = upload(
        admin_client, csv_of(line("old"), line("fresh", label="New"), line("bad", enabled="perhaps"))
    )
    assert [cells[:3] for cells in lines(page)] == [
        ["4", "bad", "refused"],
        ["2", "old", "same"],
        ["3", "fresh", "would be created"],
    ]
    assert "enabled" in lines(page)[0][3]
    assert "Nothing is saved yet" in page
    assert (ConnectedApp.objects.count(), AuditEvent.objects.count()) == (1, events)


def test_confirmed_preview_is_saved(admin_client: Client) -> None:
    stored_key()
    notes = 'first\nsecond;\t"quoted" & <b>odd</b>\r\nthird'
    page = upload(admin_client, csv_of(line("acme", notes=notes), line("globex")))
    told = confirm(admin_client, page)
    assert "Saved orgs.csv: 2 created." in told
    assert ConnectedApp.objects.get(name="acme").notes == notes
    assert set(AuditEvent.objects.values_list("act", "actor")) == {("created", "admin")}
    # The same once more asks for nothing.
    assert 'value="Save' not in upload(admin_client, csv_of(line("acme", notes=notes), line("globex")))


def test_refused_row_keeps_all_back_unless_it_is_to_be_left_out(admin_client: Client) -> None:
    stored_key()
    page = upload(admin_client, csv_of(line("acme"), line("bad", enabled="perhaps")))
    assert "Save the other, leave out 1" in page
    assert lines(page)[1][2] == "would be created"
    assert "Nothing was saved of orgs.csv: 1 would be created, 1 refused." in confirm(admin_client, page)
    assert not ConnectedApp.objects.exists()
    assert "Saved orgs.csv: 1 created, 1 refused." in confirm(admin_client, page, keep_going="on")
    assert ConnectedApp.objects.get().name == "acme"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "got lost on the way"),
        ('"name\\nac\\u0000me"', "zero bytes"),
        ('"name\\nac\\ud800me"', "no text in UTF-8"),
    ],
)
def test_spoiled_confirmation_is_refused_with_a_sentence(admin_client: Client, text: str, words: str) -> None:
    page = admin_client.post(IMPORT, {"name": "orgs.csv", "text": text}).content.decode()
    assert words in text_of(page)


def test_json_is_taken_too(admin_client: Client) -> None:
    stored_key()
    page = upload(admin_client, '[{"name": "acme", "label": "x"}]', "orgs.json")
    assert "consumer_key: It is missing" in text_of(page).replace(" : ", ": ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        ("name\nmüller".encode("cp1252"), "CSV UTF-8"),
        (b"x" * 1_000_001, "larger than 1 MB"),
        (b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n", "must name the columns"),
    ],
    ids=["empty", "not UTF-8", "large", "key"],
)
def test_file_that_is_none_is_refused_and_not_shown_again(
    admin_client: Client, data: bytes, words: str
) -> None:
    page = upload(admin_client, data)
    assert words in text_of(page)
    assert "c2VjcmV0" not in page


def test_a_private_key_in_the_list_is_refused_and_comes_back_in_no_page(admin_client: Client) -> None:
    stored_key()
    pasted = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    page = upload(admin_client, csv_of(line("globex"), line("acme", notes=pasted)))
    assert "has a private key in it" in text_of(page)
    assert "c2VjcmV0" not in page
    assert not ConnectedApp.objects.exists()


def test_files_beside_the_list_are_for_the_command_line(admin_client: Client) -> None:
    page = upload(admin_client, csv_of(line("acme", signing_key="", key_file="/etc/passwd")))
    assert "command line only" in text_of(page)
    assert 'value="Save' not in page


def test_text_that_got_lost_on_the_way_is_told(admin_client: Client) -> None:
    told = admin_client.post(IMPORT, {"name": "orgs.csv", "text": "{"}).content.decode()
    assert "choose it again" in told


def test_cells_cannot_put_markup_into_the_page(admin_client: Client) -> None:
    stored_key()
    page = upload(admin_client, csv_of(line("acme", label='"><script>alert(1)</script>', enabled="<b>")))
    assert "<script>alert" not in page
    assert "<b>”" not in page


# ---- who may --------------------------------------------------------------------------------------------------------


def test_viewer_neither_imports_nor_exports() -> None:
    vera = staff("vera", "view_health", "run_checks")
    assert IMPORT not in vera.get(f"{ADMIN}/connectedapp/").content.decode()
    assert vera.get(IMPORT).status_code == 403
    assert vera.post(IMPORT, {"name": "x", "text": '"name"'}).status_code == 403
    assert vera.post(f"{ADMIN}/connectedapp/export/").status_code == 403


def test_manager_brings_in_and_takes_out_what_is_in_sight() -> None:
    stored_key()
    bring_in(line("hidden"), line("seen"))
    ConnectedApp.objects.get(name="hidden").groups.set([Group.objects.create(name="others")])
    mia = staff("mia", "view_health", "manage_keys")
    assert lines(upload(mia, csv_of({"name": "hidden", "label": "mine"})))[0][2] == "refused"
    out = mia.post(f"{ADMIN}/connectedapp/export/")
    assert "hidden" not in out.content.decode()
    assert "seen" in out.content.decode()


# ---- export ---------------------------------------------------------------------------------------------------------


def test_export_is_a_csv_that_excel_reads_and_the_import_calls_the_same(admin_client: Client) -> None:
    stored_key()
    bring_in(line("acme", label="Söhne", notes="=1+1"), line("globex"))
    response = admin_client.post(f"{ADMIN}/connectedapp/export/")
    assert response["Content-Disposition"] == (
        f'attachment; filename="connections-{timezone.localdate().isoformat()}.csv"'
    )
    assert response.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))
    assert [row["label"] for row in rows] == ["Söhne", ""]
    assert [cells[2] for cells in lines(upload(admin_client, response.content))] == ["same", "same"]
    assert AuditEvent.objects.filter(act="exported connections", actor="admin").exists()


def test_export_is_no_link(admin_client: Client) -> None:
    assert admin_client.get(f"{ADMIN}/connectedapp/export/").status_code == 405


# ---- save as new ----------------------------------------------------------------------------------------------------


def save_as_new(client: Client, original: ConnectedApp, **typed: str) -> str:
    values = opened(client, original) | {name: [value] for name, value in typed.items()}
    response = client.post(
        f"{ADMIN}/connectedapp/{original.pk}/change/", values | {"_saveasnew": ["Save as new"]}, follow=True
    )
    return str(response.content.decode())


def test_a_copy_of_nothing_is_a_new_one(admin_client: Client, salesforce_org: ConnectableOrg) -> None:
    original = salesforce_org.connect("acme")
    values = opened(admin_client, original) | {"name": ["two"], "_saveasnew": ["Save as new"]}
    assert admin_client.post(f"{ADMIN}/connectedapp/add/", values).status_code == 302
    assert ConnectedApp.objects.filter(name="two").exists()


def checked(org: ConnectableOrg, client: Client) -> ConnectedApp:
    """One that a check has pinned."""
    org.connect("acme", label="Acme", tags=["eu"], extra_usernames=["ops@acme.example"])
    client.post("/connections/acme/check/")
    original = ConnectedApp.objects.get()
    assert original.expected_org_id
    assert original.api_version
    return original


def test_copy_has_the_settings_and_the_key_but_none_of_the_facts(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    original = checked(salesforce_org, admin_client)
    page = save_as_new(admin_client, original, name="acme-two", label="Acme two")
    assert "was added successfully" in text_of(page)
    copy = ConnectedApp.objects.get(name="acme-two")
    same = (
        "login_url",
        "consumer_key",
        "username",
        "signing_key_id",
        "tags",
        "extra_usernames",
        "session_minutes",
    )
    assert [getattr(copy, name) for name in same] == [getattr(original, name) for name in same]
    assert (copy.expected_org_id, copy.api_version, copy.organization) == ("", "", {})
    assert copy.last_checked_at is copy.last_success_at is copy.failing_since is None
    assert copy.created_at > original.created_at
    assert not copy.tokens.exists()
    assert not copy.checks.exists()
    assert AuditEvent.objects.get(subject="acme-two").act == "created"
    # The original is as it was.
    original.refresh_from_db()
    assert (original.name, original.label) == ("acme", "Acme")
    assert original.expected_org_id


def test_org_id_typed_for_the_copy_is_kept(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    original = checked(salesforce_org, admin_client)
    save_as_new(admin_client, original, name="acme-two", expected_org_id="00Dxx0000001gEREAY")
    assert ConnectedApp.objects.get(name="acme-two").expected_org_id == "00Dxx0000001gEREAY"


def test_copy_needs_a_name_of_its_own(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    original = checked(salesforce_org, admin_client)
    page = save_as_new(admin_client, original)
    assert "give this one a name of its own" in text_of(page)
    assert 'name="_saveasnew"' in page
    assert 'href=""' not in page
    assert "&rsaquo; None" not in page
    assert ConnectedApp.objects.count() == 1
    # With a name, from the very page that reported the mistake.
    values = Inputs(page).values | {"name": ["acme-two"], "_saveasnew": ["Save as new"]}
    admin_client.post(f"{ADMIN}/connectedapp/{original.pk}/change/", values)
    assert ConnectedApp.objects.get(name="acme-two").expected_org_id == ""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core import serializers
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext

from sf_integration import get_token, keystore
from sf_integration.models import AccessToken, AuditEvent, ConnectedApp, ConnectionCheck, SigningKey
from sf_integration.salesforce import keys
from sf_integration.testing.django import ConnectableOrg

from .test_forms import CERTIFICATE, KEY, PASSPHRASE, pem
from .test_views import text_of

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = "/admin/sf_integration"
MODELS = ("connectedapp", "signingkey", "accesstoken", "connectioncheck", "auditevent")
SECRET = pem(KEY, PASSPHRASE)


def staff(name: str, *codenames: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def values(org: ConnectableOrg, **more: str) -> dict[str, str]:
    return {
        "name": "acme",
        "login_url": org.url,
        "consumer_key": org.app.consumer_key,
        "username": org.user.username,
        "session_minutes": "120",
        "sample_sobject": "Account",
        "enabled": "on",
    } | more


def add(client: Client, org: ConnectableOrg, **more: str) -> str:
    response = client.post(f"{ADMIN}/connectedapp/add/", values(org, **more), follow=True)
    return response.content.decode()


class Inputs(HTMLParser):
    """What a browser would send of the main form, untouched; files apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._inside = False
        self._named: str | None = None
        self._text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._inside = self._inside or found.get("id") == "connectedapp_form"
        name, value = found.get("name"), found.get("value") or ""
        if tag == "option" and self._named and "selected" in found:
            self._add(self._named, value)
        elif not self._inside or not name:
            return
        elif tag in ("select", "textarea"):
            self._named, self._text = name, ""
        elif tag == "input" and found.get("type") == "checkbox":
            self.values |= {name: ["on"]} if "checked" in found else {}
        elif tag == "input" and found.get("type") not in ("submit", "file"):
            self._add(name, value)

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._named:
            self._add(self._named, self._text.removeprefix("\n"))
        if tag in ("select", "textarea"):
            self._named = None
        self._inside = self._inside and tag != "form"

    def _add(self, name: str, value: str) -> None:
        self.values.setdefault(name, []).append(value)


def opened(client: Client, connection: ConnectedApp) -> dict[str, list[str]]:
    """The change page as a person has it before them."""
    return Inputs(client.get(f"{ADMIN}/connectedapp/{connection.pk}/change/").content.decode()).values


def org_key(org: ConnectableOrg) -> dict[str, str]:
    assert org.app.private_key_pem
    return {"private_key": org.app.private_key_pem, "certificate": org.app.certificate_pem}


# ---- a connection from nothing to a good check ----------------------------------------------------------------------


def test_connection_is_added_with_its_key_and_tested(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    told = text_of(
        add(admin_client, salesforce_org, **org_key(salesforce_org), _test="Save and test connection")
    )
    assert "was added successfully" in told
    assert "acme: Healthy." in told
    assert salesforce_org.logins == 1
    acts = AuditEvent.objects.order_by("at").values_list("act", "actor", "subject")
    assert list(acts) == [("created", "admin", "acme"), ("checked", "admin", "acme")]


def test_test_button_checks_what_is_stored(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    connection = salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    button = f"{ADMIN}/connectedapp/{connection.pk}/check/"
    assert f'action="{button}"' in admin_client.get(change).content.decode()
    assert admin_client.get(button).status_code == 405
    told = text_of(admin_client.post(button, follow=True).content.decode())
    assert "acme: Failing. The org does not know this consumer key" in told
    assert ConnectionCheck.objects.get().asked_by == "admin"


def test_edit_takes_effect_and_audits_names_of_fields(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme", consumer_key="3MVG9nonsense")
    changed = values(salesforce_org, signing_key=str(connection.signing_key_id), notes="mended")
    response = admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/change/", changed)
    assert response.status_code == 302
    assert get_token("acme").value
    event = AuditEvent.objects.get(act="changed")
    assert event.fields == ["consumer_key", "notes"]


def test_page_opened_before_the_first_check_keeps_what_the_check_found(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme")
    page = opened(admin_client, connection)
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/check/")
    connection.refresh_from_db()
    found = (connection.expected_org_id, connection.api_version)
    assert all(found)
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    assert admin_client.post(change, page | {"notes": ["hello"], "_test": ["x"]}).status_code == 302
    connection.refresh_from_db()
    assert (connection.expected_org_id, connection.api_version, connection.notes) == (*found, "hello")
    assert AuditEvent.objects.get(act="changed").fields == ["notes"]


def test_pin_and_api_version_can_be_taken_away(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    connection = salesforce_org.connect("acme")
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/check/")
    page = opened(admin_client, connection) | {"expected_org_id": [""], "api_version": [""]}
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/change/", page)
    connection.refresh_from_db()
    assert (connection.expected_org_id, connection.api_version) == ("", "")
    assert AuditEvent.objects.get(act="changed").fields == ["api_version", "expected_org_id"]


def test_page_opened_long_ago_undoes_nothing_that_others_did(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme", tags=["one", "two"], notes="a\nb")
    page = opened(admin_client, connection)
    another = keystore.make(name="another")
    ConnectedApp.objects.update(
        enabled=False, signing_key=another, login_url="https://x.my.salesforce.com", environment="scratch"
    )
    connection.groups.add(Group.objects.create(name="sales"))
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    # The first try has a mistake: the page that reports it still knows what was shown at first.
    html = admin_client.post(change, page | {"name": ["No Name"], "label": ["Acme"]}).content.decode()
    assert admin_client.post(change, Inputs(html).values | {"name": ["acme"]}).status_code == 302
    connection.refresh_from_db()
    assert (connection.label, connection.enabled, connection.signing_key) == ("Acme", False, another)
    assert (connection.login_url, connection.environment) == ("https://x.my.salesforce.com", "scratch")
    assert (connection.tags, connection.notes) == (["one", "two"], "a\nb")
    assert [group.name for group in connection.groups.all()] == ["sales"]
    assert AuditEvent.objects.get(act="changed").fields == ["label"]


def test_changed_username_brings_its_environment(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme")
    page = opened(admin_client, connection) | {"login_url": ["https://acme--uat.sandbox.my.salesforce.com"]}
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/change/", page)
    assert ConnectedApp.objects.get().known_environment == "sandbox"


def test_new_key_pair_on_the_change_page_takes_the_place_of_the_old(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme")
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    admin_client.post(change, opened(admin_client, connection) | {"private_key": [pem(KEY)]})
    connection.refresh_from_db()
    assert connection.signing_key.fingerprint == keys.fingerprint(KEY)
    admin_client.post(change, opened(admin_client, connection) | {"certificate": [CERTIFICATE]})
    assert SigningKey.objects.get(pk=connection.signing_key_id).certificate == CERTIFICATE
    assert AuditEvent.objects.filter(act="changed").values_list("fields", flat=True)[0] == ["signing_key"]


def test_groups_are_chosen_and_audited(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    group = Group.objects.create(name="sales")
    add(admin_client, salesforce_org, make_key="on", visible_to_groups=str(group.pk))
    connection = ConnectedApp.objects.get()
    assert list(connection.groups.all()) == [group]
    page = opened(admin_client, connection)
    assert page["visible_to_groups"] == [str(group.pk)]
    page.pop("visible_to_groups")
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/change/", page)
    assert not connection.groups.exists()
    acts = AuditEvent.objects.order_by("at").values_list("act", "fields")
    assert [(act, "sales" in names) for act, names in acts if "limited" in act] == [
        ("limited to group", True),
        ("no longer limited to group", True),
    ]
    assert ["visible_to_groups" in names for act, names in acts if "limited" not in act] == [True, True]


def test_group_that_limits_a_connection_cannot_be_deleted(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme")
    group = Group.objects.create(name="sales")
    connection.groups.set([group])
    told = text_of(
        admin_client.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"}).content.decode()
    )
    assert "would require deleting the following protected related objects" in told
    assert "sales may see acme" in told
    assert connection.groups.exists()
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/delete/", {"post": "yes"})
    admin_client.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"})
    assert not ConnectedApp.objects.exists()
    assert not Group.objects.filter(pk=group.pk).exists()


def test_bad_input_changes_nothing(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    connection = salesforce_org.connect("acme")
    before = serializers.serialize("json", [*ConnectedApp.objects.all(), *SigningKey.objects.all()])
    for wrong in (
        {"login_url": "http://elsewhere.example"},
        {"consumer_key": ""},
        {"private_key": SECRET, "passphrase": "wrong"},
        {"private_key": CERTIFICATE},
    ):
        changed = values(salesforce_org, signing_key=str(connection.signing_key_id)) | wrong
        response = admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/change/", changed)
        assert response.status_code == 200
        assert "errornote" in response.content.decode()
    assert serializers.serialize("json", [*ConnectedApp.objects.all(), *SigningKey.objects.all()]) == before
    assert not AuditEvent.objects.exists()


def test_deleting_a_connection_takes_tokens_and_checks_but_not_the_key(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    connection = salesforce_org.connect("acme")
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/check/")
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/delete/", {"post": "yes"})
    assert not ConnectedApp.objects.exists()
    assert not AccessToken.objects.exists()
    assert SigningKey.objects.exists()
    assert AuditEvent.objects.get(act="deleted").subject == "acme"


# ---- secrets --------------------------------------------------------------------------------------------------------


def test_private_key_is_shown_by_no_page_and_no_history(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    pages = [
        add(admin_client, salesforce_org, private_key=SECRET, passphrase="wrong", certificate=CERTIFICATE)
    ]
    pages.append(add(admin_client, salesforce_org, private_key=SECRET, passphrase=PASSPHRASE, username=""))
    pages.append(
        add(admin_client, salesforce_org, private_key=SECRET, passphrase=PASSPHRASE, certificate=CERTIFICATE)
    )
    connection, key = ConnectedApp.objects.get(), SigningKey.objects.get()
    assert key.private_key is not None
    for path in (
        f"connectedapp/{connection.pk}/change/",
        f"connectedapp/{connection.pk}/history/",
        f"signingkey/{key.pk}/change/",
        f"signingkey/{key.pk}/history/",
        "signingkey/",
    ):
        response = admin_client.get(f"{ADMIN}/{path}")
        assert response.status_code == 200
        pages.append(response.content.decode())
    pages += [entry.change_message for entry in LogEntry.objects.all()]
    pages.append(serializers.serialize("json", AuditEvent.objects.all()))
    plain = pem(KEY).splitlines()
    for secret in (PASSPHRASE, SECRET.splitlines()[4], plain[4], key.private_key.ciphertext):
        assert not [page for page in pages if secret in page]
    assert AuditEvent.objects.get(act="created").fields == [
        "consumer_key",
        "login_url",
        "name",
        "signing_key",
        "username",
    ]


@pytest.mark.parametrize("model", MODELS)
def test_no_page_shows_token_or_sealed_value(
    salesforce_org: ConnectableOrg, admin_client: Client, model: str
) -> None:
    connection = salesforce_org.connect("acme")
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/check/")
    row, key = AccessToken.objects.get(), SigningKey.objects.get()
    assert row.value is not None
    assert key.private_key is not None
    html = admin_client.get(f"{ADMIN}/{model}/").content.decode()
    links = set(re.findall(rf"{ADMIN}/{model}/[0-9a-f-]{{36}}/change/", html))
    assert links
    html += "".join(admin_client.get(link).content.decode() for link in links)
    token = row.value.open().decode()
    for secret in (token, token[16:40], row.value.ciphertext, row.fingerprint, key.private_key.ciphertext):
        assert secret not in html


# ---- signing keys ---------------------------------------------------------------------------------------------------


def test_signing_key_is_given_renamed_and_its_certificate_downloaded(admin_client: Client) -> None:
    given = {"name": "harbor", "private_key": SECRET, "passphrase": PASSPHRASE, "certificate": CERTIFICATE}
    assert admin_client.post(f"{ADMIN}/signingkey/add/", given).status_code == 302
    key = SigningKey.objects.get()
    assert key.fingerprint == keys.fingerprint(KEY)
    admin_client.post(f"{ADMIN}/signingkey/{key.pk}/change/", {"name": "harbour"})
    key.refresh_from_db()
    assert key.name == "harbour"
    response = admin_client.get(f"{ADMIN}/signingkey/{key.pk}/certificate/")
    assert response.content.decode() == CERTIFICATE
    assert response["Content-Disposition"] == 'attachment; filename="harbour.crt"'
    assert list(AuditEvent.objects.order_by("at").values_list("act", "fields")) == [
        ("added key", ["name", "signing_key"]),
        ("changed key", ["name"]),
    ]


def test_signing_key_is_made_here(admin_client: Client) -> None:
    assert admin_client.post(f"{ADMIN}/signingkey/add/", {"name": "own", "make_key": "on"}).status_code == 302
    key = SigningKey.objects.get()
    assert (key.origin, key.size, key.can_sign) == ("made", 2048, True)


def test_new_key_pair_is_told_where_its_certificate_goes(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    pair = {
        "name": "own",
        "make_key": "on",
        "bits": "3072",
        "days": "90",
        "common_name": "Acme",
        "country": "DE",
    }
    pages = {
        "own": admin_client.post(f"{ADMIN}/signingkey/add/", pair, follow=True).content.decode(),
        "acme": add(admin_client, salesforce_org, make_key="on"),
    }
    for name, told in pages.items():
        key = SigningKey.objects.get(name=name)
        assert f"{ADMIN}/signingkey/{key.pk}/certificate/" in told
        assert "External Client App Manager → the app → Flow Enablement" in text_of(told)
        assert "App Manager → the app → API (Enable OAuth Settings) → Use digital signatures" in text_of(told)
    made = SigningKey.objects.get(name="own")
    assert made.size == 3072
    assert (made.not_after - made.not_before).days == 90
    assert keys.read_certificate(made.certificate.encode()).subject == "CN=Acme,C=DE"


@pytest.mark.parametrize(
    ("values", "words"),
    [({"days": "0"}, "greater than or equal to 1"), ({"days": "9999"}, "less than or equal to 3650"),
     ({"bits": "1024"}, "1024 is not one of the available choices"), ({"country": "D1"}, "two letters")],
)  # fmt: skip
def test_new_key_pair_that_cannot_be_is_refused(
    admin_client: Client, values: dict[str, str], words: str
) -> None:
    response = admin_client.post(f"{ADMIN}/signingkey/add/", {"name": "own", "make_key": "on"} | values)
    assert words in response.content.decode()
    assert not SigningKey.objects.exists()


def test_what_was_repaired_in_a_key_is_told(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    damaged = {"private_key": pem(KEY).replace("\n", "\\n"), "certificate": CERTIFICATE}
    told = admin_client.post(f"{ADMIN}/signingkey/add/", {"name": "own"} | damaged, follow=True)
    assert "Line breaks and letters written with a backslash" in text_of(told.content.decode())
    whole = {"private_key": pem(KEY).replace("\n", "\r\n"), "certificate": CERTIFICATE}
    assert "line ends" not in text_of(add(admin_client, salesforce_org, **whole))


def test_page_of_a_key_shows_fingerprints_and_who_uses_it(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    hidden = salesforce_org.connect("hidden")
    hidden.groups.add(Group.objects.create(name="others"))
    assert hidden.signing_key == connection.signing_key
    key = connection.signing_key
    page = (
        staff("Alice", "view_health", "manage_keys")
        .get(f"{ADMIN}/signingkey/{key.pk}/change/")
        .content.decode()
    )
    assert keys.colon_pairs(key.certificate_fingerprint) in page
    assert keys.colon_pairs(key.fingerprint) in page
    assert f'{ADMIN}/connectedapp/{connection.pk}/change/">acme</a> and 1 more' in page
    assert "hidden" not in re.sub(
        r'type="hidden"', "", page.partition("Used by")[2].partition("</fieldset>")[0]
    )
    assert "Add the new key pair" in page
    viewer = staff("Bob", "view_health").get(f"{ADMIN}/signingkey/{key.pk}/change/").content.decode()
    assert "new_certificate" not in viewer
    assert "Add the new key pair" not in viewer


def test_certificate_is_renewed_by_file(admin_client: Client) -> None:
    key = keystore.take_in(pem(KEY).encode(), name="own")
    change = f"{ADMIN}/signingkey/{key.pk}/change/"
    assert "not known: add the certificate" in admin_client.get(change).content.decode()
    upload = SimpleUploadedFile("server.crt", CERTIFICATE.encode())
    admin_client.post(change, {"name": "own", "new_certificate_file": upload})
    key.refresh_from_db()
    assert key.certificate == CERTIFICATE
    assert AuditEvent.objects.get().fields == ["certificate"]


def test_certificate_of_a_hidden_key_is_not_named(salesforce_org: ConnectableOrg) -> None:
    hidden = salesforce_org.connect("hidden")
    hidden.groups.add(Group.objects.create(name="others"))
    hidden.signing_key.name = "name-of-the-hidden"
    hidden.signing_key.save()
    own = keystore.make(name="own")
    given = {"name": "own", "new_certificate": hidden.signing_key.certificate}
    answers = [
        client.post(f"{ADMIN}/signingkey/{own.pk}/change/", given).content.decode()
        for client in (staff("Alice", "view_health", "manage_keys"), superuser())
    ]
    assert ["belongs to another key" in page for page in answers] == [True, True]
    assert ["name-of-the-hidden" in page for page in answers] == [False, True]


def superuser() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_certificate_of_another_key_is_refused(admin_client: Client) -> None:
    key = keystore.make(name="own")
    before = key.certificate
    response = admin_client.post(
        f"{ADMIN}/signingkey/{key.pk}/change/", {"name": "own", "new_certificate": CERTIFICATE}
    )
    assert "belongs to another key" in response.content.decode()
    key.refresh_from_db()
    assert key.certificate == before


def test_used_signing_key_is_protected(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    key = salesforce_org.connect("acme").signing_key
    html = admin_client.post(f"{ADMIN}/signingkey/{key.pk}/delete/", {"post": "yes"}).content.decode()
    assert "would require deleting the following protected related objects" in html
    assert SigningKey.objects.exists()


# ---- who may what ---------------------------------------------------------------------------------------------------


def test_staff_without_our_permissions_sees_nothing(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    # Django's own permissions for the models don't count.
    outsider = staff(
        "mallory", "view_connectedapp", "change_connectedapp", "add_connectedapp", "view_signingkey"
    )
    for model in MODELS:
        assert outsider.get(f"{ADMIN}/{model}/").status_code == 403
    assert outsider.get(f"{ADMIN}/connectedapp/add/").status_code == 403


def test_viewer_sees_but_changes_nothing(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    viewer = staff("vera", "view_health")
    change = f"{ADMIN}/connectedapp/{connection.pk}/change/"
    html = viewer.get(change).content.decode()
    assert connection.username in html
    assert 'name="_save"' not in html
    assert viewer.post(change, values(salesforce_org)).status_code == 403
    assert viewer.post(f"{ADMIN}/connectedapp/{connection.pk}/check/").status_code == 403
    assert viewer.get(f"{ADMIN}/signingkey/{connection.signing_key_id}/change/").status_code == 200
    assert viewer.get(f"{ADMIN}/signingkey/add/").status_code == 403
    assert viewer.get(f"{ADMIN}/auditevent/").status_code == 403
    assert "Check now" not in viewer.get(f"{ADMIN}/connectedapp/").content.decode()
    assert not salesforce_org.requests


def test_manager_sees_only_own_groups_connections(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("open")
    hidden = salesforce_org.connect("closed")
    hidden.groups.add(Group.objects.create(name="others"))
    manager = staff("mia", "view_health", "manage_keys", "run_checks")
    html = manager.get(f"{ADMIN}/connectedapp/").content.decode()
    assert "open" in html
    assert "closed" not in html
    assert manager.get(f"{ADMIN}/connectedapp/{hidden.pk}/change/").status_code == 302
    assert manager.post(f"{ADMIN}/connectedapp/{hidden.pk}/check/").status_code == 404
    assert not salesforce_org.requests


def test_viewer_is_told_the_groups(salesforce_org: ConnectableOrg) -> None:
    connection = salesforce_org.connect("acme")
    viewer = staff("vera", "view_health")
    group = Group.objects.create(name="harbour people")
    group.user_set.add(User.objects.get(username="vera"))
    connection.groups.set([group])
    html = viewer.get(f"{ADMIN}/connectedapp/{connection.pk}/change/").content.decode()
    assert "harbour people" in html
    assert 'name="visible_to_groups"' not in html


def test_signing_key_of_a_hidden_connection_is_out_of_reach(salesforce_org: ConnectableOrg) -> None:
    hidden = salesforce_org.connect("closed")
    hidden.groups.add(Group.objects.create(name="others"))
    SigningKey.objects.update(name="closed-pair")
    keystore.make(name="spare-pair")
    manager = staff("mia", "view_health", "manage_keys")
    html = manager.get(f"{ADMIN}/signingkey/").content.decode()
    assert "spare-pair" in html
    assert "closed-pair" not in html
    key = hidden.signing_key
    for path in ("change/", "delete/", "history/"):
        assert manager.get(f"{ADMIN}/signingkey/{key.pk}/{path}").status_code == 302
    assert manager.get(f"{ADMIN}/signingkey/{key.pk}/certificate/").status_code == 404
    assert manager.post(f"{ADMIN}/signingkey/{key.pk}/change/", {"name": "mine"}).status_code == 302
    assert SigningKey.objects.filter(name="closed-pair").exists()
    html = manager.get(f"{ADMIN}/connectedapp/add/").content.decode()
    assert "spare-pair" in html
    assert "closed-pair" not in html
    own = salesforce_org.connect("mine", signing_key=SigningKey.objects.get(name="spare-pair"))
    for field in ("signing_key", "staged_signing_key"):
        chosen = values(salesforce_org, name="mine") | {field: str(key.pk)}
        for page in ("add/", f"{own.pk}/change/"):
            told = text_of(manager.post(f"{ADMIN}/connectedapp/{page}", chosen).content.decode())
            assert page == "add/" or "That choice is not one of the available choices" in told
    assert ConnectedApp.objects.filter(signing_key=key).count() == 1
    assert not ConnectedApp.objects.exclude(staged_signing_key=None).exists()


def test_adding_a_known_key_pair_does_not_tell_the_name_of_a_hidden_one(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    hidden = salesforce_org.connect("closed")
    hidden.groups.add(Group.objects.create(name="others"))
    SigningKey.objects.update(name="closed-pair")
    given = {"name": "mine", "private_key": org_key(salesforce_org)["private_key"]}
    told = staff("mia", "view_health", "manage_keys").post(f"{ADMIN}/signingkey/add/", given).content.decode()
    assert "stored already" in told
    assert "closed-pair" not in told
    told = admin_client.post(f"{ADMIN}/signingkey/add/", given).content.decode()
    assert "stored already, as “closed-pair”" in told


def test_deleting_a_shared_key_does_not_tell_hidden_connections(salesforce_org: ConnectableOrg) -> None:
    key = salesforce_org.connect("open").signing_key
    hidden = salesforce_org.connect("closed", signing_key=key)
    hidden.groups.add(Group.objects.create(name="others"))
    manager = staff("mia", "view_health", "manage_keys")
    for told in (
        manager.get(f"{ADMIN}/signingkey/{key.pk}/delete/"),
        manager.post(f"{ADMIN}/signingkey/{key.pk}/delete/", {"post": "yes"}),
        manager.post(
            f"{ADMIN}/signingkey/", {"action": "delete_selected", "_selected_action": [str(key.pk)]}
        ),
    ):
        assert "2 connections" in text_of(told.content.decode())
        assert "closed" not in told.content.decode()
    assert SigningKey.objects.exists()


@pytest.mark.parametrize("model", ["accesstoken", "connectioncheck", "auditevent"])
def test_what_the_app_writes_is_read_only(
    salesforce_org: ConnectableOrg, admin_client: Client, model: str
) -> None:
    connection = salesforce_org.connect("acme")
    admin_client.post(f"{ADMIN}/connectedapp/{connection.pk}/check/")
    (row,) = {"accesstoken": AccessToken, "connectioncheck": ConnectionCheck, "auditevent": AuditEvent}[
        model
    ].objects.all()
    assert admin_client.get(f"{ADMIN}/{model}/add/").status_code == 403
    assert admin_client.post(f"{ADMIN}/{model}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post(f"{ADMIN}/{model}/{row.pk}/change/", {"username": "x"}).status_code == 403


# ---- list -----------------------------------------------------------------------------------------------------------


def run(client: Client, action: str, *connections: ConnectedApp) -> str:
    chosen = {"action": action, "_selected_action": [str(connection.pk) for connection in connections]}
    return text_of(client.post(f"{ADMIN}/connectedapp/", chosen, follow=True).content.decode())


def test_actions_do_what_the_buttons_do(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    good, bad = salesforce_org.connect("good"), salesforce_org.connect("bad", consumer_key="3MVG9nonsense")
    told = run(admin_client, "check_now", good, bad)
    assert "good: Healthy." in told
    assert "bad: Failing." in told
    assert "good is paused" in run(admin_client, "pause", good)
    assert "good is resumed" in run(admin_client, "resume", good)
    assert "good signed in anew" in run(admin_client, "renew_now", good)
    acts = AuditEvent.objects.filter(subject="good").order_by("at").values_list("act", flat=True)
    assert list(acts) == ["checked", "paused", "resumed", "renewed"]


def revoke(client: Client, page: str, *rows: object, **more: str) -> str:
    chosen = {"action": "revoke_tokens", "_selected_action": [str(row) for row in rows]} | more
    return client.post(f"{ADMIN}/{page}/", chosen, follow=True).content.decode()


@pytest.fixture
def two_users(salesforce_org: ConnectableOrg) -> ConnectableOrg:
    ops = salesforce_org.add_user("ops@nordhafen.example").username
    salesforce_org.connect("acme", extra_usernames=[ops])
    get_token("acme")
    get_token("acme", username=ops)
    return salesforce_org


def test_tokens_of_a_connection_are_revoked_after_asking(
    two_users: ConnectableOrg, admin_client: Client
) -> None:
    chosen = ConnectedApp.objects.get().pk
    asked = revoke(admin_client, "connectedapp", chosen)
    assert "acme: ops@nordhafen.example" in asked
    assert f'name="_selected_action" value="{chosen}"' in asked
    assert AccessToken.objects.filter(value__isnull=False).count() == 2
    told = revoke(admin_client, "connectedapp", chosen, revoke_confirmed="yes")
    assert told.count("was ended and its token dropped") == 2
    assert not AccessToken.objects.filter(value__isnull=False).exists()
    assert AuditEvent.objects.filter(act="revoked token").count() == 2
    assert "There is no token to revoke." in revoke(admin_client, "connectedapp", chosen)


def test_one_token_is_revoked_in_the_list_of_tokens(two_users: ConnectableOrg, admin_client: Client) -> None:
    own = get_token("acme")
    row = AccessToken.objects.get(username="ops@nordhafen.example")
    assert "integration@" not in revoke(admin_client, "accesstoken", row.pk).partition("<form")[2]
    revoke(admin_client, "accesstoken", row.pk, revoke_confirmed="yes")
    row.refresh_from_db()
    assert row.value is None
    assert two_users.find_session(own.value)


def test_who_may_not_run_checks_revokes_nothing(two_users: ConnectableOrg) -> None:
    viewer = staff("vera", "view_health")
    for page, pk in (
        ("connectedapp", ConnectedApp.objects.get().pk),
        ("accesstoken", AccessToken.objects.order_by("username").first().pk),  # type: ignore[union-attr]
    ):
        revoke(viewer, page, pk, revoke_confirmed="yes")
    hidden = ConnectedApp.objects.get()
    hidden.groups.add(Group.objects.create(name="others"))
    operator = staff("otto", "view_health", "run_checks")
    revoke(operator, "connectedapp", hidden.pk, revoke_confirmed="yes")
    revoke(operator, "accesstoken", AccessToken.objects.latest("pk").pk, revoke_confirmed="yes")
    assert AccessToken.objects.filter(value__isnull=False).count() == 2


def test_sessions_that_end_early_are_told(two_users: ConnectableOrg, admin_client: Client) -> None:
    AccessToken.objects.update(early_ends=3, shortest_life_seconds=1860)
    html = admin_client.get(f"{ADMIN}/connectedapp/{ConnectedApp.objects.get().pk}/change/").content.decode()
    assert "Sessions here end after about 31 min" in html


def listed(client: Client, **query: str) -> list[str]:
    html = client.get(f"{ADMIN}/connectedapp/", query).content.decode()
    return re.findall(r'field-connection"><a href="[^"]*">([^<]*)<', html)


def test_list_is_filtered_by_state_and_searched(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    salesforce_org.connect("anna", enabled=False)
    salesforce_org.connect("zoe")
    assert listed(admin_client, state="Paused") == ["anna"]
    assert listed(admin_client, q="zo") == ["zoe"]


@pytest.mark.parametrize("model", ["connectedapp", "accesstoken", "connectioncheck"])
def test_number_of_queries_does_not_depend_on_rows(
    salesforce_org: ConnectableOrg, admin_client: Client, model: str
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(database) as captured:
            assert admin_client.get(f"{ADMIN}/{model}/").status_code == 200
        return len(captured)

    def connect(name: str) -> None:
        connection = salesforce_org.connect(name)
        AccessToken.objects.create(connection=connection, username=connection.username)
        ConnectionCheck.objects.create(connection=connection, asked_by="beat", healthy=True, state="Healthy")

    connect("one")
    few = queries()
    for number in range(20):
        connect(f"c-{number}")
    assert queries() == few <= 15


def test_error_reports_leave_private_key_and_passphrase_out(
    salesforce_org: ConnectableOrg, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Django would mail to the administrators when something breaks while a key comes in."""
    from django.views.debug import SafeExceptionReporterFilter

    reported: list[str] = []

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken on purpose")

    def remember(sender: object, request: object, **_: object) -> None:
        reported.append(json.dumps(dict(SafeExceptionReporterFilter().get_post_parameters(request))))  # type: ignore[arg-type]

    from django.core.signals import got_request_exception

    monkeypatch.setattr(keystore, "store", broken)
    got_request_exception.connect(remember)
    admin_client.raise_request_exception = False
    try:
        add(admin_client, salesforce_org, private_key=SECRET, passphrase=PASSPHRASE)
    finally:
        got_request_exception.disconnect(remember)
    (parameters,) = reported
    assert salesforce_org.user.username in parameters
    assert PASSPHRASE not in parameters
    assert "BEGIN" not in parameters

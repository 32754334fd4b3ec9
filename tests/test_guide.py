"""The set-up guide by HTTP: who may, what is kept, what a mistake leads to."""

from __future__ import annotations

import datetime as dt
import re
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern
from django.utils import timezone

from sf_integration import access, health, tokens, urls
from sf_integration.models import RESERVED_NAMES, AuditEvent, ConnectedApp, ConnectionDraft, SigningKey
from sf_integration.salesforce import setup_guide
from sf_integration.salesforce.errors import InvalidInput
from sf_integration.services import drafts
from sf_integration.testing.apps import App
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import claims, lifecycle

pytestmark = pytest.mark.django_db(transaction=True)

MANAGE = ["view_health", "run_checks", "manage_keys"]


def person(name: str, *codenames: str) -> Client:
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def dora() -> Client:
    """May manage connections and check them."""
    return person("dora", *MANAGE)


def text_of(response) -> str:
    """What a reader sees, blanks folded."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())).replace("&#x27;", "'")


def begin(client: Client, org: ConnectableOrg, **values: str) -> ConnectionDraft:
    response = client.post(
        "/connections/new/",
        {"login_url": org.url, "app_kind": "external_client_app", "name": "acme", "label": "Acme"} | values,
    )
    assert response.status_code == 302, text_of(response)
    return ConnectionDraft.objects.get()


def make_key(client: Client, draft: ConnectionDraft) -> SigningKey:
    assert client.post(f"/connections/new/{draft.pk}/key/", {"make_key": "on"}).status_code == 302
    draft.refresh_from_db()
    assert draft.signing_key
    return draft.signing_key


def admin_makes_app(org: ConnectableOrg, client: Client, draft: ConnectionDraft, **settings: object) -> App:
    """What the admin of the org does with the certificate that the page offers."""
    certificate = client.get(f"/connections/new/{draft.pk}/certificate.crt").content.decode()
    return org.add_app(**({"name": "Acme", "kind": "external", "certificate_pem": certificate} | settings))


def check(client: Client, draft: ConnectionDraft, org: ConnectableOrg, app: App, **values: str):
    return client.post(
        f"/connections/new/{draft.pk}/check/",
        {"login_url": org.url, "consumer_key": app.consumer_key, "username": org.user.username} | values,
    )


# ---- the way through ------------------------------------------------------------------------------------------------


def test_guide_leads_to_a_connection_that_works(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    app = admin_makes_app(salesforce_org, dora, draft)
    response = check(dora, draft, salesforce_org, app)
    assert response["Location"] == "/connections/acme/"
    connection = ConnectedApp.objects.get()
    assert (connection.name, connection.label, connection.app_kind) == ("acme", "Acme", "external_client_app")
    assert connection.connection_state().is_healthy
    assert not ConnectionDraft.objects.exists()
    assert "The set-up is finished." in text_of(dora.get("/connections/acme/"))
    assert {"added key", "created", "checked"} <= set(AuditEvent.objects.values_list("act", flat=True))


@pytest.mark.parametrize("way", ["pasted", "file", "stored"])
def test_key_that_one_has_serves_as_well(salesforce_org: ConnectableOrg, dora: Client, way: str) -> None:
    app = salesforce_org.app
    if way == "stored":
        salesforce_org.connect("other")
    draft = begin(dora, salesforce_org)
    given: dict[str, object] = {
        "pasted": {"private_key": app.private_key_pem, "certificate": app.certificate_pem},
        "file": {
            "private_key_file": SimpleUploadedFile("server.key", str(app.private_key_pem).encode()),
            "certificate_file": SimpleUploadedFile("server.crt", app.certificate_pem.encode()),
        },
        "stored": {"stored": str(SigningKey.objects.values_list("pk", flat=True).first())},
    }[way]
    assert dora.post(f"/connections/new/{draft.pk}/key/", given).status_code == 302
    assert check(dora, draft, salesforce_org, app)["Location"] == "/connections/acme/"
    assert SigningKey.objects.count() == 1


def test_values_can_be_saved_for_later(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    response = dora.post(
        f"/connections/new/{draft.pk}/check/",
        {"login_url": salesforce_org.url, "username": "me@acme.example", "later": "1"},
    )
    assert response.status_code == 302
    draft.refresh_from_db()
    assert (draft.username, draft.consumer_key) == ("me@acme.example", "")
    assert not salesforce_org.requests
    listed = text_of(dora.get("/connections/"))
    assert "1 set-up unfinished: resume Acme" in listed
    assert "Acme" in text_of(dora.get("/connections/new/"))


@pytest.mark.parametrize("missing", ["consumer_key", "username", "signing key"])
def test_check_needs_all_values(salesforce_org: ConnectableOrg, dora: Client, missing: str) -> None:
    draft = begin(dora, salesforce_org)
    if missing != "signing key":
        make_key(dora, draft)
    response = check(dora, draft, salesforce_org, salesforce_org.app, **{missing: ""})
    assert response.status_code == 422
    assert ("no signing key yet" if missing == "signing key" else "This is empty.") in text_of(response)
    assert not ConnectedApp.objects.exists()
    assert not salesforce_org.requests


# ---- steps left out -------------------------------------------------------------------------------------------------

NOT_DONE = {
    "permission set not attached": ({"users": set()}, "invalid_app_access", "attach"),
    "refresh scope missing": ({"scopes": ("api",)}, "invalid_request", "scopes"),
    "certificate of another key": ({"certificate_pem": ""}, "invalid_grant", "certificate"),
    "users may authorize themselves": (
        {"permitted_users": "self_authorize"},
        "invalid_grant",
        "permitted-users",
    ),
    "app not known yet": ({"known": False}, "invalid_client_id", "consumer-key"),
    "app not installed": ({"installed": False}, "app_not_found", "login-url"),
}


@pytest.mark.parametrize("case", NOT_DONE, ids=str)
def test_step_left_out_is_named_and_shown(salesforce_org: ConnectableOrg, dora: Client, case: str) -> None:
    settings, code, step = NOT_DONE[case]
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    dora.post(
        f"/connections/new/{draft.pk}/steps/", {"room": "app", "done": ["certificate", "scopes", "new-app"]}
    )
    app = admin_makes_app(salesforce_org, dora, draft, **settings)
    response = check(dora, draft, salesforce_org, app)
    assert response["Location"] == f"/connections/new/{draft.pk}/#outcome"
    html = dora.get(f"/connections/new/{draft.pk}/").content.decode()
    assert f"<code>{code}</code>" in html
    assert f'class="sf-guide-step sf-explains" id="step-{step}"' in html.replace(" sf-is-done", "")
    assert f'<a href="#step-{step}">' in html
    assert "ten minutes to know a new app" in html
    assert ConnectedApp.objects.get().last_error["code"] == code


def test_what_was_left_out_can_be_done_and_checked_again(
    salesforce_org: ConnectableOrg, dora: Client
) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    app = admin_makes_app(salesforce_org, dora, draft, users=set())
    check(dora, draft, salesforce_org, app, username="nobody@acme.example")
    app.users = None
    assert check(dora, draft, salesforce_org, app)["Location"] == "/connections/acme/"
    assert ConnectedApp.objects.get().username == salesforce_org.user.username
    assert not ConnectionDraft.objects.exists()


def test_old_app_is_not_said_to_be_new(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    app = admin_makes_app(salesforce_org, dora, draft, users=set())
    check(dora, draft, salesforce_org, app)
    an_hour_ago = timezone.now() - dt.timedelta(hours=1)
    ConnectedApp.objects.update(created_at=an_hour_ago, settings_since=an_hour_ago)
    assert "minutes to know a new app" not in text_of(dora.get(f"/connections/new/{draft.pk}/"))


def test_who_may_not_check_has_the_values_saved(salesforce_org: ConnectableOrg) -> None:
    erin = person("erin", "view_health", "manage_keys")
    draft = begin(erin, salesforce_org)
    make_key(erin, draft)
    response = check(erin, draft, salesforce_org, salesforce_org.app)
    assert response.status_code == 302
    assert ConnectedApp.objects.get().name == "acme"
    assert not salesforce_org.requests
    assert "Someone who may run checks here" in text_of(erin.get(f"/connections/new/{draft.pk}/"))


# ---- the beginning --------------------------------------------------------------------------------------------------


def test_pasted_page_gives_address_and_names(dora: Client) -> None:
    response = dora.post(
        "/connections/new/",
        {
            "login_url": "https://acme--uat.sandbox.lightning.force.com/lightning/page/home",
            "app_kind": "external_client_app",
        },
        follow=True,
    )
    draft = ConnectionDraft.objects.get()
    assert draft.login_url == "https://acme--uat.sandbox.my.salesforce.com"
    assert (draft.name, draft.label) == ("acme-uat", "Acme uat")
    shown = text_of(response)
    assert "Taken from the address you pasted: https://acme--uat.sandbox.my.salesforce.com." in shown
    assert "sandbox" in shown
    setup = (
        "https://acme--uat.sandbox.lightning.force.com/lightning/setup/ManageExternalClientApplication/home"
    )
    assert f'href="{setup}"' in response.content.decode()


def test_name_that_is_taken_gets_a_number_or_is_refused(salesforce_org: ConnectableOrg, dora: Client) -> None:
    salesforce_org.connect("acme")
    typed = {"login_url": "https://acme.my.salesforce.com", "app_kind": "external_client_app"}
    assert dora.post("/connections/new/", typed).status_code == 302
    assert ConnectionDraft.objects.get().name == "acme-2"
    response = dora.post("/connections/new/", typed | {"name": "acme"})
    assert response.status_code == 422
    assert "“acme” is taken" in text_of(response)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"login_url": "https://na1.salesforce.com"}, "Setup → My Domain"),
        (
            {"login_url": "https://login.salesforce.com", "name": "acme"},
            "External Client Apps are not found through",
        ),
        (
            {"login_url": "https://login.salesforce.com", "app_kind": "connected_app"},
            "give one, such as acme-prod",
        ),
        ({"login_url": "https://evil.example", "name": "acme"}, "neither a host of Salesforce"),
        ({"login_url": ""}, "This field is required"),
        ({"name": "Acme Prod"}, "Use lower-case letters"),
        ({"name": "new"}, "is taken"),
        ({"app_kind": "nonsense"}, "not one of the available choices"),
    ],
)
def test_bad_beginning_is_told(dora: Client, values: dict[str, str], told: str) -> None:
    typed = {"login_url": "https://acme.my.salesforce.com", "app_kind": "external_client_app"} | values
    response = dora.post("/connections/new/", typed)
    assert response.status_code == 422
    assert told in text_of(response)
    assert not ConnectionDraft.objects.exists()


@pytest.mark.parametrize("domain", ["a" * 120, "a" * 63, f"{'a' * 50}--{'b' * 10}.sandbox"])
def test_what_is_made_of_a_long_address_fits(dora: Client, domain: str) -> None:
    values = {"login_url": f"https://{domain}.my.salesforce.com", "app_kind": "external_client_app"}
    for _ in range(2):
        assert dora.post("/connections/new/", values).status_code == 302
        draft = ConnectionDraft.objects.first()
        assert draft
        draft.clean_fields(exclude={"objects_wanted", "steps_done"})
        ConnectedApp(name=draft.name, label=draft.label).clean_fields(
            exclude={field.name for field in ConnectedApp._meta.fields} - {"name", "label"}
        )


@pytest.mark.parametrize(
    "address", [f"https://acme.my.site.com/{'a' * 300}", f"https://{'a' * 300}.my.salesforce.com"]
)
def test_address_that_is_too_long_is_refused_wherever_it_is_given(
    salesforce_org: ConnectableOrg, dora: Client, address: str
) -> None:
    values = {"login_url": address, "app_kind": "external_client_app", "name": "long"}
    assert "at most 255 characters" in text_of(dora.post("/connections/new/", values))
    draft = begin(dora, salesforce_org)
    later = {"login_url": address, "later": "1"}
    assert "at most 255 characters" in text_of(dora.post(f"/connections/new/{draft.pk}/check/", later))


def test_beginning_can_be_corrected(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    page = dora.get(f"/connections/new/{draft.pk}/change/").content.decode()
    assert f'value="{salesforce_org.url}"' in page
    assert "kind unknown" in text_of(dora.get(f"/connections/new/{draft.pk}/"))
    dora.post(
        f"/connections/new/{draft.pk}/change/",
        {
            "login_url": "https://acme.my.salesforce.com",
            "app_kind": "connected_app",
            "name": "acme",
            "label": "Acme",
        },
    )
    draft.refresh_from_db()
    assert (draft.app_kind, draft.login_url) == ("connected_app", "https://acme.my.salesforce.com")
    assert "Use digital signatures" in text_of(dora.get(f"/connections/new/{draft.pk}/"))


def test_address_is_judged_while_it_is_typed(salesforce_org: ConnectableOrg, dora: Client) -> None:
    def judge(**values: str) -> dict[str, str]:
        answer: dict[str, str] = dora.post("/connections/new/login-url/", values).json()
        return answer

    found = judge(login_url="acme--uat.sandbox.lightning.force.com/x")
    assert found["told"].startswith(
        "Login URL https://acme--uat.sandbox.my.salesforce.com, audience the same, sandbox."
    )
    assert "serves pages" in found["told"]
    assert "error" not in found
    assert "My Domain" in judge(login_url="eu5.salesforce.com")["error"]
    shared = {"login_url": "login.salesforce.com"}
    assert "app_not_found" in judge(**shared, app_kind="external_client_app")["error"]
    assert "error" not in judge(**shared, app_kind="connected_app")
    assert "kind of org not known yet" in judge(login_url=salesforce_org.url)["told"]
    assert not salesforce_org.requests
    assert dora.get("/connections/new/login-url/").status_code == 405


def test_no_get_of_the_guide_calls_salesforce(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    for path in (
        "new/",
        "guide/",
        *(f"new/{draft.pk}/{page}" for page in ("", "change/", "discard/", "certificate.crt")),
    ):
        assert dora.get(f"/connections/{path}").status_code == 200
    assert not salesforce_org.requests


# ---- steps ----------------------------------------------------------------------------------------------------------


def test_ticks_are_kept_per_room(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    path = f"/connections/new/{draft.pk}/steps/"
    assert (
        dora.post(path, {"room": "user", "done": ["licence", "new-user", "scopes", "nonsense"]}).status_code
        == 302
    )
    assert dora.post(path, {"room": "app", "done": ["scopes"]}).status_code == 302
    draft.refresh_from_db()
    assert draft.steps_done == ["licence", "new-user", "scopes"]
    answer = dora.post(path, {"room": "user", "done": ["licence"]}, headers={"accept": "application/json"})
    assert answer.json()["user"] == f"1 of {len(setup_guide.USER.steps)} done"
    assert answer.json()[""] == f"2 of {len(setup_guide.STEPS)} done"
    assert dora.post(path, {"room": "nonsense"}).status_code == 404
    html = dora.get(f"/connections/new/{draft.pk}/").content.decode()
    assert html.count(" checked>") == 2


def test_page_shows_every_step_with_its_values(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org, username="me@acme.example")
    shown = text_of(dora.get(f"/connections/new/{draft.pk}/"))
    for step in setup_guide.STEPS:
        assert step.title in shown
        assert step.external.menu[1:] in shown.replace("&amp;", "&")
    for value in ("https://localhost/callback", "me@acme.example", "Acme access", "labels vary by release"):
        assert value in shown
    assert "make or give a signing key" in shown
    assert "lightning.force.com" not in dora.get(f"/connections/new/{draft.pk}/").content.decode()


# ---- secrets --------------------------------------------------------------------------------------------------------


def test_private_key_is_never_shown_again(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    pem = str(salesforce_org.app.private_key_pem)
    middle = pem.splitlines()[5]
    wrong = dora.post(
        f"/connections/new/{draft.pk}/key/",
        {"private_key": pem, "passphrase": "planted-word", "certificate": "nonsense"},
    )
    assert wrong.status_code == 422
    right = dora.post(f"/connections/new/{draft.pk}/key/", {"private_key": pem}, follow=True)
    assert right.status_code == 200
    for response in (wrong, right, dora.get(f"/connections/new/{draft.pk}/")):
        assert middle not in response.content.decode()
        assert "planted-word" not in response.content.decode()
    assert "Give the private key again" in text_of(wrong)


@pytest.mark.parametrize("given", [{}, {"make_key": "on", "private_key": "x"}, {"private_key": "nonsense"}])
def test_bad_key_is_refused(salesforce_org: ConnectableOrg, dora: Client, given: dict[str, str]) -> None:
    draft = begin(dora, salesforce_org)
    response = dora.post(f"/connections/new/{draft.pk}/key/", given)
    assert response.status_code == 422
    assert not SigningKey.objects.exists()


def test_key_that_one_has_serves_though_a_hidden_connection_uses_it(
    salesforce_org: ConnectableOrg, dora: Client
) -> None:
    salesforce_org.connect("hidden").groups.set([Group.objects.create(name="others")])
    draft = begin(dora, salesforce_org)
    given = {"private_key": str(salesforce_org.app.private_key_pem)}
    assert dora.post(f"/connections/new/{draft.pk}/key/", given).status_code == 302
    answer = check(dora, draft, salesforce_org, salesforce_org.app)
    assert answer["Location"] == "/connections/acme/"


def test_hidden_key_can_not_be_chosen(salesforce_org: ConnectableOrg, dora: Client) -> None:
    hidden = salesforce_org.connect("closed")
    hidden.groups.add(Group.objects.create(name="others"))
    draft = begin(dora, salesforce_org)
    response = dora.post(f"/connections/new/{draft.pk}/key/", {"stored": str(hidden.signing_key_id)})
    assert response.status_code == 422
    assert "closed" not in text_of(response)
    with pytest.raises(access.AccessDenied):
        drafts.choose_key(draft, hidden.signing_key, actor=draft.made_by)


# ---- who may --------------------------------------------------------------------------------------------------------

PAGES = ("new/", "new/{}/", "new/{}/change/", "new/{}/discard/", "new/{}/certificate.crt")
POSTS = (
    "new/",
    "new/login-url/",
    "new/{}/steps/",
    "new/{}/key/",
    "new/{}/check/",
    "new/{}/discard/",
    "new/{}/change/",
)


def test_without_the_permission_nothing_is_shown(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    frank = person("frank", "view_health", "run_checks")
    for path in PAGES:
        assert frank.get(f"/connections/{path.format(draft.pk)}").status_code == 403
    for path in POSTS:
        assert frank.post(f"/connections/{path.format(draft.pk)}").status_code == 403
    assert "/connections/new/" not in frank.get("/connections/").content.decode()
    assert frank.get("/connections/guide/").status_code == 200
    assert Client().get("/connections/new/").status_code == 302
    assert Client().get("/connections/guide/").status_code == 302
    assert ConnectionDraft.objects.count() == 1


def test_set_up_of_another_person_does_not_exist(
    salesforce_org: ConnectableOrg, dora: Client, admin_client: Client
) -> None:
    draft = begin(dora, salesforce_org)
    grace = person("grace", *MANAGE)
    for path in PAGES[1:]:
        assert grace.get(f"/connections/{path.format(draft.pk)}").status_code == 404
    for path in POSTS[2:]:
        assert grace.post(f"/connections/{path.format(draft.pk)}").status_code == 404
    assert "Acme" not in text_of(grace.get("/connections/new/"))
    assert grace.get(f"/connections/new/{UUID(int=0)}/").status_code == 404
    assert "by dora" in text_of(admin_client.get("/connections/new/"))
    assert admin_client.get(f"/connections/new/{draft.pk}/").status_code == 200


def test_connection_that_came_up_meanwhile_is_not_touched(
    salesforce_org: ConnectableOrg, dora: Client
) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    salesforce_org.connect("acme", username="first@acme.example")
    response = check(dora, draft, salesforce_org, salesforce_org.app)
    assert response.status_code == 422
    assert "There is a connection “acme” already" in text_of(response)
    assert ConnectedApp.objects.get().username == "first@acme.example"


@pytest.mark.parametrize("act", ["steps", "key", "check"])
def test_button_pressed_before_signing_in_anew_does_nothing(
    salesforce_org: ConnectableOrg, dora: Client, act: str
) -> None:
    draft = begin(dora, salesforce_org)
    response = dora.get(f"/connections/new/{draft.pk}/{act}/")
    assert response["Location"] == f"/connections/new/{draft.pk}/"
    assert not SigningKey.objects.exists()


def test_discarding_takes_nothing_from_a_check_under_way(
    salesforce_org: ConnectableOrg, dora: Client
) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    check(dora, draft, salesforce_org, admin_makes_app(salesforce_org, dora, draft, users=set()))
    row = ConnectedApp.objects.get().tokens.get()
    assert claims.claim(row, timezone.now())
    dora.post(f"/connections/new/{draft.pk}/discard/", {"leftovers": "on"})
    assert ConnectedApp.objects.get().signing_key
    assert not ConnectionDraft.objects.exists()


@pytest.mark.parametrize("act", ["steps", "key", "check"])
def test_who_comes_back_from_signing_in_hears_that_nothing_was_saved(
    salesforce_org: ConnectableOrg, dora: Client, act: str
) -> None:
    draft = begin(dora, salesforce_org)
    response = dora.get(f"/connections/new/{draft.pk}/{act}/", follow=True)
    assert "Nothing was saved just now" in text_of(response)


def test_set_up_that_is_over_says_where_it_went(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    app = admin_makes_app(salesforce_org, dora, draft)
    check(dora, draft, salesforce_org, app)
    again = check(dora, draft, salesforce_org, app)
    assert again.status_code == 404
    assert "a set-up that is finished has become a connection" in text_of(again)


def test_two_clicks_at_once_make_one_connection(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org, username="integration@acme.example")
    make_key(dora, draft)
    drafts.change(draft, {"consumer_key": "3MVG9"})
    first, second = ConnectionDraft.objects.get(), ConnectionDraft.objects.get()
    made = drafts.save(first, actor=access.SHELL)
    assert drafts.save(second, actor=access.SHELL) == made
    first.delete()
    with pytest.raises(InvalidInput, match="finished or discarded meanwhile"):
        drafts.save(second, actor=access.SHELL)
    assert ConnectedApp.objects.count() == 1


def test_second_click_or_an_old_page_makes_no_second_key(
    salesforce_org: ConnectableOrg, dora: Client
) -> None:
    draft = begin(dora, salesforce_org)
    key = make_key(dora, draft)
    assert make_key(dora, draft) == key
    assert SigningKey.objects.get() == key
    dora.post(f"/connections/new/{draft.pk}/key/", {"make_key": "on", "instead_of": str(key.pk)})
    draft.refresh_from_db()
    assert draft.signing_key not in (None, key)


def test_set_up_ends_when_its_connection_works_whoever_checked_it(
    salesforce_org: ConnectableOrg, dora: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    app = admin_makes_app(salesforce_org, dora, draft, users=set())
    check(dora, draft, salesforce_org, app)
    assert ConnectionDraft.objects.exists()
    app.users = None
    monkeypatch.setattr(lifecycle, "TRY_NOW_EVERY", dt.timedelta(0))
    assert health.check_connection(ConnectedApp.objects.get(), asked_by="beat").healthy
    assert not ConnectionDraft.objects.exists()
    assert "unfinished" not in text_of(dora.get("/connections/"))


def test_set_up_of_a_connection_that_was_hidden_since_is_hidden_too(
    salesforce_org: ConnectableOrg, dora: Client
) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    check(dora, draft, salesforce_org, admin_makes_app(salesforce_org, dora, draft, users=set()))
    ConnectedApp.objects.get().groups.set([Group.objects.create(name="others")])
    assert dora.get(f"/connections/new/{draft.pk}/").status_code == 404
    assert "Acme" not in text_of(dora.get("/connections/new/"))
    draft.refresh_from_db()
    with pytest.raises(access.AccessDenied):
        drafts.discard(draft, actor=draft.made_by, with_leftovers=True)
    assert ConnectedApp.objects.exists()
    assert ConnectionDraft.objects.exists()


# ---- discarding -----------------------------------------------------------------------------------------------------


def test_discarding_asks_and_takes_along_what_nothing_else_uses(
    salesforce_org: ConnectableOrg, dora: Client
) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    app = admin_makes_app(salesforce_org, dora, draft, users=set())
    check(dora, draft, salesforce_org, app)
    asked = text_of(dora.get(f"/connections/new/{draft.pk}/discard/"))
    assert "the connection acme , which has never worked, and the signing key acme" in asked
    assert ConnectionDraft.objects.exists()
    dora.post(f"/connections/new/{draft.pk}/discard/", {"leftovers": "on"})
    assert not ConnectionDraft.objects.exists()
    assert not ConnectedApp.objects.exists()
    assert not SigningKey.objects.exists()
    assert {"discarded set-up", "deleted", "deleted key"} <= set(
        AuditEvent.objects.values_list("act", flat=True)
    )


def test_discarding_leaves_what_others_use_or_one_wants_to_keep(
    salesforce_org: ConnectableOrg, dora: Client
) -> None:
    salesforce_org.connect("other")
    draft = begin(dora, salesforce_org)
    dora.post(f"/connections/new/{draft.pk}/key/", {"stored": str(SigningKey.objects.get().pk)})
    assert "signing key" not in text_of(dora.get(f"/connections/new/{draft.pk}/discard/"))
    dora.post(f"/connections/new/{draft.pk}/discard/", {"leftovers": "on"})
    assert SigningKey.objects.count() == 1

    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    dora.post(f"/connections/new/{draft.pk}/discard/")
    assert SigningKey.objects.count() == 2


# ---- to read --------------------------------------------------------------------------------------------------------


def test_guide_can_be_read_without_a_set_up(salesforce_org: ConnectableOrg, dora: Client) -> None:
    salesforce_org.connect("acme", app_kind="connected_app", username="me@acme.example")
    assert "Flow Enablement" in text_of(dora.get("/connections/guide/"))
    shown = text_of(dora.get("/connections/guide/?connection=acme"))
    assert "Use digital signatures" in shown
    assert "me@acme.example" in shown
    response = dora.get("/connections/guide/?step=attach&connection=acme")
    assert response["Location"] == "/connections/guide/?kind=connected_app&connection=acme#step-attach"
    assert 'id="step-attach"' in dora.get(response["Location"]).content.decode()
    assert dora.get("/connections/guide/?step=nonsense").status_code == 200


@pytest.mark.parametrize(
    ("app", "place"),
    [({"users": set()}, "&step=attach"), ({"scopes": ("api",)}, "&step=scopes"), ({}, "")],
)
def test_page_of_a_failing_connection_leads_to_the_guide(
    salesforce_org: ConnectableOrg, dora: Client, app: dict[str, object], place: str
) -> None:
    made = salesforce_org.add_app(name="Acme", certificate_pem=salesforce_org.app.certificate_pem, **app)
    connection = salesforce_org.connect("acme", consumer_key=made.consumer_key)
    if not place:
        salesforce_org.user.ip_restricted = True
    # Other than the page's button “Guide”, which leads to the guide's beginning.
    address = f"/connections/guide/?connection=acme{place.replace('&', '&amp;')}"
    link = f'href="{address}">How to set it up in Salesforce</a>'
    assert link not in dora.get("/connections/acme/").content.decode()
    health.check_connection(connection, asked_by="test")
    assert link in dora.get("/connections/acme/").content.decode()


def test_guide_tells_nothing_of_hidden_connections(salesforce_org: ConnectableOrg, dora: Client) -> None:
    hidden = salesforce_org.connect("closed", username="secret@acme.example")
    hidden.groups.add(Group.objects.create(name="others"))
    shown = text_of(dora.get("/connections/guide/?connection=closed"))
    assert "secret@acme.example" not in shown


def test_no_connection_can_have_the_name_of_a_page() -> None:
    fixed = {
        str(pattern.pattern).partition("/")[0]
        for pattern in urls.urlpatterns
        if isinstance(pattern, URLPattern) and "/" in str(pattern.pattern)
    }
    assert "new" in fixed
    assert fixed - {"<slug:name>"} <= set(RESERVED_NAMES)


# ---- the admin's form -----------------------------------------------------------------------------------------------


def test_admin_form_takes_a_pasted_page_and_says_what_it_made_of_it(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    values = {
        "name": "acme",
        "login_url": "https://acme.lightning.force.com/lightning/page/home",
        "app_kind": "external_client_app",
        "consumer_key": "3MVG9x",
        "username": "me@acme.example",
        "make_key": "on",
        "session_minutes": "120",
        "enabled": "on",
    }
    page = admin_client.get("/admin/sf_integration/connectedapp/add/").content.decode()
    assert 'data-sf-login-url="/connections/new/login-url/"' in page
    assert "sf_integration/login_url.js" in page
    response = admin_client.post("/admin/sf_integration/connectedapp/add/", values, follow=True)
    assert "Taken from the address you pasted: https://acme.my.salesforce.com." in text_of(response)
    connection = ConnectedApp.objects.get()
    assert (connection.login_url, connection.app_kind) == (
        "https://acme.my.salesforce.com",
        "external_client_app",
    )

    wrong = values | {"name": "second", "login_url": "https://login.salesforce.com"}
    response = admin_client.post("/admin/sf_integration/connectedapp/add/", wrong)
    assert "External Client Apps are not found through" in text_of(response)
    assert (
        admin_client.post("/admin/sf_integration/connectedapp/add/", wrong | {"app_kind": ""}).status_code
        == 302
    )


def test_no_token_is_in_any_answer(salesforce_org: ConnectableOrg, dora: Client) -> None:
    draft = begin(dora, salesforce_org)
    make_key(dora, draft)
    salesforce_org.fail(
        "maintenance", where="rest", times=None
    )  # signed in, but red: the guide is shown again
    check(dora, draft, salesforce_org, admin_makes_app(salesforce_org, dora, draft))
    token = tokens.get("acme").value
    for page in ("", "discard/", "change/"):
        assert token not in dora.get(f"/connections/new/{draft.pk}/{page}").content.decode()
    assert token not in dora.get("/connections/guide/?connection=acme").content.decode()

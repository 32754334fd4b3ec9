"""API clients in the admin: made, changed, revoked; the API key is seen once."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core import serializers
from django.db import connection as database
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration.models import ApiClient, AuditEvent, ConnectedApp
from sf_integration.salesforce.errors import ApiKeyRefused
from sf_integration.services import api_keys
from sf_integration.services.api_keys import API_KEY_PATTERN
from sf_integration.testing.django import ConnectableOrg

from .test_admin import staff
from .test_views import text_of

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = "/admin/sf_integration/apiclient"
MANAGER = ("view_health", "manage_keys", "take_tokens")


def values(*connections: ConnectedApp, **more: str) -> dict[str, object]:
    asked = {"name": "stock-sync", "usernames": "", "expires": "365", "notes": ""} | more
    return {**asked, "connections": [str(each.pk) for each in connections]}


def api_key_in(html: str) -> str:
    found = re.search(API_KEY_PATTERN, html)
    assert found, text_of(html)
    return found[0]


def added(client: Client, *connections: ConnectedApp, **more: str) -> str:
    """The API key that the answer shows."""
    return api_key_in(client.post(f"{CLIENTS}/add/", values(*connections, **more)).content.decode())


def test_api_key_is_shown_once_and_kept_nowhere(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    acme = salesforce_org.connect("acme")
    response = admin_client.post(f"{CLIENTS}/add/", values(acme, usernames="ops@acme.example", notes="BI"))
    html = response.content.decode()
    api_key = api_key_in(html)
    assert response.status_code == 200  # the answer itself, no redirect to a page that could be opened again
    assert "no-store" in response["Cache-Control"]
    assert html.count(api_key) == 1  # and so not in the example
    assert "/api/jwtauth" in html
    made = api_keys.authenticate(api_key)
    assert (made.name, made.usernames, made.notes) == ("stock-sync", ["ops@acme.example"], "BI")
    assert [*made.connections.all()] == [acme]
    assert made.expires_at is not None
    assert dt.timedelta(days=364) < made.expires_at - timezone.now() < dt.timedelta(days=366)
    later = [f"{CLIENTS}/", f"{CLIENTS}/{made.pk}/change/", f"{CLIENTS}/{made.pk}/history/", "/admin/"]
    stored = serializers.serialize(
        "json", [*ApiClient.objects.all(), *AuditEvent.objects.all(), *LogEntry.objects.all()]
    )
    shown = "".join(admin_client.get(path).content.decode() for path in later)
    secret = api_key.split("_", 2)[2]  # may hold further ones
    assert made.prefix in shown  # so that the search finds what is there
    assert secret not in shown + stored + str(dict(admin_client.session))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "taken"}, "already exists"),
        ({"usernames": "nobody"}, "is no Salesforce username"),
        ({"expires": "1"}, "not one of the available choices"),
    ],
    ids=["no name", "name taken", "no username", "another term"],
)
def test_bad_input_is_told_and_makes_nothing(
    more: dict[str, str], words: str, salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    ApiClient.objects.create(name="taken", prefix="1", api_key_sha256="")
    html = admin_client.post(
        f"{CLIENTS}/add/", values(salesforce_org.connect("acme"), **more)
    ).content.decode()
    assert words in text_of(html)
    assert not re.search(API_KEY_PATTERN, html)
    assert ApiClient.objects.count() == 1


def test_change_is_in_force_and_told_by_name_only(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    acme, globex = salesforce_org.connect("acme"), salesforce_org.connect("globex")
    api_key = added(admin_client, acme)
    client = ApiClient.objects.get()
    before = client.expires_at
    page = f"{CLIENTS}/{client.pk}/change/"
    assert "as now" in text_of(admin_client.get(page).content.decode())
    admin_client.post(page, values(globex, expires="keep", notes="moved to globex"))
    client.refresh_from_db()
    assert ([*client.connections.all()], client.expires_at) == ([globex], before)
    assert api_keys.authenticate(api_key) == client
    assert AuditEvent.objects.get(act="changed API client").fields == ["connections", "notes"]
    assert "moved" not in LogEntry.objects.filter(action_flag=2).get().change_message
    admin_client.post(page, values(globex, expires="never"))
    client.refresh_from_db()
    assert client.expires_at is None


def test_replaced_api_key_is_refused_and_a_page_sent_twice_replaces_once(
    salesforce_org: ConnectableOrg, admin_client: Client
) -> None:
    old = added(admin_client, salesforce_org.connect("acme"))
    client = ApiClient.objects.get()
    page = f"{CLIENTS}/{client.pk}/replace/"
    assert "is refused from then on" in text_of(admin_client.get(page).content.decode())
    assert api_keys.authenticate(old) == client  # asking did nothing
    sent = {"replaced": client.prefix}
    new = api_key_in(admin_client.post(page, sent).content.decode())
    assert api_keys.authenticate(new) == client
    with pytest.raises(ApiKeyRefused):
        api_keys.authenticate(old)
    again = admin_client.post(page, sent, follow=True).content.decode()
    assert "replaced already" in text_of(again)
    assert api_keys.authenticate(new) == client


def test_revoking_asks_and_is_final(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    api_key = added(admin_client, salesforce_org.connect("acme"))
    client = ApiClient.objects.get()
    page = f"{CLIENTS}/{client.pk}"
    assert admin_client.post(f"{page}/delete/", {"post": "yes"}).status_code == 403  # while it is in force
    assert "for good" in text_of(admin_client.get(f"{page}/revoke/").content.decode())
    told = admin_client.post(f"{page}/revoke/", follow=True).content.decode()
    assert "is revoked" in text_of(told)
    assert 'name="name"' not in told  # no inputs any more
    with pytest.raises(ApiKeyRefused):
        api_keys.authenticate(api_key)
    for act in ("change", "replace", "revoke"):
        assert admin_client.post(f"{page}/{act}/", values()).status_code == 403
    admin_client.post(f"{page}/delete/", {"post": "yes"})
    assert not ApiClient.objects.exists()
    acts = AuditEvent.objects.filter(subject="stock-sync").order_by("at").values_list("act", flat=True)
    assert list(acts) == ["made API client", "revoked API client", "deleted API client"]


def test_list_tells_and_filters_by_state(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    now = timezone.now()
    acme = salesforce_org.connect("acme")
    facts = {
        "busy": {"last_used_at": now},
        "ageing": {"expires_at": now + dt.timedelta(days=5)},
        "over": {"expires_at": now - dt.timedelta(days=5)},
        "gone": {"revoked_at": now},
    }
    for name, each in facts.items():
        ApiClient.objects.create(
            name=name, prefix=f"prefix{name}", api_key_sha256="", **each
        ).connections.add(acme)
    for state, name in zip(("active", "expires soon", "expired", "revoked"), facts, strict=True):
        html = admin_client.get(f"{CLIENTS}/", {"state": state}).content.decode()
        shown = text_of(html.partition('id="result_list"')[2].partition("</table>")[0])
        assert [other for other in facts if f"prefix{other}" in shown] == [name]
        assert state in shown
        assert "acme" in shown
    found = admin_client.get(f"{CLIENTS}/", {"q": "sfk_prefixbusy_"}).content.decode()
    assert ("prefixbusy_</code>" in found, "prefixover_</code>" in found) == (True, False)
    with CaptureQueriesContext(database) as captured:
        admin_client.get(f"{CLIENTS}/")
    assert len(captured) <= 12  # whatever the number of rows


def test_who_may_not_take_tokens_gives_none_out(salesforce_org: ConnectableOrg) -> None:
    hidden = salesforce_org.connect("hidden")
    hidden.groups.add(Group.objects.create(name="others"))
    acme = salesforce_org.connect("acme")
    ApiClient.objects.create(name="of-others", prefix="1", api_key_sha256="").connections.add(hidden)
    mia, keys_only = staff("mia", *MANAGER), staff("kim", "view_health", "manage_keys")
    for path in ("", "add/"):
        assert keys_only.get(f"{CLIENTS}/{path}").status_code == 403
    assert keys_only.post(f"{CLIENTS}/add/", values(acme)).status_code == 403
    assert "of-others" not in mia.get(f"{CLIENTS}/").content.decode()
    form = mia.get(f"{CLIENTS}/add/").content.decode()
    assert str(acme.pk) in form
    assert str(hidden.pk) not in form
    refused = mia.post(f"{CLIENTS}/add/", values(hidden)).content.decode()
    assert "not one of the available choices" in text_of(refused)
    assert api_key_in(mia.post(f"{CLIENTS}/add/", values(acme)).content.decode())


def test_pages_say_when_the_api_is_off(
    salesforce_org: ConnectableOrg, admin_client: Client, settings: object
) -> None:
    added(admin_client, salesforce_org.connect("acme"))
    configured = settings.SF_INTEGRATION  # type: ignore[attr-defined]
    paths = [
        f"{CLIENTS}/",
        f"{CLIENTS}/add/",
        f"{CLIENTS}/{ApiClient.objects.get().pk}/change/",
        "/connections/acme/",
    ]
    for on in (False, True):
        with override_settings(SF_INTEGRATION={**configured, "TOKEN_API": on}):
            told = ["switched off here" in text_of(admin_client.get(path).content.decode()) for path in paths]
        assert told == [not on] * len(paths)


def test_connections_page_names_its_callers(salesforce_org: ConnectableOrg, admin_client: Client) -> None:
    added(admin_client, salesforce_org.connect("acme"))
    pk = ApiClient.objects.get().pk
    ApiClient.objects.create(
        name="gone", prefix="1", api_key_sha256="", revoked_at=timezone.now()
    ).connections.add(ConnectedApp.objects.get())
    page, looker = admin_client.get("/connections/acme/"), staff("lou", "view_health")
    html = page.content.decode()
    assert f'href="{CLIENTS}/{pk}/change/"' in html
    assert "not used yet" in text_of(html)
    assert ">gone<" not in html
    in_admin = f"/admin/sf_integration/connectedapp/{ConnectedApp.objects.get().pk}/change/"
    assert "stock-sync (not used yet)" in text_of(looker.get(in_admin).content.decode())
    seen = looker.get("/connections/acme/").content.decode()
    assert "stock-sync" in seen
    assert f"{CLIENTS}/{pk}" not in seen

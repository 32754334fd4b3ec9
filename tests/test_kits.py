"""Set-up kits: as functions, at the command line and on pages."""

from __future__ import annotations

import io
import os
import shlex
import stat
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.template.loader import render_to_string
from django.test import Client

from sf_integration import PermissionMissing, keystore
from sf_integration.models import AuditEvent, ConnectedApp, ConnectionDraft, SigningKey
from sf_integration.salesforce import setup_kit
from sf_integration.services import kits
from sf_integration.testing.django import ConnectableOrg

from .test_command_line import folder, key_and_certificate, salesforce, tables

__all__ = ["folder"]
pytestmark = pytest.mark.django_db(transaction=True)

NEW = ("--login-url", "https://globex.my.salesforce.com", "--username", "integration@globex.example")
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"


def stored_key(name: str = "acme", *, certificate: bool = True) -> SigningKey:
    key, pem = key_and_certificate()
    return keystore.take_in(key.encode(), name=name, certificate=pem.encode() if certificate else None)


def acme(**fields: Any) -> ConnectedApp:
    values: dict[str, Any] = {
        "name": "acme",
        "login_url": "https://acme.my.salesforce.com",
        "consumer_key": "3MVG9.acme",
        "username": "integration@acme.example",
        "signing_key": SigningKey.objects.first() or stored_key(),
    } | fields
    connection = ConnectedApp(**values)
    connection.full_clean()
    connection.save()
    return connection


def values(files: dict[str, str], tag: str) -> list[str]:
    return [
        element.text or ""
        for path, text in files.items()
        if path.endswith(".xml")
        for element in ET.fromstring(text).iter(NAMESPACE + tag)
    ]


def read(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def written(*arguments: str) -> dict[str, str]:
    ran = salesforce("setup-kit", *arguments)
    assert ran.status == 0, ran.err
    return read(Path("kit"))


# ---- of a connection ------------------------------------------------------------------------------------------------


def test_kit_of_a_connection_has_its_values(folder: Path) -> None:
    connection = acme(label="Acme & Söhne", our_contacts="ops@us.example\nme@us.example", session_minutes=60)
    files = written("acme", "--out", "kit")
    assert "force-app/main/default/externalClientApps/Acme_Sohne.eca-meta.xml" in files
    assert values(files, "consumerKey") == ["3MVG9.acme"]
    assert values(files, "certificate") == [connection.signing_key.certificate.strip()]
    assert values(files, "contactEmail") == ["ops@us.example"]
    assert values(files, "sessionTimeoutInMinutes") == ["60"]
    assert values(files, "object") == ["Account"]
    assert "manage.py salesforce check acme" in files["README.md"]


def test_contacts_that_are_no_addresses_are_passed_over(folder: Path) -> None:
    acme(our_contacts="BI team, room 12\nops@us.example")
    assert values(written("acme", "--out", "kit"), "contactEmail") == ["ops@us.example"]


def test_objects_and_contact_are_chosen(folder: Path) -> None:
    acme()
    files = written(
        "acme", "--out", "kit", "--objects", "Contact:write,Case", "--contact-email", "x@y.example"
    )
    assert values(files, "object") == ["Case", "Contact"]
    assert values(files, "allowEdit") == ["false", "true"]
    assert values(files, "contactEmail") == ["x@y.example"]


def test_people_are_told_the_two_commands_and_the_caveat(folder: Path) -> None:
    acme()
    out = salesforce("setup-kit", "acme", "--out", "kit").out
    assert "    sf project deploy start --source-dir force-app --target-org ORG --dry-run\n" in out
    assert "    sf org assign permset --name acme_Access --on-behalf-of integration@acme.example" in out
    assert "Not tried on a real org" in out
    assert "    manage.py salesforce check acme\n" in out


def test_json_names_files_and_commands(folder: Path) -> None:
    acme()
    told: Any = salesforce("setup-kit", "acme", "--out", "kit", "--json").json
    assert sorted(told["files"]) == sorted(f"kit/{path}" for path in read(Path("kit")))
    assert (told["app"], told["consumer_key"], told["stored"]) == ("acme", "3MVG9.acme", True)
    assert len(told["commands"]) == 3


def test_making_one_is_audited(folder: Path) -> None:
    acme()
    salesforce("setup-kit", "acme", "--out", "kit")
    assert list(AuditEvent.objects.values_list("act", "subject", "actor")) == [
        ("made set-up kit", "acme", "command line")
    ]


# ---- of a new connection --------------------------------------------------------------------------------------------


def test_new_connection_is_stored_so_that_nothing_has_to_be_copied_back(folder: Path) -> None:
    files = written("globex", *NEW, "--label", "Globex Sync", "--out", "kit")
    stored = ConnectedApp.objects.select_related("signing_key").get(name="globex")
    assert values(files, "consumerKey") == [stored.consumer_key]
    assert setup_kit.is_made_here(stored.consumer_key)
    assert values(files, "certificate") == [stored.signing_key.certificate.strip()]
    assert (stored.label, stored.app_kind) == ("Globex Sync", "external_client_app")
    assert "Nothing has to be copied back" in files["README.md"]
    acts = set(AuditEvent.objects.values_list("act", flat=True))
    assert acts == {"made key", "created", "made set-up kit"}


def test_signing_key_that_is_stored_may_be_given(folder: Path) -> None:
    key = stored_key("shared")
    files = written("globex", *NEW, "--signing-key", "shared", "--out", "kit")
    assert values(files, "certificate") == [key.certificate.strip()]
    assert SigningKey.objects.count() == 1


def test_org_may_make_the_consumer_key_and_one_command_brings_it_here(folder: Path) -> None:
    ran = salesforce("setup-kit", "globex", *NEW, "--label", "Globex Sync", "--org-mints-key", "--out", "kit")
    assert ran.status == 0, ran.err
    files = read(Path("kit"))
    assert values(files, "consumerKey") == []
    assert not ConnectedApp.objects.exists()
    assert SigningKey.objects.get().name == "globex"
    (command,) = [text.strip() for text in ran.out.splitlines() if "salesforce import" in text]
    assert command in files["README.md"]
    typed = shlex.split(command.replace(" --check", ""))[2:]
    assert salesforce(*[part if part != "CONSUMER_KEY" else "3MVG9.minted" for part in typed]).status == 0
    stored = ConnectedApp.objects.select_related("signing_key").get()
    assert (stored.name, stored.label, stored.consumer_key) == ("globex", "Globex Sync", "3MVG9.minted")
    assert values(files, "certificate") == [stored.signing_key.certificate.strip()]
    assert AuditEvent.objects.filter(act="made set-up kit", subject="globex").exists()


def test_an_odd_label_steers_neither_terminal_nor_readme(folder: Path) -> None:
    label = "Globex\n```\n# Heading\x1b[31m"
    ran = salesforce("setup-kit", "globex", *NEW, "--label", label, "--org-mints-key", "--out", "kit")
    assert ran.status == 0, ran.err
    readme = read(Path("kit"))["README.md"]
    (command,) = [text.strip() for text in ran.out.splitlines() if "salesforce import" in text]
    assert f"\n{command}\n```\n" in readme
    assert "\x1b" not in readme + ran.out
    assert "\n# Heading" not in readme


def test_kit_and_connection_fit_the_same_private_key(folder: Path, salesforce_org: ConnectableOrg) -> None:
    """The stand-in's admin takes what the kit says, as a deploy would, and the check is green."""
    arguments = ("--login-url", salesforce_org.url, "--username", salesforce_org.user.username)
    files = written("globex", *arguments, "--out", "kit")
    (certificate,), (consumer_key,) = values(files, "certificate"), values(files, "consumerKey")
    salesforce_org.add_app(consumer_key=consumer_key, certificate_pem=certificate)
    ran = salesforce("check", "globex")
    assert ran.status == 0, ran.out


# ---- the folder -----------------------------------------------------------------------------------------------------


def test_files_can_be_read_by_all_and_hold_no_secret(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        files = written("globex", *NEW, "--out", "kit")
    finally:
        os.umask(before)
    for path in (Path("kit"), *Path("kit").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path
    assert not any("PRIVATE KEY" in text or "consumerSecret" in text for text in files.values())


def test_earlier_kit_is_replaced_whole(folder: Path) -> None:
    acme(label="Old Name")
    written("acme", "--out", "kit")
    (folder / "kit" / ".sf").mkdir()
    ConnectedApp.objects.update(label="New Name")
    files = written("acme", "--out", "kit")
    assert not any("Old_Name" in path for path in files)
    assert any("New_Name" in path for path in files)


@pytest.mark.parametrize(
    "put",
    [
        lambda kit: (kit / "notes.txt").write_text("mine"),
        lambda kit: (kit / "README.md").write_text("# My own project"),
        lambda kit: (kit / "force-app" / "main").mkdir(parents=True),
        lambda kit: (kit / "link").symlink_to("/etc"),
    ],
    ids=["another file", "another README", "another project", "link"],
)
def test_folder_with_anything_else_is_left_alone(folder: Path, put: Any) -> None:
    (folder / "kit").mkdir()
    put(folder / "kit")
    before, rows = read(folder / "kit"), tables()
    ran = salesforce("setup-kit", "globex", *NEW, "--out", "kit")
    assert ran.status == 1
    assert "choose another folder" in ran.err
    assert read(folder / "kit") == before
    assert tables() == rows


def test_a_private_folder_stays_private(folder: Path) -> None:
    acme()
    (folder / "kit").mkdir(mode=0o700)
    written("acme", "--out", "kit")
    assert stat.S_IMODE((folder / "kit").stat().st_mode) == 0o700


def test_other_file_in_an_earlier_kit_is_not_lost(folder: Path) -> None:
    acme()
    written("acme", "--out", "kit")
    mine = folder / "kit" / "force-app" / "main" / "default" / "classes" / "Mine.cls"
    mine.parent.mkdir()
    mine.write_text("class Mine {}")
    assert salesforce("setup-kit", "acme", "--out", "kit").status == 1
    assert mine.exists()


@pytest.mark.parametrize(
    "path", [".gitignore", "force-app/main/default/externalClientApps/acme.eca-meta.xml"]
)
def test_link_in_the_place_of_a_kit_file_is_not_followed(folder: Path, path: str) -> None:
    acme()
    written("acme", "--out", "kit")
    (folder / "precious").write_text("mine")
    (folder / "kit" / path).unlink()
    (folder / "kit" / path).symlink_to(folder / "precious")
    assert salesforce("setup-kit", "acme", "--out", "kit").status == 1
    assert (folder / "precious").read_text() == "mine"


def test_kit_of_a_connection_needs_the_right_to_manage_this_one() -> None:
    connection = acme()
    connection.groups.set([Group.objects.create(name="others")])
    person = User.objects.create_user("mia", email="mia@us.example")
    person.user_permissions.set(Permission.objects.filter(codename__in=["view_health", "manage_keys"]))
    with pytest.raises(PermissionMissing):
        kits.of_connection(connection, actor=person)
    assert not AuditEvent.objects.filter(act="made set-up kit").exists()


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "give --login-url and --username"),
        (["acme", "--label", "x", "--org-mints-key"], "--label and --org-mints-key can't be given"),
        (["globex", *NEW, "--signing-key", "none"], "There is no signing key “none”"),
        (["globex", *NEW, "--signing-key", "bare"], "certificate of the signing key “bare” is not known"),
        (["acme2", "--login-url", "http://x.example", "--username", "x"], "unprotected"),
        (["acme2", "--login-url", "https://login.salesforce.com", "--username", "x@y.example"], "My Domain"),
        (["Acme Two", *NEW], "Use lower-case letters"),
        (["globex", *NEW, "--objects", "Account:all"], "is no right"),
        (["globex", *NEW, "--contact-email", "me"], "no e-mail address"),
        (["old"], "belongs to a Connected App"),
        (["acme", "--out", "server.key"], "server.key is no folder"),
        (["acme", "--out", "server.key/kit"], "can't be written to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_can_not_be_made_is_one_sentence_and_changes_nothing(
    folder: Path, arguments: list[str], words: str
) -> None:
    acme()
    acme(name="old", app_kind="connected_app")
    key, _ = key_and_certificate("bare")
    keystore.take_in(key.encode(), name="bare")
    before = tables()
    ran = salesforce("setup-kit", "--out", "kit", *arguments)
    assert ran.status == 1
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert tables() == before
    assert not (folder / "kit").exists()


def test_signing_key_of_that_name_is_not_made_twice(folder: Path) -> None:
    stored_key("globex")
    ran = salesforce("setup-kit", "globex", *NEW, "--out", "kit")
    assert "--signing-key globex" in ran.err
    assert SigningKey.objects.count() == 1


# ---- on pages -------------------------------------------------------------------------------------------------------


def person(name: str, *codenames: str) -> Client:
    user = User.objects.create_user(name, email=f"{name}@us.example")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def manager(name: str = "mia") -> Client:
    return person(name, "view_health", "manage_keys")


def unzipped(response: Any) -> dict[str, str]:
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


def draft(client: Client, **fields: Any) -> ConnectionDraft:
    values: dict[str, Any] = {
        "name": "globex",
        "label": "Globex Sync",
        "login_url": "https://globex.my.salesforce.com",
        "username": "integration@globex.example",
        "signing_key": SigningKey.objects.first() or stored_key("globex"),
    } | fields
    return ConnectionDraft.objects.create(
        made_by=User.objects.get(pk=client.session["_auth_user_id"]), **values
    )


def test_kit_is_downloaded_from_the_page_of_the_connection() -> None:
    acme()
    client = manager()
    response = client.post("/connections/acme/setup-kit.zip", {"objects": "Contact:write"})
    assert response["Content-Disposition"] == 'attachment; filename="acme-setup-kit.zip"'
    files = unzipped(response)
    assert values(files, "object") == ["Contact"]
    assert values(files, "consumerKey") == ["3MVG9.acme"]
    assert values(files, "contactEmail") == ["mia@us.example"]
    assert AuditEvent.objects.get(act="made set-up kit").actor == "mia"


def test_wrong_objects_are_told_on_the_page() -> None:
    acme()
    response = manager().post("/connections/acme/setup-kit.zip", {"objects": "Account:all"}, follow=True)
    assert [status for _url, status in response.redirect_chain] == [302]
    page = response.content.decode()
    assert "is no right" in page
    assert 'name="objects"' in page
    assert 'value="Account:all"' in page, "what was typed is there to be corrected"


def test_kit_needs_the_right_to_manage_keys() -> None:
    acme()
    assert person("vera", "view_health").post("/connections/acme/setup-kit.zip").status_code == 403
    ConnectedApp.objects.get().groups.set([Group.objects.create(name="others")])
    assert manager().post("/connections/acme/setup-kit.zip").status_code == 403
    assert not AuditEvent.objects.exists()


def test_get_leads_back_to_the_connection_and_makes_nothing() -> None:
    acme()
    response = manager().get("/connections/acme/setup-kit.zip")
    assert response["Location"] == "/connections/acme/"
    assert not AuditEvent.objects.exists()


def prepare(client: Client, mine: ConnectionDraft, **choices: str) -> str:
    """What the guide shows afterwards."""
    response = client.post(
        f"/connections/new/{mine.pk}/setup-kit/", {"objects": "Account"} | choices, follow=True
    )
    mine.refresh_from_db()
    return str(response.content.decode())


def download(client: Client, mine: ConnectionDraft) -> dict[str, str]:
    return unzipped(client.get(f"/connections/new/{mine.pk}/setup-kit.zip"))


def test_kit_of_a_draft_keeps_the_consumer_key_it_made() -> None:
    client = manager()
    mine = draft(client)
    page = prepare(client, mine, objects="Account Contact:write")
    assert setup_kit.is_made_here(mine.consumer_key)
    assert f'value="{mine.consumer_key}"' in page
    assert f"/connections/new/{mine.pk}/setup-kit.zip" in page
    files = download(client, mine)
    assert values(files, "consumerKey") == [mine.consumer_key]
    assert values(files, "object") == ["Account", "Contact"]
    assert mine.objects_wanted == ["Account", "Contact:write"]
    assert AuditEvent.objects.get(act="made set-up kit").subject == "globex"
    # Once more gives the same key: the first kit may be deployed already.
    prepare(client, mine)
    assert values(download(client, mine), "consumerKey") == values(files, "consumerKey")


def test_draft_whose_org_makes_the_consumer_key_keeps_only_a_pasted_one() -> None:
    client = manager()
    made, pasted = draft(client, consumer_key="ab" * 32), draft(client, consumer_key="3MVG9.pasted")
    for mine, kept in ((made, ""), (pasted, "3MVG9.pasted")):
        prepare(client, mine, org_mints_key="on")
        assert mine.consumer_key == kept
        assert values(download(client, mine), "consumerKey") == []


def test_kit_may_open_no_object_at_all() -> None:
    client = manager()
    mine = draft(client)
    assert f"/connections/new/{mine.pk}/setup-kit.zip" in prepare(client, mine, objects="")
    assert values(download(client, mine), "object") == []


@pytest.mark.parametrize(
    ("fields", "choices", "words"),
    [
        ({"signing_key": None}, {}, "make the signing key first"),
        ({"app_kind": "connected_app"}, {}, "is for a Connected App"),
        ({"username": ""}, {}, "contact e-mail address"),
        ({}, {"objects": "Account:all"}, "is no right"),
    ],
)
def test_draft_that_lacks_something_says_what(
    fields: dict[str, Any], choices: dict[str, str], words: str
) -> None:
    client = manager()
    User.objects.update(email="")
    mine = draft(client, **fields)
    assert words in prepare(client, mine, **choices)
    assert (mine.consumer_key, mine.objects_wanted) == ("", [])
    assert not AuditEvent.objects.exists()


def test_objects_that_were_refused_are_there_to_be_corrected() -> None:
    acme()
    client = manager()
    mine = draft(client, objects_wanted=["Contact"])
    assert 'value="Account:all"' in prepare(client, mine, objects="Account:all")
    refused = client.post("/connections/acme/setup-kit.zip", {"objects": "00D000000000001!AQ0AQ"})
    assert "00D" not in refused["Location"], "what is no list of objects stays out of addresses"


def test_draft_of_another_person_is_not_there() -> None:
    other = draft(manager("otto"))
    for client, status in ((manager(), 404), (person("vera", "view_health"), 403)):
        assert client.post(f"/connections/new/{other.pk}/setup-kit/").status_code == status
        assert client.get(f"/connections/new/{other.pk}/setup-kit.zip").status_code == status


def test_page_of_a_connection_offers_its_kit_to_those_who_manage_it() -> None:
    def offered(connection: ConnectedApp, *, may_manage: bool = True) -> bool:
        context = {"connection": connection, "may_manage": may_manage}
        html = render_to_string("sf_integration/partials/_kit_connection.html", context)
        return f"/connections/{connection.name}/setup-kit.zip" in html

    connection = acme()
    assert offered(connection)
    assert not offered(connection, may_manage=False)
    assert not offered(acme(name="old", app_kind="connected_app"))


def test_guide_offers_the_kit_for_external_client_apps_once_there_is_a_certificate() -> None:
    client = manager()
    for fields, form in (
        ({}, True),
        ({"signing_key": None}, False),
        ({"app_kind": "connected_app"}, False),
    ):
        mine = draft(client, **fields)
        page = client.get(f"/connections/new/{mine.pk}/").content.decode()
        assert (f'action="/connections/new/{mine.pk}/setup-kit/"' in page) is form

from __future__ import annotations

from functools import cache

import pytest
from django.contrib.auth.models import Group, Permission, User

from sf_integration import (
    InvalidInput,
    InvalidPrivateKey,
    NotAllowedHere,
    PermissionMissing,
    access,
    keystore,
)
from sf_integration.models import AccessToken, AuditEvent, ConnectedApp, SigningKey
from sf_integration.services import profiles
from sf_integration.services.profiles import Incomplete, KeyMaterial, Refused, Saved
from sf_integration.testing import credentials

pytestmark = pytest.mark.django_db

VALUES = {
    "login_url": "https://acme.my.salesforce.com",
    "consumer_key": "3MVG9.acme",
    "username": "integration@acme.example",
}


@cache
def pair(which: str = "acme") -> tuple[KeyMaterial, bytes]:
    key, certificate = credentials.make_key_and_certificate(which)
    return KeyMaterial(key.encode()), certificate.encode()


def save(
    name: str = "acme", key: KeyMaterial | None = None, certificate: bytes | None = None, **values: str
) -> Saved:
    return profiles.save(name, values, actor=access.SHELL, key=key, certificate=certificate)


def created() -> Saved:
    key, certificate = pair()
    return save(key=key, certificate=certificate, **VALUES)


def everything() -> list[list[object]]:
    return [list(model.objects.values()) for model in (ConnectedApp, SigningKey, AccessToken, AuditEvent)]


def test_new_connection_is_stored_with_its_key_and_certificate() -> None:
    saved = created()
    connection = ConnectedApp.objects.select_related("signing_key").get(name="acme")
    assert saved.outcome == "created"
    assert saved.changed == ("certificate", "consumer_key", "login_url", "signing_key", "username")
    assert connection.username == "integration@acme.example"
    assert connection.signing_key.name == "acme"
    assert connection.signing_key.not_after is not None


def test_new_connection_needs_four_things_and_names_all_that_are_missing() -> None:
    with pytest.raises(Incomplete, match="login URL, consumer key and signing key are missing") as refused:
        save(username="x@acme.example")
    assert refused.value.missing == ("login_url", "consumer_key", "signing_key")


def test_same_values_again_change_nothing() -> None:
    created()
    before = everything()
    assert created().outcome == "same"
    assert everything() == before


def test_login_url_is_the_same_with_slash_blanks_and_without_scheme() -> None:
    created()
    assert save(login_url=" acme.my.salesforce.com/ ").outcome == "same"


def test_update_touches_only_what_is_given() -> None:
    created()
    saved = save(username="other@acme.example")
    connection = ConnectedApp.objects.get(name="acme")
    assert (saved.outcome, saved.changed) == ("changed", ("username",))
    assert (connection.username, connection.consumer_key) == ("other@acme.example", "3MVG9.acme")


def test_update_leaves_what_others_changed_meanwhile() -> None:
    created()
    ConnectedApp.objects.update(notes="written in the admin", enabled=False)
    save(username="other@acme.example")
    connection = ConnectedApp.objects.get(name="acme")
    assert (connection.notes, connection.enabled) == ("written in the admin", False)


def test_new_login_url_brings_its_environment() -> None:
    created()
    save(login_url="https://acme--uat.sandbox.my.salesforce.com")
    assert ConnectedApp.objects.get(name="acme").known_environment == "sandbox"


def test_new_key_takes_the_place_of_the_old_one() -> None:
    created()
    saved = save(key=pair("next")[0])
    assert "signing_key" in saved.changed
    assert SigningKey.objects.count() == 2


def test_certificate_alone_completes_the_present_key() -> None:
    key, certificate = pair()
    save(key=key, **VALUES)
    assert save(certificate=certificate).changed == ("certificate",)
    assert ConnectedApp.objects.get(name="acme").signing_key.certificate


def test_two_connections_with_one_key_share_its_row() -> None:
    created()
    save("globex", key=pair()[0], **VALUES)
    assert SigningKey.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"consumer_key": " "}, InvalidInput, "consumer key is empty"),
        ({"login_url": ""}, InvalidInput, "login URL is empty"),
        ({"login_url": "http://acme.my.salesforce.com"}, NotAllowedHere, "unprotected"),
        ({"login_url": "https://salesforce.com.evil.example"}, NotAllowedHere, "SF_ALLOWED_HOSTS"),
        ({"username": "u" * 300}, InvalidInput, "username: .*255"),
        ({"audience": "acme"}, InvalidInput, "audience: .*https://"),
    ],
)
def test_refused_value_changes_nothing_at_all(
    values: dict[str, str], error: type[Exception], words: str
) -> None:
    created()
    before = everything()
    with pytest.raises(error, match=words):
        save(key=pair("next")[0], **values)
    assert everything() == before


def test_key_is_not_stored_when_the_certificate_is_of_another() -> None:
    with pytest.raises(InvalidInput, match="belongs to another key"):
        save(key=pair()[0], certificate=pair("next")[1], **VALUES)
    assert not any(everything())


def test_broken_key_stores_nothing() -> None:
    with pytest.raises(InvalidPrivateKey):
        save(key=KeyMaterial(b"no key"), **VALUES)
    assert not any(everything())


def test_name_must_be_a_handle() -> None:
    with pytest.raises(InvalidInput, match="name: Use lower-case letters"):
        save("Acme Prod", key=pair()[0], **VALUES)


def test_who_makes_a_name_a_moment_too_late_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    validate, other_key = profiles._validate, created().connection.signing_key

    def and_another_is_first(connection: ConnectedApp) -> None:
        validate(connection)
        ConnectedApp.objects.create(name="late", signing_key=other_key, **VALUES)

    monkeypatch.setattr(profiles, "_validate", and_another_is_first)
    key, certificate = pair("late")
    with pytest.raises(Refused, match="just made one of this name"):
        save("late", key=key, certificate=certificate, **VALUES)
    assert set(SigningKey.objects.values_list("name", flat=True)) == {"acme"}


def test_who_makes_a_signing_key_a_moment_too_late_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    created()
    monkeypatch.setattr(keystore, "free_name", lambda wanted: "acme")  # a moment ago
    key, certificate = pair("late")
    with pytest.raises(Refused, match="just made one of this name"):
        save("late", key=key, certificate=certificate, **VALUES)


def test_audit_tells_who_and_which_fields_but_no_value() -> None:
    created()
    save(username="other@acme.example")
    last, first = AuditEvent.objects.order_by("-at")
    assert (first.act, first.actor, first.subject) == ("created", "command line", "acme")
    assert (last.act, last.fields) == ("changed", ["username"])
    assert "other@acme.example" not in str(AuditEvent.objects.values())


def test_user_without_permission_can_save_nothing() -> None:
    outsider = User.objects.create_user("charlie")
    with pytest.raises(PermissionMissing):
        profiles.save("acme", VALUES, actor=outsider, key=pair()[0])
    assert not any(everything())


def test_manager_cannot_use_the_signing_key_of_a_hidden_connection() -> None:
    hidden = created().connection
    hidden.groups.set([Group.objects.create(name="others")])
    manager = User.objects.create_user("mia")
    manager.user_permissions.set(Permission.objects.filter(codename__in=("view_health", "manage_keys")))
    before = everything()
    with pytest.raises(PermissionMissing, match="signing key"):
        profiles.save("mine", VALUES, actor=manager, key=hidden.signing_key)
    assert everything() == before
    # Whoever holds the private key itself needs nobody's leave.
    assert profiles.save("mine", VALUES, actor=manager, key=pair()[0]).outcome == "created"


def test_key_and_passphrase_are_not_in_the_repr() -> None:
    shown = repr(KeyMaterial(b"the key", "the passphrase"))
    assert "the key" not in shown
    assert "passphrase='" not in shown

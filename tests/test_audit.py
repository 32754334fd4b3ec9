from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User

from sf_integration import audit, keystore
from sf_integration.access import SHELL
from sf_integration.models import AuditEvent, ConnectedApp

pytestmark = pytest.mark.django_db


@pytest.fixture
def app():
    return ConnectedApp.objects.create(
        name="acme",
        login_url="https://a.my.salesforce.com",
        username="u",
        signing_key=keystore.make(name="acme"),
    )


def test_an_event_tells_who_did_what_to_which(app):
    audit.record("edited", app, actor=User(username="alice"), fields=["username", "login_url"])
    event = AuditEvent.objects.get()
    assert (event.actor, event.act, event.subject, event.subject_id) == ("alice", "edited", "acme", app.pk)
    assert event.fields == ["login_url", "username"]


@pytest.mark.parametrize(
    ("actor", "name"),
    [(SHELL, "command line"), ("beat", "beat"), (User(username="bob"), "bob"), (AnonymousUser(), "")],
)
def test_actors_of_all_kinds_have_a_name(actor, name):
    assert audit.record("checked", actor=actor).actor == name


def test_an_event_outlives_what_it_tells_of(app):
    audit.record("deleted", app, actor=SHELL)
    gone = app.pk
    app.delete()
    event = AuditEvent.objects.get()
    assert (event.subject, event.subject_id) == ("acme", gone)


def test_there_is_an_event_without_a_subject():
    assert audit.record("listed", actor=SHELL).subject == ""


def test_signing_keys_are_subjects_too(app):
    assert audit.record("replaced key", app.signing_key, actor=SHELL).subject == "acme"


def test_the_newest_event_comes_first():
    for act in ("one", "two", "three"):
        audit.record(act, actor=SHELL)
    assert [event.act for event in AuditEvent.objects.all()] == ["three", "two", "one"]

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection

from sf_integration import audit, keystore
from sf_integration.access import SHELL
from sf_integration.models import AuditEvent, ConnectedApp

pytestmark = pytest.mark.django_db
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


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


def test_a_use_told_by_many_is_one_event_of_the_minute(app):
    for count in (1, 5):
        audit.record_use("took token", app, actor="shop", username="u", count=count, at=NOON)
    audit.record_use("took token", app, actor="till", username="u", at=NOON)
    assert sorted(AuditEvent.objects.values_list("actor", "count")) == [("shop", 6), ("till", 1)]


def test_who_was_first_meanwhile_is_added_to(app):
    others = iter([lambda: audit.record_use("took token", app, actor="shop", username="u", at=NOON)])

    def meanwhile(execute, sql, *arguments):
        if sql.startswith("SAVEPOINT"):  # nothing was found to add to, and nothing is written yet
            for tell in others:
                tell()
        return execute(sql, *arguments)

    with connection.execute_wrapper(meanwhile):
        audit.record_use("took token", app, actor="shop", username="u", count=3, at=NOON)
    assert AuditEvent.objects.get().count == 4

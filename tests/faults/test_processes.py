"""Processes that die, freeze and come back, seen from outside: what callers, pages and rows make of it.

The long form, each part in each way, is `make chaos` (tests/long/chaos.py).
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from pathlib import Path

import pytest
from django.db import connection as database
from django.utils import timezone

from sf_integration import get_token, tokens
from sf_integration.models import AccessToken, ConnectionEvent
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import lifecycle
from sfjwt_site.postgresql import base as postgresql
from tests import processes
from tests.long.balancer import Answer, Balancer
from tests.long.programs import until
from tests.long.site import Shape, Site, calls

SWEEP = """
tokens.refresh_due()
"""


@pytest.mark.django_db(transaction=True)
def test_a_sweep_killed_half_way_is_taken_over_when_its_claims_lapse(
    salesforce_org: ConnectableOrg, process_environment: dict[str, str]
) -> None:
    org = salesforce_org
    first = org.connect("c0")
    for number in range(1, 4):
        user = org.add_user(f"user{number}@nordhafen.example")
        org.connect(f"c{number}", signing_key=first.signing_key, username=user.username)
    # Two get their tokens and are lost all the same, two wait for an answer: all before anything is written.
    org.fail("slow", seconds=30, times=2, where="token")
    worker = processes.start(SWEEP, process_environment, org.url)
    until(lambda: org.token_requests >= 4, "sign-ins under way")
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    org.heal()

    claimed = AccessToken.objects.filter(claimed_until__gt=timezone.now())
    assert claimed.count() == 4
    assert max(row.claimed_until for row in claimed) <= timezone.now() + lifecycle.CLAIM_LAPSE  # type: ignore[type-var]
    assert tokens.refresh_due().renewed == 0, "who is alive may be at it"
    AccessToken.objects.update(claimed_until=timezone.now() - dt.timedelta(seconds=1))
    asked = org.token_requests
    assert tokens.refresh_due().renewed == 4
    assert org.token_requests == asked + 4
    assert not AccessToken.objects.filter(claimed_until__isnull=False).exists()
    assert ConnectionEvent.objects.filter(kind=ConnectionEvent.Kind.SIGNED_IN).count() == 4
    assert {get_token(f"c{number}").identity_url for number in range(4)} == {
        f"{org.url}/id/{org.id}/{user.id}" for user in org.users.values()
    }


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_slow_answer_of_a_living_database_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = postgresql.WatchedConnection._require_living_server

    def counted(connection: postgresql.WatchedConnection) -> None:
        looks.append(connection)
        look(connection)

    monkeypatch.setattr(postgresql, "LOOK_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(postgresql.WatchedConnection, "_require_living_server", counted)
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.8), 'late'")
        assert cursor.fetchone()[1] == "late"
    assert len(looks) > 1


@pytest.mark.postgres
def test_a_site_lives_through_the_loss_of_each_part(tmp_path: Path) -> None:
    """Own PostgreSQL and Redis, a web, a worker, a beat, callers; one after the other is taken away."""
    shape = Shape(webs=1, workers=1, connections=3, session_seconds=600, worker_concurrency=1)
    with Site(tmp_path, shape) as site, Balancer(site.webs) as balancer, site.callers() as log:
        worker_killed_in_a_sweep(site)
        database_frozen(site, balancer, log)
        broker_gone(site, balancer)
        web_killed(site, balancer)
        beat_silent(site, balancer)
        assert not [call for call in calls(log) if call["error"]]


def worker_killed_in_a_sweep(site: Site) -> None:
    """Redis keeps the message of a dead worker back for long; beat hands the rows out anew."""
    until(lambda: site.rows("SELECT count(*) FROM sf_integration_heartbeat")[0][0], "first heartbeat")
    site.tell_org("fail", kind="slow", seconds=30, where="token")
    make_due(site)
    until(lambda: claimed(site) == 3, "claims")
    site.programs["worker-1"].kill()
    site.tell_org("heal")
    site.programs["worker-1"].start()
    until(
        lambda: site.rows("SELECT 1 FROM sf_integration_accesstoken HAVING min(refresh_at) > now()"),
        "renewal",
    )
    assert claimed(site) == 0


def database_frozen(site: Site, balancer: Balancer, log: Path) -> None:
    site.postgres.freeze()
    began = time.time()
    page, answer = site.page(balancer, "/connections/"), balancer.request("GET", "/readyz")
    token = site.token(balancer, site.names[0])
    assert page.status == 500
    assert "went wrong on our side" in page.text
    assert (answer.status, token.status) == (503, 503)
    assert "The database of this site does not answer." in token.text
    for each in (page, answer, token):
        assert each.seconds < 15, each
    until(lambda: len(calls(log, since=began + 6)) > 10, "tokens from memory")
    site.postgres.go_on()
    until(lambda: site.page(balancer, "/connections/").good, "pages")


def broker_gone(site: Site, balancer: Balancer) -> None:
    site.broker.kill()
    pressed = press_check(site, balancer)
    assert pressed.seconds < 3
    assert (
        "the message broker that leads to the Celery worker does not answer"
        in site.page(balancer, "/connections/", after=pressed).text
    )
    site.broker.start()
    until(site.broker.is_up, "Redis")
    until(lambda: press_check(site, balancer).text == "" and checked(site), "a check by the worker", every=2)


def web_killed(site: Site, balancer: Balancer) -> None:
    site.programs["web-1"].kill()
    assert site.page(balancer, "/connections/").status == 0
    site.programs["web-1"].start()
    until(lambda: site.page(balancer, "/connections/").good, "pages, still signed in", every=0.5)


def beat_silent(site: Site, balancer: Balancer) -> None:
    """Told on pages and by /readyz; who needs a token renews it."""
    site.programs["beat-1"].stop()
    site.write("UPDATE sf_integration_heartbeat SET at = now() - interval '1 hour'")
    site.write("UPDATE sf_integration_accesstoken SET refresh_at = now(), expected_expiry = now()")
    assert site.ready(site.webs[0])["scheduler"]["silent"] is True
    assert "scheduler" in site.page(balancer, "/connections/").text.lower()
    assert site.token(balancer, site.names[0]).good
    until(
        lambda: site.rows("SELECT 1 FROM sf_integration_accesstoken HAVING min(expected_expiry) > now()"),
        "tokens",
    )


def make_due(site: Site) -> None:
    site.write("UPDATE sf_integration_accesstoken SET refresh_at = now()")


def claimed(site: Site) -> int:
    return int(
        site.rows("SELECT count(*) FROM sf_integration_accesstoken WHERE claimed_until IS NOT NULL")[0][0]
    )


def checked(site: Site) -> bool:
    return bool(site.rows("SELECT count(*) FROM sf_integration_connectioncheck")[0][0])


def press_check(site: Site, balancer: Balancer) -> Answer:
    rows = site.rows("SELECT id::text FROM sf_integration_connectedapp")
    return site.press(balancer, "/connections/selected/", act="check", chosen=[row[0] for row in rows])

"""Canaries: keys, tokens, passwords and all else that must stay secret are planted, and searched for everywhere."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.core import mail
from django.core.cache import cache
from django.test import Client

from sf_integration import tasks
from sf_integration.management.commands.salesforce import VERBS
from sf_integration.models import ConnectedApp, ConnectionEvent
from sf_integration.testing.django import ConnectableOrg

from .canaries import Canaries
from .places import Places, empty_broker
from .walk import Walk, addresses

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def canaries(salesforce_org: ConnectableOrg) -> Iterator[Canaries]:
    planted = Canaries(salesforce_org)
    with planted.listening():
        yield planted


@pytest.fixture
def places(
    salesforce_org: ConnectableOrg,
    canaries: Canaries,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Places]:
    found = Places(salesforce_org, tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(found.temporary))
    empty_broker()
    cache.clear()
    with found.open() as channel:
        secret = canaries.channel_secret
        settings.SF_INTEGRATION = settings.SF_INTEGRATION | {
            "TOKEN_API": True,
            "METRICS_TOKEN": canaries.metrics_token,
            "ALARM_MAIL": ["ops@acme.example"],
            "ALARM_CHANNELS": {"ops": f"json://bot:{secret}@{channel}/{secret}/?-token={secret}"},
            "ALARM_AFTER_SECONDS": 0,
        }
        yield found
    empty_broker()
    cache.clear()


def test_walk(canaries, places, salesforce_org, tmp_path):
    import time

    t = time.process_time()
    walk = Walk(salesforce_org, canaries, places, tmp_path)
    walk.waiting = []
    for n in ("live", "sign_in", "take_keys_in", "walk_pages", "call_api", "run_verbs", "run_tasks", "crash"):
        getattr(walk, n)()
        print(n, time.process_time() - t)
    walk.press(late=True)
    print("late", time.process_time() - t)
    names = {n for n, _ in addresses()}
    print(len(names), "missing", sorted(names - walk.went_well))
    print(
        {v.name for v in VERBS} - walk.ran, {n for n in current_app.tasks if n.startswith("sf_")} - walk.ran
    )
    search = canaries.search()
    print("table", len(search.table), len(canaries.all()), time.process_time() - t)
    for n, read in places.all().items():
        d = read()
        print(n, len(d), search.found_in(d), time.process_time() - t)
        for x in search.told(d):
            print("   ", x[:400])
    assert 0

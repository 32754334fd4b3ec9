"""Signing keys changed without a gap: the org takes the new certificate at a moment that nobody tells us."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sf_integration import ActionNeeded, get_client, get_token, keystore, tokens
from sf_integration.models import AccessToken, AuditEvent, ConnectedApp, SigningKey
from sf_integration.salesforce.errors import AuthenticationError
from sf_integration.signals import signing_key_promoted
from sf_integration.testing.django import ConnectableOrg
from sf_integration.tokens import promotion, rows
from tests import processes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def next_key() -> SigningKey:
    return keystore.make(name="next")


def stage(key: SigningKey, name: str = "acme") -> None:
    ConnectedApp.objects.filter(name=name).update(staged_signing_key=key, staged_at=timezone.now())


def upload(org: ConnectableOrg, key: SigningKey) -> None:
    """What the org's admin does."""
    org.app.replace_certificate(key.certificate)


def expire() -> None:
    AccessToken.objects.update(expected_expiry=timezone.now(), refresh_at=timezone.now())
    tokens.reset()


def make_due() -> None:
    AccessToken.objects.update(refresh_at=timezone.now() - dt.timedelta(minutes=1))


def connection(name: str = "acme") -> ConnectedApp:
    return ConnectedApp.objects.select_related("signing_key", "previous_signing_key").get(name=name)


def refused_sign_ins(org: ConnectableOrg) -> int:
    return sum(asked.path == "/services/oauth2/token" and asked.status != 200 for asked in org.requests)


# ---- the org takes the new certificate ------------------------------------------------------------------------------


def test_caller_gets_its_token_and_the_connection_the_staged_key(
    salesforce_org: ConnectableOrg, next_key: SigningKey
) -> None:
    old = salesforce_org.connect("acme").signing_key
    get_token("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    expire()
    token = get_token("acme")
    assert salesforce_org.find_session(token.value)
    now = connection()
    assert (now.signing_key, now.staged_signing_key_id, now.previous_signing_key) == (next_key, None, old)
    assert now.failing_since is None
    assert refused_sign_ins(salesforce_org) == 1
    tokens.reset()
    assert get_token("acme") == token
    expire()
    get_token("acme")
    assert refused_sign_ins(salesforce_org) == 1


def test_sweep_promotes(salesforce_org: ConnectableOrg, next_key: SigningKey) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    stage(next_key)
    upload(salesforce_org, next_key)
    make_due()
    assert tokens.refresh_due() == tokens.Tally(renewed=1)
    assert connection().signing_key == next_key
    make_due()
    assert tokens.refresh_due() == tokens.Tally(renewed=1)
    assert refused_sign_ins(salesforce_org) == 1

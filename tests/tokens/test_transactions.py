"""Callers inside transactions of their own, some of which roll back."""

from __future__ import annotations

import pytest
from django.db import transaction

from sf_integration import ActionNeeded, get_token, tokens
from sf_integration.models import AccessToken
from sf_integration.testing.django import ConnectableOrg


@pytest.mark.django_db(transaction=True)
def test_rollback_loses_no_token(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with transaction.atomic():
        inside = get_token("acme")
        assert get_token("acme") == inside
        transaction.set_rollback(True)
    assert AccessToken.objects.count() == 0
    for copy in tokens.current().copies.values():
        copy.next_look = 0
    assert get_token("acme") == inside
    assert salesforce_org.token_requests == 1
    assert AccessToken.objects.get().value.open().decode() == inside.value


@pytest.mark.django_db(transaction=True)
def test_commit_stores_the_token_for_all(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    with transaction.atomic():
        inside = get_token("acme")
    tokens.reset()
    assert get_token("acme") == inside
    assert salesforce_org.token_requests == 1


@pytest.mark.django_db(transaction=True)
def test_nothing_is_claimed_inside_a_transaction(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    get_token("acme")
    tokens.forget("acme")
    before = AccessToken.objects.values().get()
    with transaction.atomic():
        get_token("acme")
        assert AccessToken.objects.values().get() == before


@pytest.mark.django_db(transaction=True)
def test_a_failure_inside_a_transaction_is_not_tried_again_at_each_call(
    salesforce_org: ConnectableOrg,
) -> None:
    salesforce_org.user.approved = False
    salesforce_org.connect("acme")
    with transaction.atomic():
        for _ in range(5):
            with pytest.raises(ActionNeeded):
                get_token("acme")
    assert salesforce_org.token_requests == 1


@pytest.mark.django_db
def test_a_test_case_of_django_is_no_callers_transaction(salesforce_org: ConnectableOrg) -> None:
    salesforce_org.connect("acme")
    token = get_token("acme")
    assert AccessToken.objects.get().value.open().decode() == token.value

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sf_integration import ActionNeeded, tokens
from sf_integration.contrib.simple_salesforce import connect
from sf_integration.testing.django import ConnectableOrg, stand_in

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = "001Dn00000Gi7HJIAZ"


@pytest.fixture
def tls_org() -> Iterator[ConnectableOrg]:
    """The library insists on https."""
    with stand_in(tls=True) as org:
        org.connect("acme")
        yield org


def test_it_shares_the_token_and_signs_in_never(tls_org: ConnectableOrg) -> None:
    tokens.get("acme")
    salesforce = connect("acme")
    assert salesforce.Account.get(ACCOUNT)["AccountNumber"]
    assert len(list(salesforce.query_all_iter("SELECT Id FROM Contact"))) == 2500
    assert tls_org.token_requests == 1


def test_an_ended_session_is_renewed_within_the_request(tls_org: ConnectableOrg) -> None:
    salesforce = connect("acme")
    for _ in range(3):
        tls_org.end_sessions()
        assert salesforce.query("SELECT Id FROM Account LIMIT 1")["records"]
    created = salesforce.Contact.create({"LastName": "Lind"})
    assert created["success"]
    assert tls_org.token_requests == 4


def test_a_refused_sign_in_is_our_error_with_its_remedy(tls_org: ConnectableOrg) -> None:
    tls_org.user.approved = False
    with pytest.raises(ActionNeeded) as caught:
        connect("acme")
    assert caught.value.remedy

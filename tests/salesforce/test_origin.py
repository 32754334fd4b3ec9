from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_integration.salesforce import ids, origin

from .conftest import token_for

ORG15, ORG18 = "00D5g000004FaKe", "00D5g000004FaKeEAK"
INSTANCE = "https://acme.my.salesforce.com"


def token(value: str = "opaque", identity_url: str = ""):
    return replace(token_for(INSTANCE, value), identity_url=identity_url)


def segment(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def jwt_token(header: object) -> str:
    return f"{segment(header)}.{segment({'sub': 'uid:005'})}.c2ln"


@pytest.mark.parametrize(
    "identity_url",
    [
        f"https://login.salesforce.com/id/{ORG18}/0055g00000DemoUAAR",
        f"https://login.salesforce.com/id/{ORG15}/0055g00000DemoU",
        f"https://site.force.com/customers/id/{ORG18}/0055g00000DemoUAAR",
    ],
)
def test_the_identity_url_names_the_org_before_the_user(identity_url):
    assert origin.told_by(token(identity_url=identity_url)) == ORG18


@pytest.mark.parametrize(
    "identity_url",
    [
        "",
        "https://login.salesforce.com",
        f"https://login.salesforce.com/id/{ORG18}",
        f"https://login.salesforce.com/other/{ORG18}/005",
        "https://login.salesforce.com/id/0015g000004FaKeEAK/0055g00000DemoUAAR",
        "https://login.salesforce.com/id/nonsense/0055g00000DemoUAAR",
        "https://[broken/id/x/y",
    ],
)
def test_another_address_tells_nothing(identity_url):
    assert origin.told_by(token(identity_url=identity_url)) == ""


@pytest.mark.parametrize("prefix", [ORG15, ORG18])
def test_an_opaque_token_begins_with_its_org(prefix):
    assert origin.told_by(token(f"{prefix}!AQx.y_z")) == ORG18


def test_the_header_of_a_jwt_token_names_its_org():
    assert origin.told_by(token(jwt_token({"alg": "RS256", "tnk": f"core/eu47/{ORG18}"}))) == ORG18


@pytest.mark.parametrize(
    "tenant", [None, 7, "", ORG18, f"core/{ORG18}", f"other/eu47/{ORG18}", "core/eu47/nonsense", ["core"]]
)
def test_a_jwt_token_without_a_usable_tenant_tells_nothing(tenant):
    assert origin.told_by(token(jwt_token({"alg": "RS256", "tnk": tenant}))) == ""


def test_the_answer_goes_before_the_token():
    url = "https://login.salesforce.com/id/00DAA0000000001AAA/0055g00000DemoUAAR"
    assert origin.told_by(token(f"{ORG15}!AQ", url))[:15] == "00DAA0000000001"


def test_ids_are_compared_by_15_characters_and_their_case():
    assert origin.same(ORG15, ORG18)
    assert not origin.same(ORG18, ORG18.swapcase())
    assert not origin.same("", ORG18)


@given(st.text(), st.text())
def test_garbage_tells_nothing_and_never_raises(value, identity_url):
    found = origin.told_by(token(value, identity_url))
    assert found == "" or ids.to_18(found) == found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_jwt_with_any_header_never_raises(header):
    value = jwt_token(header)
    assert origin.told_by(token(value)) == ""
    assert origin.told_by(token(value[:-3] + "!")) == ""


@given(st.binary(), st.binary())
def test_what_only_looks_like_a_jwt_never_raises(head, body):
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (head, body)]
    assert origin.told_by(token(f"eyJ{encoded[0]}.{encoded[1]}.x")) == ""


def test_a_jwt_that_is_nested_too_deep_never_raises():
    deep = base64.urlsafe_b64encode(b'{"tnk":' + b"[" * 100_000).decode().rstrip("=")
    assert origin.told_by(token(f"{deep}.e30.x")) == ""

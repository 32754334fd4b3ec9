"""Several orgs in one stand-in, told apart by port, by host name, and at the login hosts they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from sf_integration.testing import App, Org, StandIn

from .conftest import GRANT_TYPE, Caller, refusal

UNKNOWN_APP = (400, "invalid_client_id", "client identifier invalid")
BAD_AUDIENCE = (400, "invalid_grant", "audience is invalid")
NOT_INSTALLED = (400, "app_not_found", "External client app is not installed in this org")


def post(url: str, assertion: str, **headers: str) -> requests.Response:
    data = {"grant_type": GRANT_TYPE, "assertion": assertion}
    return requests.post(f"{url}/services/oauth2/token", data=data, headers=headers, timeout=10)


def oauth_refusal(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()
    return answer.status_code, error["error"], error["error_description"]


@pytest.fixture
def second(server: StandIn, other_key_pair: tuple[str, str]) -> Org:
    key, certificate = other_key_pair
    app = App(certificate_pem=certificate, private_key_pem=key)
    return server.add_org(name="Second", username="b@second.example", app=app)


@pytest.fixture
def sandbox(server: StandIn, other_key_pair: tuple[str, str]) -> Org:
    key, certificate = other_key_pair
    app = App(certificate_pem=certificate, private_key_pem=key)
    return server.add_org(is_sandbox=True, username="b@second.example.uat", app=app)


def test_orgs_have_ports_of_their_own(caller: Caller, org: Org, second: Org):
    other = Caller(second)
    assert other.sign_in().json()["instance_url"] == second.url != org.url
    assert caller.sign_in().status_code == 200
    # A token of one org is nothing at the other.
    assert (
        caller.http.get(
            f"{second.url}/services/data/v67.0/limits",
            headers={"Authorization": f"Bearer {caller.token}"},
            timeout=10,
        ).status_code
        == 401
    )
    assert oauth_refusal(post(second.url, caller.sign(aud=second.url))) == UNKNOWN_APP
    assert (org.logins, second.logins) == (1, 1)


def test_orgs_at_one_port_are_told_apart_by_host_name(
    server: StandIn, org: Org, other_key_pair: tuple[str, str]
):
    key, certificate = other_key_pair
    app = App(certificate_pem=certificate, private_key_pem=key)
    named = server.add_org(host_name="Acme.my.salesforce.com", app=app, username="b@acme.example")
    assert named.url == f"http://acme.my.salesforce.com:{org.url.rpartition(':')[2]}"
    host = named.url.partition("://")[2]

    answer = post(org.url, Caller(named).sign(), Host=host).json()
    assert answer["instance_url"] == named.url
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    url = f"{org.url}/services/data/v67.0/limits"
    assert requests.get(url, headers={**headers, "Host": host}, timeout=10).status_code == 200
    assert requests.get(url, headers=headers, timeout=10).status_code == 401
    assert [request.host for request in named.requests] == [host, host]


@pytest.mark.parametrize("by_header", [True, False])
def test_shared_login_host_finds_the_org_by_the_consumer_key(
    server: StandIn, org: Org, second: Org, by_header: bool
):
    url = org.url if by_header else server.open_login_host()
    headers = {"Host": "login.salesforce.com"} if by_header else {}
    for one in (org, second):
        caller = Caller(one)
        for audience in ("https://login.salesforce.com", one.url):
            assert post(url, caller.sign(aud=audience), **headers).json()["instance_url"] == one.url
    assert (org.logins, second.logins) == (2, 2)


def test_one_app_in_several_orgs_is_told_apart_by_the_username(
    server: StandIn, org: Org, key_pair: tuple[str, str]
):
    key, certificate = key_pair
    same = App(consumer_key=org.app.consumer_key, certificate_pem=certificate, private_key_pem=key)
    customer = server.add_org(username="b@customer.example", app=same)
    url = server.open_login_host()
    for one in (org, customer):
        assert post(url, Caller(one).sign()).json()["instance_url"] == one.url
    stranger = Caller(org).sign(sub="nobody@customer.example")
    assert oauth_refusal(post(url, stranger))[2] == "user hasn't approved this consumer"


def test_shared_login_host_knows_its_own_kind_of_org_only(server: StandIn, org: Org, sandbox: Org):
    production_host, sandbox_host = server.open_login_host(), server.open_login_host(for_sandboxes=True)
    production, uat = Caller(org), Caller(sandbox)
    assert post(sandbox_host, uat.sign(aud="https://test.salesforce.com")).status_code == 200
    assert oauth_refusal(post(production_host, uat.sign(aud="https://login.salesforce.com"))) == UNKNOWN_APP
    assert (
        oauth_refusal(post(sandbox_host, production.sign(aud="https://test.salesforce.com"))) == UNKNOWN_APP
    )


def test_audience_of_the_other_kind_of_org_is_refused_at_my_domain(org: Org, sandbox: Org):
    production, uat = Caller(org), Caller(sandbox)
    assert production.sign_in(aud="https://login.salesforce.com").status_code == 200
    assert uat.sign_in(aud="https://test.salesforce.com").status_code == 200
    assert oauth_refusal(production.sign_in(aud="https://test.salesforce.com")) == BAD_AUDIENCE
    assert oauth_refusal(uat.sign_in(aud="https://login.salesforce.com")) == BAD_AUDIENCE


def test_external_client_app_is_unknown_at_the_shared_login_host(server: StandIn, org: Org, caller: Caller):
    org.app.kind = "external"
    url = server.open_login_host()
    assert oauth_refusal(post(url, caller.sign())) == NOT_INSTALLED
    assert oauth_refusal(caller.sign_in(aud="https://login.salesforce.com")) == NOT_INSTALLED
    assert caller.sign_in().status_code == 200


def test_my_domain_may_forbid_the_shared_login_host(server: StandIn, org: Org, caller: Caller):
    org.shared_login_allowed = False
    assert oauth_refusal(post(server.open_login_host(), caller.sign())) == UNKNOWN_APP
    assert oauth_refusal(caller.sign_in(aud="https://login.salesforce.com")) == BAD_AUDIENCE
    assert caller.sign_in().status_code == 200


def test_identity_and_the_end_of_a_token_are_known_at_the_shared_login_host(
    server: StandIn, second: Org, other_key_pair: tuple[str, str]
):
    caller = Caller(second)
    url = server.open_login_host()
    caller.token = post(url, caller.sign()).json()["access_token"]
    headers = {"Authorization": f"Bearer {caller.token}"}
    assert (
        requests.get(f"{url}/services/oauth2/userinfo", headers=headers, timeout=10).json()["user_id"]
        == second.user.id
    )
    path = f"/id/{second.id}/{second.user.id}"
    assert requests.get(url + path, headers=headers, timeout=10).json()["organization_id"] == second.id
    assert (
        requests.post(f"{url}/services/oauth2/revoke", data={"token": caller.token}, timeout=10).status_code
        == 200
    )
    assert refusal(caller.get("limits")) == (401, "INVALID_SESSION_ID", "Session expired or invalid")


def test_nobody_knows_an_unreadable_assertion(server: StandIn, org: Org):
    assert oauth_refusal(post(server.open_login_host(), "nonsense")) == (
        400,
        "invalid_grant",
        "invalid assertion",
    )


def test_moved_org_answers_elsewhere_and_the_old_address_redirects(signed_in: Caller, org: Org):
    old_url = org.url
    identity_path = f"/id/{org.id}/{org.user.id}"
    org.move()
    assert org.url == old_url != org.instance_url

    moved = signed_in.call("GET", "limits", allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"]) == (
        302,
        f"{org.instance_url}/services/data/v67.0/limits",
    )

    assert signed_in.sign_in().json()["instance_url"] == org.instance_url
    headers = {"Authorization": f"Bearer {signed_in.token}"}
    assert (
        requests.get(
            f"{org.instance_url}/services/data/v67.0/limits", headers=headers, timeout=10
        ).status_code
        == 200
    )
    assert requests.get(org.instance_url + identity_path, headers=headers, timeout=10).status_code == 200
    assert signed_in.call("GET", identity_path).status_code == 200


def test_moved_org_comes_back_where_it_was(server: StandIn, caller: Caller, org: Org):
    org.move()
    addresses = (org.url, org.instance_url)
    server.stop()
    server.start()
    assert (org.url, org.instance_url) == addresses
    assert caller.sign_in().json()["instance_url"] == addresses[1]


@pytest.fixture
def tls_server(key_pair: tuple[str, str]) -> Iterator[StandIn]:
    with StandIn(tls=True, certificate_pem=key_pair[1], private_key_pem=key_pair[0]) as server:
        yield server


def test_certificate_names_every_host(tls_server: StandIn, monkeypatch: pytest.MonkeyPatch):
    """Also of an org that is added later."""
    named = tls_server.add_org(host_name="later.my.salesforce.com")
    port = int(tls_server.url.rpartition(":")[2])
    for name in ("login.salesforce.com", "later.my.salesforce.com", "localhost"):
        with monkeypatch.context() as patch:
            patch.setattr("urllib3.util.connection.HAS_IPV6", False)
            patch.setattr(
                "socket.getaddrinfo", lambda host, *rest, **more: [(2, 1, 6, "", ("127.0.0.1", port))]
            )
            answer = requests.get(
                f"https://{name}:{port}/services/data", verify=str(tls_server.ca_file), timeout=10
            )
        assert answer.status_code == 200
    assert named.requests


def test_every_address_is_told_before_it_can_be_learnt(key_pair: tuple[str, str]):
    told: list[str] = []
    with StandIn(certificate_pem=key_pair[1], on_open=told.append) as server:
        second = server.add_org(app=App(certificate_pem=key_pair[1]))
        second.move()
        assert [f"http://{address}" for address in told] == [server.url, second.url, second.instance_url]

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from sf_integration import get_token, hosts, tokens
from sf_integration.models import AccessToken
from sf_integration.salesforce.errors import InvalidInput, NotAllowedHere


@pytest.fixture(autouse=True)
def allowed(settings):
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {
        "ALLOWED_HOSTS": [
            "127.0.0.1:8443",
            "[::1]:8443",
            "localhost:9000",
            "gateway.acme.example",
            "Proxy.Acme.example:8443",
        ],
        "ALLOWED_ENVIRONMENTS": None,
    }


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://acme.my.salesforce.com/", "https://acme.my.salesforce.com"),
        ("  https://ACME.my.Salesforce.com//  ", "https://acme.my.salesforce.com"),
        ("acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("login.salesforce.com/", "https://login.salesforce.com"),
        ("HTTPS://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://site.force.com/customers/", "https://site.force.com/customers"),
        ("http://127.0.0.1:8443", "http://127.0.0.1:8443"),
        ("http://[::1]:8443/", "http://[::1]:8443"),
    ],
)
def test_login_urls_are_brought_into_one_form(typed, stored):
    assert hosts.normal_login_url(typed) == stored
    assert hosts.normal_login_url(stored) == stored


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "https://",
        "https:///x",
        "ftp://acme.my.salesforce.com",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://gateway.acme.example?x=y",
        "https://gateway.acme.example/#x",
        "https://ann:planted@acme.my.salesforce.com",
        "https://planted@acme.my.salesforce.com",
        "https://evil.example\\@acme.my.salesforce.com",
        "https://evil.example\\.my.salesforce.com",
        "https://acme.my.salesforce.com:x",
        "https://acme.my.salesforce.com:99999",
        "https://[",
        "https://[::1",
        "https://ac me.my.salesforce.com",
        "https://acme.my.salesforce.com\x00",
        "https://äcme.my.salesforce.com",
        "two words",
        "https://.my.salesforce.com",
        "https://acme..my.salesforce.com",
        "https://https://acme.my.salesforce.com",
    ],
)
def test_what_is_no_login_url_is_told(typed):
    with pytest.raises(InvalidInput) as caught:
        hosts.normal_login_url(typed)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://login.salesforce.com",
        "https://test.salesforce.com",
        "https://acme.my.salesforce.com",
        "https://acme.my.salesforce.com:443",
        "https://ACME--uat.sandbox.my.SALESFORCE.com",
        "https://acme.my.salesforce.mil",
        "https://site.force.com/customers",
        "https://gateway.acme.example",
        "https://gateway.acme.example:8443",
        "https://proxy.acme.example:8443",
        "http://127.0.0.1:8443",
        "https://127.0.0.1:8443/services/oauth2/token",
        "http://[::1]:8443",
        "http://localhost:9000",
    ],
)
def test_hosts_that_may_be_called(url):
    hosts.require_allowed(url)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://acme.my.salesforce.com", "unprotected"),
        ("http://gateway.acme.example", "unprotected"),
        ("http://127.0.0.1.evil.example:8443", "unprotected"),
        ("http://2130706433:8443", "unprotected"),
        ("http://0.0.0.0:8443", "unprotected"),
        ("http://localhost.:9000", "unprotected"),
        ("https://evil.example", "neither a host of Salesforce nor listed"),
        ("https://salesforce.com.evil.example", "neither"),
        ("https://evilsalesforce.com", "neither"),
        ("https://acme.my.salesforce.com.", "neither"),
        ("https://acme.my.salesforce.com:8443", "neither"),
        ("https://proxy.acme.example", "neither"),
        ("https://sub.gateway.acme.example", "neither"),
        ("http://127.0.0.1:8444", "neither"),
        ("http://127.0.0.2:8443", "neither"),
        ("http://127.0.0.1", "neither"),
        ("http://localhost:8443", "neither"),
        ("https://169.254.169.254", "neither"),
        ("https://acme.lightning.force.com", "serves pages"),
        ("https://acme.my.salesforce-setup.com", "serves pages"),
        ("https://evil.example\\@acme.my.salesforce.com", "is no https address"),
        ("https://evil.example\\.my.salesforce.com", "is no https address"),
        ("https://evil.example#.my.salesforce.com", "is no https address"),
        ("https://evil.example?.my.salesforce.com", "is no https address"),
        ("https://user@acme.my.salesforce.com", "is no https address"),
        ("https://acme.my.salesforce.com\nX", "is no https address"),
        ("ftp://acme.my.salesforce.com", "is no https address"),
        ("acme.my.salesforce.com", "is no https address"),
        ("", "is no https address"),
    ],
)
def test_hosts_that_may_not_be_called(url, word):
    with pytest.raises(NotAllowedHere, match=word) as caught:
        hosts.require_allowed(url)
    assert caught.value.remedy


def test_what_no_parser_understands_is_not_allowed_either():
    assert not hosts.is_allowed("https://[acme.my.salesforce.com")


@pytest.mark.parametrize("host", ["acme.my.salesforce.com", "acme.lightning.force.com"])
def test_a_port_of_somebody_else_is_not_left_out_of_what_is_judged(host):
    with pytest.raises(NotAllowedHere):
        hosts.read_login_url(f"https://{host}:8443/")


def test_a_listed_loopback_needs_its_port(settings):
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ALLOWED_HOSTS": ["127.0.0.1", "localhost"]}
    for url in ("http://127.0.0.1:8000", "http://localhost:8000", "https://127.0.0.1:8000"):
        with pytest.raises(NotAllowedHere):
            hosts.require_allowed(url)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://login.salesforce.com", "production"),
        ("https://acme--uat.sandbox.my.sfcrmproducts.cn", "sandbox"),
        ("https://acme.my.salesforce.com", "production"),
        ("https://acme.example", "production"),
        ("https://sandbox.my.salesforce.com", "production"),
        ("https://acme.sandbox.my.salesforce.com.evil.example", "production"),
        ("https://test.salesforce.com", "sandbox"),
        ("https://acme--uat.sandbox.my.salesforce.com", "sandbox"),
        ("https://ACME--UAT.SANDBOX.my.salesforce.com", "sandbox"),
        ("https://cs42.salesforce.com", "sandbox"),
        ("https://data-innovation-123.scratch.my.salesforce.com", "scratch"),
        ("https://acme-dev-ed.my.salesforce.com", "developer"),
        ("https://acme-dev-ed.develop.my.salesforce.com", "developer"),
        ("https://playful-bear-1.trailblaze.my.salesforce.com", "trailhead"),
    ],
)
def test_the_host_tells_the_kind_of_org(url, kind):
    assert hosts.environment_of(url) == kind


def test_pasted_page_is_told_with_all_that_follows_from_it():
    found = hosts.read_login_url("https://acme--uat.sandbox.lightning.force.com/lightning/page/home?x=1")
    assert found.login_url == found.audience == "https://acme--uat.sandbox.my.salesforce.com"
    assert found.environment == "sandbox"
    assert found.note.startswith("acme--uat.sandbox.lightning.force.com serves pages;")
    assert hosts.read_login_url("acme.my.salesforce.com").note == ""


def test_address_that_may_not_be_called_is_refused_at_once():
    with pytest.raises(NotAllowedHere, match="neither a host of Salesforce nor listed"):
        hosts.read_login_url("https://evil.example")


@pytest.mark.parametrize("field", ["login_url", "audience"])
@pytest.mark.parametrize("host", ["login.salesforce.com", "test.salesforce.com"])
def test_external_client_app_is_not_looked_for_at_the_shared_login_hosts(field, host):
    addresses = {"login_url": "https://acme.my.salesforce.com", "audience": ""} | {field: f"https://{host}"}
    found = hosts.app_kind_problem("external_client_app", **addresses)
    assert found is not None
    assert found[0] == field
    assert "app_not_found" in found[1]
    assert "My Domain" in found[1]
    assert hosts.app_kind_problem("connected_app", **addresses) is None
    assert hosts.app_kind_problem("", **addresses) is None


SANDBOX, PRODUCTION = "https://acme--uat.sandbox.my.salesforce.com", "https://acme.my.salesforce.com"
SCRATCH, DEVELOPER = "https://x.scratch.my.salesforce.com", "https://acme-dev-ed.develop.my.salesforce.com"


@pytest.mark.parametrize(
    ("is_sandbox", "organization_type", "trial", "login_url", "kind"),
    [
        (True, "Enterprise Edition", False, SANDBOX, "sandbox"),
        (True, "Enterprise Edition", False, PRODUCTION, "sandbox"),
        (True, "Enterprise Edition", True, PRODUCTION, "scratch"),
        (True, "Developer Edition", True, SCRATCH, "scratch"),
        (True, "Enterprise Edition", False, "http://127.0.0.1:8443", "sandbox"),
        (False, "Enterprise Edition", False, PRODUCTION, "production"),
        (False, "Enterprise Edition", False, "https://test.salesforce.com", "production"),
        (False, "Enterprise Edition", False, SANDBOX, "production"),
        (False, "Developer Edition", False, PRODUCTION, "developer"),
        (False, "Developer Edition", False, DEVELOPER, "developer"),
        (False, "Developer Edition", False, "https://x.trailblaze.my.salesforce.com", "trailhead"),
        (False, "", False, PRODUCTION, "production"),
    ],
)
def test_the_orgs_own_record_corrects_the_host(is_sandbox, organization_type, trial, login_url, kind):
    found = hosts.environment_of_org(
        is_sandbox=is_sandbox, organization_type=organization_type, trial=trial, login_url=login_url
    )
    assert found == kind


def test_every_kind_of_org_is_allowed_unless_told_otherwise(settings):
    assert all(
        hosts.environment_allowed(kind)
        for kind in ("production", "sandbox", "scratch", "developer", "trailhead")
    )
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"ALLOWED_ENVIRONMENTS": ["sandbox"]}
    assert hosts.environment_allowed("sandbox")
    assert not hosts.environment_allowed("production")
    assert not hosts.environment_allowed("never heard of")


@pytest.mark.parametrize(
    ("login_url", "audience"),
    [
        ("https://acme.my.salesforce.com", "https://acme.my.salesforce.com"),
        ("https://login.salesforce.com", "https://login.salesforce.com"),
        ("https://site.force.com/customers", "https://site.force.com/customers"),
        ("https://acme.my.site.com/customers", "https://acme.my.site.com/customers"),
        ("http://127.0.0.1:8443", "http://127.0.0.1:8443"),
    ],
)
def test_the_audience_follows_the_login_url(login_url, audience):
    assert hosts.default_audience(login_url) == audience


@pytest.mark.parametrize(("host", "loopback"), [
    ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
    ("0.0.0.0", False), ("10.0.0.1", False), ("localhost.evil.example", False), ("", False), ("127.1", False),
])  # fmt: skip
def test_loopback(host, loopback):
    assert hosts.is_loopback(host) is loopback


# ---- a rule of the installation's own -------------------------------------------------------------------------------

GATEWAY, ELSEWHERE = "https://gateway.acme.example", "https://elsewhere.example"


def narrow(url: str) -> bool | None:
    return None if "acme" in url else False


def wide(url: str) -> bool | None:
    return True if url.startswith(("https://elsewhere.example", "http://")) else None


def says_why(url: str) -> bool | None:
    raise NotAllowedHere("Only between nine and five.", remedy="Wait.")


def broken(url: str) -> bool | None:
    raise OSError("planted")


def unsure(url: str) -> bool | None:
    return "perhaps"  # type: ignore[return-value]


NOT_A_RULE = "text"


@pytest.fixture
def rule(settings):
    def use(name: str) -> None:
        settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"HOST_RULE": f"tests.test_hosts.{name}"}

    return use


@pytest.mark.parametrize(
    ("name", "url", "may_be_called"),
    [
        ("narrow", PRODUCTION, True),
        ("narrow", GATEWAY, True),
        ("narrow", "https://acme.example", False),
        ("narrow", "https://other.my.salesforce.com", False),
        ("wide", PRODUCTION, True),
        ("wide", ELSEWHERE, True),
        ("wide", "https://other.example", False),
        ("wide", "http://elsewhere.example", False),
        ("wide", "https://elsewhere.example.lightning.force.com", False),
        ("unsure", PRODUCTION, False),
        ("broken", PRODUCTION, False),
        ("says_why", PRODUCTION, False),
        ("no_such_function", PRODUCTION, False),
        ("NOT_A_RULE", PRODUCTION, False),
    ],
)
def test_own_rule_forbids_and_allows(rule, name, url, may_be_called):
    rule(name)
    assert hosts.is_allowed(url) is may_be_called


def test_own_rule_may_say_why_and_a_broken_one_is_told_by_its_class(rule, caplog):
    rule("says_why")
    with pytest.raises(NotAllowedHere, match="Only between nine and five"):
        hosts.require_allowed(PRODUCTION)
    rule("broken")
    with pytest.raises(NotAllowedHere, match="own rule for hosts"):
        hosts.require_allowed(PRODUCTION)
    assert "OSError" in caplog.text
    assert "planted" not in caplog.text


@pytest.mark.parametrize("name", ["no_such_function", "NOT_A_RULE"])
def test_system_check_names_a_rule_that_leads_nowhere(rule, name):
    rule(name)
    with pytest.raises(SystemCheckError, match=r"sf_integration\.E005"):
        call_command("check", tags=["sf_integration"])


@pytest.mark.django_db(transaction=True)
def test_own_rule_holds_for_the_instance_of_a_token_too(salesforce_org, rule, settings):
    salesforce_org.connect("acme")
    salesforce_org.fail("answer", body={"access_token": "x", "instance_url": ELSEWHERE, "scope": "api"})
    with pytest.raises(NotAllowedHere, match="names a foreign instance"):
        get_token("acme")
    rule("wide")
    AccessToken.objects.update(last_try_at=None)
    salesforce_org.fail("answer", body={"access_token": "x", "instance_url": ELSEWHERE, "scope": "api"})
    assert tokens.refresh("acme").instance_url == ELSEWHERE
    settings.SF_INTEGRATION = settings.SF_INTEGRATION | {"HOST_RULE": ""}
    tokens.reset()
    assert get_token("acme").instance_url == salesforce_org.instance_url

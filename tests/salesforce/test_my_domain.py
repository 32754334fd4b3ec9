from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sf_integration.salesforce import my_domain
from sf_integration.salesforce.errors import InvalidInput

ACME, UAT = "https://acme.my.salesforce.com", "https://acme--uat.sandbox.my.salesforce.com"

label = st.from_regex(r"[a-z][a-z0-9]{0,12}(-[a-z0-9]{1,8})?", fullmatch=True)
sandbox = label.map(lambda name: f"{name}--uat.sandbox")
org = st.one_of(
    label,
    sandbox,
    label.map(lambda name: f"{name}-dev-ed.develop"),
    label.map(lambda name: f"{name}.scratch"),
    label.map(lambda name: f"{name}.trailblaze"),
)
PAGE_HOSTS = {
    "lightning.force.com": "my.salesforce.com",
    "my.salesforce-setup.com": "my.salesforce.com",
    "file.force.com": "my.salesforce.com",
    "lightning.crmforce.mil": "my.salesforce.mil",
    "my.salesforce-setup.mil": "my.salesforce.mil",
    "lightning.sfcrmapps.cn": "my.sfcrmproducts.cn",
    "setup.sfcrmproducts.cn": "my.sfcrmproducts.cn",
}
path = st.sampled_from(
    [
        "",
        "/",
        "/lightning/page/home",
        "/lightning/setup/SetupOneHome/home?x=1",
        "/one/one.app#/sObject/001",
        "/?a=b#c",
    ]
)


@pytest.mark.parametrize(
    ("pasted", "url"),
    [
        ("https://acme.lightning.force.com/lightning/page/home", ACME),
        ("acme.lightning.force.com", ACME),
        ("acme.lightning.force.com/one/one.app?back=https://evil.example/", ACME),
        ("“https://acme.lightning.force.com/lightning/page/home”", ACME),
        ("https://acme--uat.sandbox.lightning.force.com/lightning/r/Account/001/view?x=1#y", UAT),
        ("https://acme-dev-ed.develop.lightning.force.com/", "https://acme-dev-ed.develop.my.salesforce.com"),
        ("https://calm-bear-1.scratch.lightning.force.com", "https://calm-bear-1.scratch.my.salesforce.com"),
        (
            "https://calm-bear-1.trailblaze.lightning.force.com",
            "https://calm-bear-1.trailblaze.my.salesforce.com",
        ),
        ("https://acme.my.salesforce-setup.com/lightning/setup/OrgDomain/home", ACME),
        ("https://acme--uat.sandbox.my.salesforce-setup.com/lightning/setup/SetupOneHome/home", UAT),
        ("https://acme--c.vf.force.com/apex/Order?id=1", ACME),
        ("https://acme--harbor_sync.vf.force.com", ACME),
        ("https://acme--uat--c.sandbox.vf.force.com/apex/Order", UAT),
        ("https://acme-dev-ed--c.develop.vf.force.com", "https://acme-dev-ed.develop.my.salesforce.com"),
        ("https://acme.file.force.com/sfc/dist/version", ACME),
        ("https://acme--uat.sandbox.file.force.com", UAT),
        ("https://acme.my.salesforce.com/lightning/page/home?x=1#y", ACME),
        ("https://acme.lightning.crmforce.mil/lightning/page/home", "https://acme.my.salesforce.mil"),
        ("https://acme--uat.sandbox.lightning.crmforce.mil", "https://acme--uat.sandbox.my.salesforce.mil"),
        ("https://acme.lightning.sfcrmapps.cn/lightning/page/home", "https://acme.my.sfcrmproducts.cn"),
        ("https://acme.my.site.com/customers", "https://acme.my.site.com/customers"),
        ("https://acme.my.site.com/customers/?x=1", "https://acme.my.site.com/customers"),
        ("https://support.force.com/help/", "https://support.force.com/help"),
        ("https://login.salesforce.com/?locale=de", "https://login.salesforce.com"),
        ("test.salesforce.com/", "https://test.salesforce.com"),
        ("  <HTTPS://ACME.Lightning.Force.com./lightning>  ", ACME),
        ("http://acme.lightning.force.com", ACME),
        ('"https://acme.my.salesforce.com."', ACME),
        ("https://acme.lightning.force.com:443/x", ACME),
    ],
)
def test_pasted_address_yields_the_login_url(pasted: str, url: str) -> None:
    assert my_domain.read(pasted).url == url


@pytest.mark.parametrize(
    "pasted",
    [
        "https://na1.salesforce.com",
        "https://eu5.salesforce.com/home/home.jsp",
        "cs42.salesforce.com",
        "https://www.salesforce.com",
        "https://help.salesforce.com/s/articleView?id=1",
        "https://acme.vf.force.com",
        "https://acme--c.sandbox.vf.force.com",
    ],
)
def test_address_that_tells_of_no_org_is_refused_with_the_way_out(pasted: str) -> None:
    with pytest.raises(InvalidInput, match="Setup → My Domain"):
        my_domain.read(pasted)


def test_what_was_made_of_it_is_told_only_when_something_was() -> None:
    assert my_domain.read(" ACME.my.salesforce.com/ ").note == ""
    assert "left out" in my_domain.read("https://acme.my.salesforce.com/lightning").note
    assert "acme.lightning.force.com serves pages" in my_domain.read("https://acme.lightning.force.com").note


@given(org, st.sampled_from(sorted(PAGE_HOSTS)), path)
def test_every_page_of_an_org_leads_to_its_my_domain(org: str, pages: str, path: str) -> None:
    assert my_domain.read(f"https://{org}.{pages}{path}").url == f"https://{org}.{PAGE_HOSTS[pages]}"


@given(org, st.sampled_from(["c", "harbor_sync", "ns1"]))
def test_visualforce_page_of_any_package_leads_to_the_my_domain(org: str, package: str) -> None:
    name, _, partition = org.partition(".")
    page = f"https://{name}--{package}{'.' if partition else ''}{partition}.vf.force.com/apex/Page"
    assert my_domain.read(page).url == f"https://{org}.my.salesforce.com"


@given(org, path)
def test_login_url_stays_as_it_is_however_often_it_is_read(org: str, path: str) -> None:
    once = my_domain.read(f"{org}.my.salesforce.com{path}").url
    assert once == f"https://{org}.my.salesforce.com"
    assert my_domain.read(once) == my_domain.Address(once)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=60), st.text(alphabet="htps:/.@#?<>[]\\ acme-force.com", max_size=60)))
@example("https://ann:planted@acme.lightning.force.com/x")
@example("ftp://ann:planted@acme.lightning.force.com/x")
@example("https://[")
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    refused = ""
    try:
        found = my_domain.read(text).url
    except InvalidInput as refusal:
        found, refused = "", str(refusal)
    assert bool(found) != bool(refused)
    assert "planted" not in refused
    assert not set(found) & set("?#\\ ")
    assert "@" not in urlsplit(found).netloc
    assert not found or my_domain.read(found).url == found


@given(org)
def test_setup_opens_at_the_orgs_own_host(org: str) -> None:
    found = my_domain.setup_url(f"https://{org}.my.salesforce.com", "/lightning/setup/OrgDomain/home")
    assert found == f"https://{org}.lightning.force.com/lightning/setup/OrgDomain/home"
    assert my_domain.read(found).url == f"https://{org}.my.salesforce.com"


@pytest.mark.parametrize(
    "login_url",
    [
        "",
        "http://127.0.0.1:8443",
        "https://login.salesforce.com",
        "https://acme.my.salesforce.com.evil.example",
    ],
)
def test_no_setup_is_linked_where_no_org_is_known(login_url: str) -> None:
    assert my_domain.setup_url(login_url, "/lightning/setup/OrgDomain/home") == ""


@pytest.mark.parametrize(
    ("login_url", "names"),
    [
        (ACME, ("acme", "")),
        (UAT, ("acme", "uat")),
        ("https://acme-dev-ed.develop.my.salesforce.com", ("acme-dev-ed", "")),
        ("https://login.salesforce.com", ("", "")),
        ("http://127.0.0.1:8443", ("", "")),
    ],
)
def test_names_in_the_my_domain(login_url: str, names: tuple[str, str]) -> None:
    assert my_domain.names(login_url) == names


@pytest.mark.parametrize(
    "host", ["acme.lightning.force.com.evil.example", "acme--c.vf.force.com.evil.example"]
)
def test_host_that_only_begins_like_a_page_tells_of_no_org(host: str) -> None:
    assert my_domain.my_domain_of(host) == ""

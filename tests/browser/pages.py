"""Every page there is, with each of the faces it can show. A page that is not in the table fails `test_walk`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from django.contrib import admin
from django.urls import Resolver404, resolve, reverse
from playwright.sync_api import Page

from sf_integration.urls import app_name, urlpatterns
from sfjwt_site import urls as site_urls
from tests.browser.site import ACCOUNT, STATES, Site

# Marks what the answer will replace, and tells where the button sends its form.
MARK_AND_TELL = """button => { document.querySelector('main').dataset.old = '';
    return button.getAttribute('formaction') ? button.formAction : button.form.action.split('#')[0] }"""


def stay(page: Page) -> None:
    """Nothing is done."""


@dataclass(frozen=True)
class Visit:
    """One face of a page."""

    path: str
    """With names of `Site.ids` in braces."""
    face: str = ""
    """What is to be seen, where the page has several."""
    who: str = "admin"
    """As in `Site.sessions`; empty: nobody is signed in."""
    status: int = 200
    act: Callable[[Page], int | None] = stay
    """What is done on the page before it is looked at; gives the status of what came of it."""
    brief: bool = False
    """One more state of a page whose other faces are looked at in every way: in two ways this one."""

    @property
    def page(self) -> str:
        """Name of the URL; for what no pattern knows, the face."""
        try:
            return resolve(self.path.partition("?")[0].format_map(_Anything())).view_name.removeprefix(
                f"{app_name}:"
            )
        except Resolver404:
            return "unknown"

    @property
    def name(self) -> str:
        """Of the pictures."""
        face = self.face or self.path.partition("?")[2]
        words = f"{self.page} {face}".replace(":", " ").split()
        return "-".join(
            "".join(letter for letter in word if letter.isalnum() or letter in "_-") for word in words
        )

    def open(self, page: Page, site: Site) -> int:
        """Go there and do what makes this face. Returns the status that it came with."""
        answer = page.goto(self.path.format_map(site.ids))
        assert answer is not None
        return self.act(page) or answer.status

    @property
    def is_ours(self) -> bool:
        return not self.page.startswith("admin:")


class _Anything(dict[str, str]):
    """Any id, for addresses that are only to be recognised."""

    def __missing__(self, key: str) -> str:
        return "00000000-0000-4000-8000-000000000000"


def fill_and_press(button: str, /, **values: str) -> Callable[[Page], int]:
    """Fill in fields by their names, press the button, wait for the answer: its status comes back."""

    def act(page: Page) -> int:
        for name, value in values.items():
            page.locator(f"main [name={name}]").first.fill(value)
        return press(page, button)

    return act


def press(page: Page, name: str) -> int:
    """Press a button of the page itself and wait until its answer is there, as a new page or in place of this one's."""
    button = page.locator("main").get_by_role("button", name=name).first
    address = button.evaluate(MARK_AND_TELL)
    with page.expect_response(
        lambda answer: (answer.request.method, answer.url) == ("POST", address)
    ) as answered:
        button.click()
    page.locator("main[data-old]").wait_for(state="detached")
    page.wait_for_load_state()
    return answered.value.status


def look_up(record: str, *, sobject: str = "Account") -> Callable[[Page], int]:
    return fill_and_press("Look up", sobject=sobject, record=record)


def run(soql: str) -> Callable[[Page], int]:
    return fill_and_press("Run", soql=soql)


def name_and_save(page: Page) -> int:
    """The form of an API client, whose name is not taken yet."""
    page.locator("main [name=name]").fill(f"made-{uuid4()}")
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.locator("main [name=_save]").click()
    page.wait_for_load_state()
    return answered.value.status


def unfold(page: Page) -> None:
    """All that can be opened, also where scripts are off."""
    page.evaluate("document.querySelectorAll('main details').forEach(each => each.open = true)")


OF_MANY = (
    Visit("/connections/"),
    Visit("/connections/?q=nothing"),
    Visit("/connections/?state=failing"),
    Visit("/connections/explain/"),
    Visit("/connections/explain/", "nothing-given", status=422, act=fill_and_press("Explain")),
    Visit(
        "/connections/explain/",
        "answer",
        act=fill_and_press("Explain", text="invalid_grant: user hasn't approved this consumer"),
    ),
    Visit("/connections/explain/?q=audience"),
    Visit("/connections/audit/"),
    Visit("/connections/audit/?actor=admin"),
    Visit("/connections/audit/?actor=nobody-here"),
    Visit("/connections/audit/?since=yesterday", "refused"),
    Visit("/connections/alarms/"),
    Visit("/connections/alarms/", "looker", who="looker", brief=True),
    Visit("/connections/keys/"),
    Visit("/connections/keys/{key}/rotation/"),
    Visit("/connections/keys/{key}/rotation/", "unfolded", act=unfold),
)
SET_UP = (
    Visit("/connections/guide/"),
    Visit("/connections/guide/?connection=acme"),
    Visit("/connections/guide/?connection=sick"),
    Visit("/connections/new/"),
    Visit("/connections/new/", "refused", status=422, act=fill_and_press("Begin", login_url="what?")),
    Visit("/connections/new/{draft}/", "begun"),
    Visit("/connections/new/{half}/", "half-way"),
    Visit("/connections/new/{half}/", "unfolded", act=unfold),
    Visit("/connections/new/{half}/", "refused", status=422, act=fill_and_press("Save and check")),
    Visit("/connections/new/{half}/change/"),
    Visit("/connections/new/{half}/discard/"),
)
IN_EACH_STATE = tuple(
    Visit(f"/connections/{name}/", name, brief=name not in ("acme", "sick"))
    for name in STATES
    if name not in ("down-2", "down-3")
)
OF_ONE = (
    Visit("/connections/acme/", "unfolded", act=unfold),
    Visit("/connections/sick/", "unfolded", act=unfold),
    Visit("/connections/acme/", "looker", who="looker"),
    Visit("/connections/acme/timeline/"),
    Visit("/connections/acme/timeline/?kind=checks"),
    Visit("/connections/fresh/timeline/", "empty"),
    Visit("/connections/acme/break-it/"),
    Visit("/connections/acme/revoke/"),
    Visit("/connections/moved/accept-org/"),
    Visit("/connections/acme/identity/"),
    Visit("/connections/acme/identity/", "answer", act=fill_and_press("Ask the org")),
    Visit("/connections/sick/identity/", "refused", status=424, act=fill_and_press("Ask the org")),
    Visit("/connections/acme/record/"),
    Visit("/connections/acme/record/", "answer", act=look_up(ACCOUNT)),
    Visit("/connections/acme/record/", "found-by-name", act=look_up("a", sobject="Account")),
    Visit("/connections/acme/record/", "fields", act=fill_and_press("Choose fields", sobject="Account")),
    Visit("/connections/acme/record/", "bad-object", status=422, act=look_up("a", sobject="No such")),
    Visit("/connections/acme/record/", "unknown", status=422, act=look_up("001Dn00000Gi7ZZ")),
    Visit("/connections/acme/query/"),
    Visit(
        "/connections/acme/query/",
        "answer",
        act=run("SELECT Id, Name, Website, BillingCity FROM Account LIMIT 5"),
    ),
    Visit(
        "/connections/acme/query/",
        "nested",
        act=run("SELECT Name, (SELECT Name, Email FROM Contacts) FROM Account LIMIT 3"),
    ),
    Visit("/connections/acme/query/", "wide", act=run("SELECT FIELDS(ALL) FROM Account LIMIT 20")),
    Visit("/connections/acme/query/", "refused", status=422, act=run("SELECT Nmae FROM Account")),
    Visit("/connections/acmee/", "no-such-connection", status=404),
    Visit("/connections/acme/", "not-allowed", who="nobody", status=403),
)
OF_THE_SITE = (
    Visit("/login/", who=""),
    Visit("/login/", "wrong-password", who="", act=fill_and_press("Sign in", username="a", password="b")),
    Visit("/password/"),
    Visit(
        "/password/",
        "refused",
        act=fill_and_press("Change password", old_password="x", new_password1="y", new_password2="z"),
    ),
    Visit("/password/done/"),
    Visit("/no/such/page/", "404", status=404),
)


def of_the_admin() -> Iterator[Visit]:
    """The list, form, removal and history of every model, as far as there are such pages."""
    yield Visit("/admin/")
    yield Visit("/admin/sf_integration/connectedapp/import/")
    yield Visit("/admin/sf_integration/connectedapp/add/")
    yield Visit("/admin/sf_integration/signingkey/add/")
    yield Visit("/admin/sf_integration/connectedapp/{acme}/change/")
    yield Visit("/admin/sf_integration/connectedapp/{acme}/delete/")
    yield Visit("/admin/sf_integration/connectedapp/{acme}/history/")
    yield Visit("/admin/sf_integration/signingkey/{key}/change/")
    yield Visit("/admin/sf_integration/apiclient/add/")
    yield Visit("/admin/sf_integration/apiclient/add/", "api-key", act=name_and_save, brief=True)
    yield Visit("/admin/sf_integration/apiclient/{client}/change/")
    yield Visit("/admin/sf_integration/apiclient/{revoked}/change/", "revoked", brief=True)
    yield Visit("/admin/sf_integration/apiclient/{client}/replace/", brief=True)
    yield Visit("/admin/sf_integration/apiclient/{client}/revoke/", brief=True)
    for model in admin.site._registry:
        if model._meta.app_label == "sf_integration":
            yield Visit(
                reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), brief=True
            )


def all_urls() -> set[str]:
    """Names of all URLs but those of the admin, which its own visits count."""
    ours = {pattern.name for pattern in urlpatterns}
    site = {name for pattern in site_urls.urlpatterns if (name := getattr(pattern, "name", None))}
    return ours | site

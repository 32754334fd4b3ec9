"""Every button that sends something, what pressing it brings, and every file there is to download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.urls import resolve
from playwright.sync_api import Page

from tests.browser.pages import press, stay, unfold
from tests.browser.site import ACCOUNT

BUTTONS = """() => [...document.querySelectorAll('form[method=post] button, button[form], form[method=post] input[type=submit]')]
    .filter(button => button.type === 'submit')
    .map(button => [button.getAttribute('formaction') ?? button.form.getAttribute('action') ?? location.pathname,
                    ['do', 'act'].includes(button.name) ? button.value : button.name === 'later' ? button.name : ''])"""
DOWNLOADS = {
    "audit_events",
    "certificate",
    "draft_certificate",
    "draft_kit_download",
    "health_json",
    "key_certificate",
    "kit",
    "rows",
    "trace",
}
FILES = {"kit", "rows csv", "rows json", "audit_events csv", "audit_events json"}
"""Buttons whose answers are files."""
ASKED_BY_SCRIPTS = {"login_url"}


@dataclass(frozen=True)
class Press:
    """A button on a page, and the words that its answer brings."""

    name: str
    """As `on` calls it: where it leads, and which of several it is."""
    start: str
    button: str
    then: str
    fill: dict[str, str] = field(default_factory=dict)
    """Values of fields by their names."""
    before: Callable[[Page], object] = stay
    scripted: bool = False
    """Whether a script does it, so that the button is there without JavaScript only."""

    @property
    def page(self) -> str:
        return self.name.partition(" ")[0]

    def press(self, page: Page) -> None:
        """Raises Playwright's error when the answer doesn't come, or says something else."""
        self.before(page)
        for name, value in self.fill.items():
            page.locator(f"main [name={name}]").first.fill(value)
        if self.name in FILES:
            with page.expect_download():
                page.locator("main").get_by_role("button", name=self.button).first.click()
            return
        press(page, self.button)
        page.locator("main").get_by_text(self.then).first.wait_for()


def on(page: Page) -> set[str]:
    """The buttons of a page that send something, by name."""
    return {_name(action, value) for action, value in page.evaluate(BUTTONS)}


def _name(action: str, value: str) -> str:
    match = resolve(urlsplit(action).path)
    which = (match.view_name, str(match.kwargs.get("what", "")), str(match.kwargs.get("kind", "")), value)
    return " ".join(filter(None, which)).removeprefix("sf_integration:")


def tick(page: Page) -> None:
    page.locator("input[name=chosen]").first.check()


def tick_all(page: Page) -> None:
    for box in page.locator("main form[method=post] input[type=checkbox]").all():
        box.check()


PRESSES = (
    Press("check", "/connections/acme/", "Check now", "Connection acme: "),
    Press("refresh", "/connections/acme/", "Sign in anew", "signed in anew"),
    Press("pause", "/connections/acme/", "Pause", "is paused"),
    Press("resume", "/connections/acme/", "Resume", "is resumed"),
    Press("shorten_session", "/connections/acme/", "Set the session length to", "session length"),
    Press("kit", "/connections/acme/", "Download set-up kit", "", before=unfold),
    Press("break_it", "/connections/acme/break-it/", "Break", "Heal it, or break more"),
    Press("heal", "/connections/acme/break-it/", "Heal everything", "Healthy"),
    Press("identity", "/connections/acme/identity/", "Ask the org", "as expected"),
    Press("record", "/connections/acme/record/", "Look up", "NH-10000", {"record": ACCOUNT}),
    Press("record objects", "/connections/acme/record/", "List the org", "objects are known now"),
    Press("record fields", "/connections/acme/record/", "Choose fields", "Fields of", {"sobject": "Account"}),
    Press("query", "/connections/acme/query/", "Run", "3 rows", {"soql": "SELECT Name FROM Account LIMIT 3"}),
    Press("rows csv", "/connections/acme/query/", "CSV", "", {"soql": "SELECT Name FROM Account LIMIT 3"}),
    Press("rows json", "/connections/acme/query/", "JSON", "", {"soql": "SELECT Name FROM Account LIMIT 3"}),
    Press("audit_events csv", "/connections/audit/?actor=nobody-here", "Download CSV", ""),
    Press("audit_events json", "/connections/audit/", "Download JSON", ""),
    Press("revoke", "/connections/acme/revoke/", "Revoke", "was ended and its token dropped"),
    Press("find_fault", "/connections/lost/", "Find the fault", "Save"),
    Press("accept_org", "/connections/moved/accept-org/", "Accept", "Connection moved", before=tick_all),
    Press("use_own_login_url", "/connections/contradicted/", "Use https://", "Connection contradicted"),
    Press("selected check", "/connections/", "Check now", "Check", before=tick),
    Press("selected renew", "/connections/", "Sign in anew", "Sign", before=tick),
    Press("selected pause", "/connections/", "Pause", "paused", before=tick),
    Press("selected resume", "/connections/", "Resume", "resumed", before=tick),
    Press("alarm_test", "/connections/alarms/", "Send a test", "ops@here.example: sent."),
    Press("explain", "/connections/explain/", "Explain", "1 known error", {"text": "invalid_client_id"}),
    Press(
        "new",
        "/connections/new/",
        "Begin",
        "Set up",
        {"name": "walked", "login_url": "acme.my.salesforce.com"},
    ),
    Press("draft_change", "/connections/new/{draft}/change/", "Save", "Set up"),
    Press("draft_steps", "/connections/new/{half}/", "Save what is done", "of 6 done", scripted=True),
    Press("draft_key", "/connections/new/{draft}/", "Make a signing key here", "Download the certificate"),
    Press("draft_kit", "/connections/new/{half}/", "Make the kit", "kit", before=unfold),
    Press("draft_check later", "/connections/new/{half}/", "Save for later", "leads back here"),
    Press("draft_check", "/connections/new/{half}/", "Save and check", "Copy it from the app in Salesforce."),
    Press("draft_discard", "/connections/new/{spare}/discard/", "Discard", "is discarded"),
    Press("rotation_try", "/connections/keys/{key}/rotation/", "Try rotate-staged", "rotate-staged"),
    Press("rotation_act undo", "/connections/keys/{key}/rotation/", "Undo rotate-promoted", "it is back to"),
    Press(
        "rotation_act cancel",
        "/connections/keys/{key}/rotation/",
        "Cancel rotate-staged",
        "Connection rotate-staged",
    ),
    Press("rotation_start", "/connections/keys/{key}/rotation/", "Stage it", "is staged"),
)
PRESSED = {each.name for each in PRESSES} | {
    "login",
    "logout",
    "password_change",
    "save_found",  # after find_fault
    "rotation_act promote",  # tests/test_rotation.py
}

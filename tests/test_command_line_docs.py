"""The commands of the documents, typed in their order, and what they are said to print."""

from __future__ import annotations

import csv
import io
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User

from sf_integration import crypto
from sf_integration.models import SigningKey
from sf_integration.salesforce import keys
from sf_integration.testing.django import ConnectableOrg

from .alarms.test_sending import webhook  # noqa: F401  a fixture
from .test_command_line import salesforce

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.salesforce_org(org_id="00DDn00009C3ajYMAR"),  # the one that the documents show
]

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = "manage.py salesforce "
VARYING = (
    (r"\x1b\[[\d;]*m", ""),
    (r"(?:[0-9A-F]{2}|…)(?::(?:[0-9A-F]{2}|…)){3,}", "SHA-256"),
    (r"\b[0-9a-f]{8}\b", "KEY-ID"),
    (r"\d[\d.,:-]*", "#"),
    (r"─+", "─"),
    (r"\s+", " "),
)
"""What no two runs have in common, nor two sizes of a window."""


@dataclass
class Reader:
    """Somebody with a site and an org who types what a chapter says."""

    org: ConnectableOrg
    webhook: str
    words: dict[str, str] = field(default_factory=dict)
    """What the reader puts in place of a word of the chapter."""

    def adapt(self, text: str) -> str:
        for shown, own in self.words.items():
            text = text.replace(shown, own)
        return text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def typed(line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """As a shell runs it, with files for `>` and `<`; what stands behind `|` is not ours. Gives what was printed."""
    words = shlex.split(line.partition(" | ")[0])
    files = {word: Path(words.pop(words.index(word) + 1)) for word in (">", "<") if word in words}
    arguments = [word for word in words if word not in files]
    given = files["<"].read_bytes() if "<" in files else b""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    ran = salesforce(*arguments, out=io.StringIO() if ">" in files else Terminal())
    assert ran.status == 0, f"{line}\n{ran.err}"
    if ">" in files:
        files[">"].write_text(ran.out)
    return ran.out + ran.err


def commands(block: str) -> list[tuple[str, str]]:
    """Each line that is typed, with what is shown below it."""
    if "$ " not in block:
        return [(line, "") for line in block.replace("\\\n", " ").splitlines()]
    parts = re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts if part]


def plain(text: str) -> str:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text.strip()


def is_shown(shown: str, printed: str) -> bool:
    """Whether it is what was printed; … stands for anything."""
    pattern = ".*".join(re.escape(part.strip()) for part in plain(shown).split("…"))
    return not shown or re.fullmatch(pattern.replace(r"\ .*", r"\ ?.*"), plain(printed)) is not None


# ---- what there is before a chapter, and what the org's admin does meanwhile -----------------------------------------


def first_check(reader: Reader) -> None:
    reader.org.connect("demo")
    assert salesforce("check", "demo").status == 0  # beat's


def two_connections(reader: Reader) -> None:
    reader.org.add_user("ops@acme.example")
    for name in ("acme-prod", "globex"):
        reader.org.connect(name, extra_usernames=["ops@acme.example"])
    mia = User.objects.create_user("mia")
    mia.user_permissions.set(Permission.objects.filter(content_type__app_label="sf_integration"))


def recipients(reader: Reader) -> None:
    settings.SF_INTEGRATION["ALARM_MAIL"] = ["ops@example.com"]
    settings.SF_INTEGRATION["ALARM_CHANNELS"] = {"chat": f"json://{reader.webhook}/"}


def new_encryption_key(reader: Reader) -> None:
    """An old one seals yet; one signing key has been made since."""
    reader.org.connect("acme")
    settings.SF_INTEGRATION["ENCRYPTION_KEYS"] = (
        crypto.new_key(),
        *settings.SF_INTEGRATION["ENCRYPTION_KEYS"],
    )
    assert salesforce("make-key", "since").status == 0


def an_org_of_ones_own(reader: Reader) -> None:
    """A new app, and the one of a sandbox that an env file tells of."""
    org = reader.org
    for name in ("integration@acme.example", "integration@acme.example.uat"):
        org.add_user(name)
    app = org.add_app(name="Acme", kind="external")
    reader.words = {"3MVG9…": app.consumer_key, "https://acme.my.salesforce.com": org.url}
    Path("certs").mkdir()
    Path("certs", "server.key").write_text(str(org.app.private_key_pem))
    text = (ROOT / "docs" / "connect.md").read_text()
    shown = re.search(r"^\$ cat acme\.env\n((?:\w+ = .*\n)+)", text, re.MULTILINE)
    assert shown
    Path("acme.env").write_text(
        shown[1]
        .replace("3MVG9…", org.app.consumer_key)
        .replace("https://acme--uat.sandbox.my.salesforce.com", org.url)
    )


def many_orgs(reader: Reader) -> None:
    """The file of the chapter, with the addresses of orgs that answer."""
    found = re.search(
        r"^```csv\n(.*?)^```$", (ROOT / "docs" / "many.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found
    for row in csv.DictReader(io.StringIO(found[1])):
        reader.org.add_user(row["username"])
        reader.org.add_app(name=row["name"], consumer_key=row["consumer_key"])
    Path("orgs.csv").write_text(re.sub(r"https://[\w.-]+", reader.org.url, found[1]))


def admin_uploads(reader: Reader) -> None:
    """The certificate made last, to the app that the chapter makes, else to all."""
    certificate = SigningKey.objects.latest("created_at").certificate
    for key, app in reader.org.apps.items():
        if key == reader.words.get("3MVG9…", key):
            app.replace_certificate(certificate)


def nothing(reader: Reader) -> None:
    """The chapter needs none."""


CHAPTERS: dict[str, tuple[Callable[[Reader], None], dict[str, Callable[[Reader], None]]]] = {
    "README.md": (first_check, {}),
    "docs/alarms.md": (recipients, {}),
    "docs/command-line.md": (two_connections, {}),
    "docs/connect.md": (an_org_of_ones_own, {"make-key acme": admin_uploads}),
    "docs/encryption-keys.md": (new_encryption_key, {}),
    "docs/errors.md": (nothing, {}),
    "docs/http-api.md": (two_connections, {}),
    "docs/many.md": (many_orgs, {"make-key shared": admin_uploads}),
    "docs/rotating-keys.md": (two_connections, {"rotate-key acme-prod --all": admin_uploads}),
}
"""What is done before, and behind which of its commands something else."""


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_command_of_a_chapter_does_what_it_says(
    chapter: str,
    salesforce_org: ConnectableOrg,
    webhook: tuple[str, list[object]],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # nothing wraps
    before, behind = CHAPTERS[chapter]
    reader = Reader(salesforce_org, webhook[0])
    before(reader)
    done = 0
    for block in BLOCK.findall((ROOT / chapter).read_text()):
        for line, shown in commands(block):
            _, ours, command = line.partition(PROGRAM)
            if not ours:
                continue
            printed = typed(reader.adapt(command), monkeypatch)
            assert is_shown(shown, printed), f"{line}\n{plain(shown)}\n---\n{plain(printed)}"
            behind.get(command, nothing)(reader)
            done += 1
    assert done
    assert all(part in (ROOT / chapter).read_text() for part in behind)


@pytest.mark.parametrize("printed", ["demo: Failing", "demo: Healthy. 5 steps", "✓ demo: Healthy"])
def test_other_output_would_be_noticed(printed: str) -> None:
    assert is_shown("demo: Healthy. 11 of …", "demo: Healthy.\n9 of 11 steps")
    assert not is_shown("demo: Healthy. 11 of …", printed)


def test_a_narrow_terminal_cuts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    printed = typed("make-key acme", monkeypatch)
    assert keys.colon_pairs(SigningKey.objects.get().certificate_fingerprint) in re.sub(r"\s", "", printed)

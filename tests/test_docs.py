"""The documents against the code: what they name is there, and their examples run."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import unittest
from pathlib import Path
from typing import Any

import celery
import pytest
from django.core.management import get_commands, load_command_class
from django.test import override_settings
from django.utils.text import slugify

from sf_integration.conf import Settings
from sf_integration.salesforce import diagnosis, errors
from sf_integration.state import ConnectionState
from sf_integration.testing import faults
from sf_integration.testing.django import ConnectableOrg

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_PYTHON = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_CONSOLE = re.compile(r"^```(?:console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(text: str, title: str) -> str:
    """What stands under a heading of whatever level, up to the next of the same."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section “{title}”"
    return found[2]


def rows(text: str) -> list[list[str]]:
    """Cells of all table rows, without heads and rules."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    heads = {place - 1 for place, line in enumerate(lines) if re.fullmatch(r"[\s|:-]+", line)}
    rules = {place + 1 for place in heads}
    return [
        [cell.strip() for cell in line.split("|")]
        for place, line in enumerate(lines)
        if place not in heads | rules
    ]


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def coded(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", without_blocks(text))


def command_lines() -> list[str]:
    """What the documents tell people to type, continued lines joined."""
    blocks = "\n".join(_CONSOLE.findall(README)).replace("\\\n", " ")
    return [re.sub(r"^\$ ", "", line).strip() for line in blocks.splitlines()]


# ---- examples in Python ---------------------------------------------------------------------------------------------


EXAMPLES = [found["code"] for found in _PYTHON.finditer(README) if not found["mark"]]


def example_id(code: str) -> str:
    """Its last name: `def test_sync(` to test_sync; for plain lines the last line."""
    names = re.findall(r"^(?:async )?(?:def|class) (\w+)", code, re.MULTILINE)
    return names[-1] if names else slugify(code.strip().splitlines()[-1])[:40]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("code", EXAMPLES, ids=example_id)
def test_example_runs(code: str, salesforce_org: ConnectableOrg, tmp_path: Path) -> None:
    brings_its_own_org = "salesforce_org" in code
    if not brings_its_own_org:
        for name in ("demo", "acme-prod"):
            salesforce_org.connect(name)
    namespace: dict[str, Any] = {"__name__": "readme"} | by_hand(salesforce_org, tmp_path)
    exec(compile(code, "README.md", "exec"), namespace)
    for made in list(namespace.values()):
        try_out(made, salesforce_org)


def by_hand(org: ConnectableOrg, folder: Path) -> dict[str, str]:
    """What the reader of the example without Django has."""
    key_file = folder / "server.key"
    key_file.write_text(str(org.app.private_key_pem))
    facts = {"login_url": org.url, "consumer_key": org.app.consumer_key, "username": org.user.username}
    return facts | {"key_file": str(key_file)}


def try_out(made: object, org: ConnectableOrg) -> None:
    """Call what an example only defines."""
    if isinstance(made, celery.Task):
        assert made() > 0
    elif inspect.isclass(made) and made.__module__ == "readme" and issubclass(made, unittest.TestCase):
        outcome = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(made).run(outcome)
        assert outcome.testsRun
        assert outcome.errors + outcome.failures == []
    elif inspect.isfunction(made) and made.__name__.startswith("test_"):
        made(salesforce_org=org, db=None)


def test_examples_are_found() -> None:
    """Else a changed fence would let all of them pass unseen."""
    assert len(EXAMPLES) == README.count("```python\n") - README.count("<!-- not run:")
    assert len(EXAMPLES) >= 8


# ---- commands -------------------------------------------------------------------------------------------------------


def salesforce_parser() -> Any:
    return load_command_class("sf_integration", "salesforce").create_parser("manage.py", "salesforce")


def test_every_verb_is_documented_and_every_documented_verb_exists() -> None:
    verbs = re.findall(r"^    ([a-z][a-z-]+) ", salesforce_parser().format_help(), re.MULTILINE)
    documented = [coded(row[0])[0].split()[1] for row in rows(section(README, "Command line"))]
    assert set(documented) == set(verbs)


@pytest.mark.parametrize("line", [line for line in command_lines() if "manage.py salesforce " in line])
def test_command_line_is_understood(line: str) -> None:
    arguments = shlex.split(line.partition("manage.py salesforce ")[2])
    assert salesforce_parser().parse_args(arguments).verb == arguments[0]


def test_every_management_command_exists() -> None:
    named = set(re.findall(r"manage\.py ([a-z_]+)", README))
    assert named >= {"salesforce", "fake_salesforce", "migrate"}
    assert named <= set(get_commands())


def test_every_make_verb_is_documented_and_every_documented_verb_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)) - {"help"}
    named = {text.split()[1] for text in [*coded(README), *command_lines()] if text.startswith("make ")}
    assert named == targets


def test_programs_that_are_started_exist() -> None:
    for module in re.findall(r"python -m (sfjwt_site[\w.]*)", README):
        assert (ROOT / module.replace(".", "/") / "__main__.py").exists()


# ---- settings -------------------------------------------------------------------------------------------------------


def documented_settings(head: str) -> dict[str, str]:
    """Name to default, of the table of section Settings that begins with `head`."""
    table = section(README, "Settings").partition(f"| {head} |")[2].partition("\n\n")[0]
    return {coded(row[0])[0]: row[1] for row in rows(f"| {head} |{table}")}


def test_variables_are_those_of_the_example_file_and_are_read() -> None:
    example = (ROOT / ".env.example").read_text()
    in_example = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    source = "".join((ROOT / "sfjwt_site" / name).read_text() for name in ("settings.py", "environment.py"))
    documented = set(documented_settings("variable"))
    assert "SECRET_KEY" in in_example
    assert documented == in_example | {"ENV_FILE"}
    assert documented <= set(re.findall(r'"([A-Z_]+)"', source))


def test_settings_of_the_app_are_documented_with_their_defaults() -> None:
    documented = documented_settings("key")
    settings = Settings()
    assert set(documented) == {name for name in vars(Settings) if name.isupper()}
    with override_settings(SF_INTEGRATION={}):
        for name, default in documented.items():
            if default.startswith("`"):
                assert getattr(settings, name) == ast.literal_eval(default.strip("`"))


# ---- what is named --------------------------------------------------------------------------------------------------


def test_codes_of_the_trouble_table_are_in_the_catalogue() -> None:
    known = {entry.code for entry in diagnosis.CATALOGUE}
    named = [coded(row[0])[0] for row in rows(section(README, "Trouble"))]
    assert "invalid_grant" in named
    assert set(named) <= known


def test_our_own_codes_are_those_of_the_errors() -> None:
    ours = re.search(r"^Our own words: (.*?)\n\n", section(README, "Trouble"), re.MULTILINE | re.DOTALL)
    assert ours
    defined = {
        error.code for _, error in inspect.getmembers(errors, inspect.isclass) if hasattr(error, "code")
    }
    assert set(coded(ours[1])) <= defined


def test_refusals_of_the_protocol_are_explained() -> None:
    refusals = section(PROTOCOL, "The token endpoint").partition("### Refusals")[2]
    codes = [(code, row[1]) for row in rows(refusals) for code in coded(row[0])]
    assert ("invalid_app_access", "user is not admin approved to access this app") in codes
    for code, said in codes:
        for description in said.split(" / "):
            assert diagnosis.explain(code, description).code == code


def test_states_are_all_told() -> None:
    told = section(README, "Command line")
    assert [state.value for state in ConnectionState if f"*{state.value}*" not in told] == []


def test_kinds_of_trouble_are_those_of_the_stand_in() -> None:
    listed = re.search(r"`fail\(kind\)` knows (.*?);", README, re.DOTALL)
    assert listed
    assert set(coded(listed[1])) == set(faults.KINDS)


# ---- links ----------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    return {slugify(title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", without_blocks(document.read_text())):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.is_file(), target
        assert not anchor or anchor in anchors(file.read_text()), target


def test_files_of_the_folder_list_exist() -> None:
    listed = section((ROOT / "docs" / "architecture.md").read_text(), "The folders")
    block = listed.partition("```\n")[2].partition("```")[0]
    here = {path.name for path in (ROOT, *(ROOT / "sf_integration").glob("*"), *ROOT.glob("*"))}
    named = [name.rstrip("/") for name in re.findall(r"(?<![\w/])\w+(?:\.py|/)(?![\w/])", block)]
    assert len(named) > 20
    assert set(named) - here - {"var", "run"} == set()


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs").rglob("*.png"))
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > 150_000] == []

"""The documents against the code: what they name is there, and their examples run."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import itertools
import json
import re
import shlex
import unittest
from pathlib import Path
from typing import Any

import celery
import pytest
import requests
from django.core.management import get_commands, load_command_class
from django.utils.text import slugify

from sf_integration.management.commands import fake_salesforce
from sf_integration.salesforce import diagnosis, errors
from sf_integration.state import ConnectionState
from sf_integration.testing import Org, Request, StandIn, control, faults
from sf_integration.testing.django import ConnectableOrg

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
}
"""Path from the root to text."""
README = DOCUMENTS["README.md"]
PROTOCOL = DOCUMENTS["docs/protocol.md"]
STAND_IN = DOCUMENTS["docs/stand-in.md"]
TESTING = DOCUMENTS["docs/testing.md"]
PYTHON_API = DOCUMENTS["docs/python-api.md"]

_PYTHON = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"^```(?:python|ini)\n# (?P<name>\S+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
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


def command_lines(document: str) -> list[str]:
    """What a document tells people to type, continued lines joined."""
    blocks = "\n".join(_CONSOLE.findall(document)).replace("\\\n", " ")
    return [re.sub(r"^\$ ", "", line).strip() for line in blocks.splitlines()]


# ---- examples in Python ---------------------------------------------------------------------------------------------


def examples(title: str) -> list[str]:
    """Under a heading of the document about Python."""
    return [found["code"] for found in _PYTHON.finditer(section(PYTHON_API, title))]


RUN_HERE = README + DOCUMENTS["docs/own-site.md"] + PYTHON_API.partition("## From async code")[0]
EXAMPLES = [found["code"] for found in _PYTHON.finditer(RUN_HERE) if not found["mark"]]


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
    assert len(EXAMPLES) == RUN_HERE.count("```python\n") - RUN_HERE.count("<!-- not run:")
    assert len(EXAMPLES) >= 8


@pytest.mark.once
@pytest.mark.long
def test_files_of_the_testing_document_run_as_they_stand(project: pytest.Pytester) -> None:
    """In a project that has no encryption key, by a pytest of its own."""
    files = {found["name"]: found["code"] for found in _FILE.finditer(TESTING)}
    assert len(files) == TESTING.count("```python\n") + TESTING.count("```ini\n")
    for name, code in files.items():
        project.path.joinpath(name).write_text(code)
    with project.path.joinpath("acme", "settings.py").open("a") as settings:
        settings.write("del SF_INTEGRATION\n")

    outcome = project.runpytest_subprocess().parseoutcomes()

    assert set(outcome) == {"passed"}
    assert outcome["passed"] >= sum(code.count("def test_") for code in files.values()) >= 15


# ---- commands -------------------------------------------------------------------------------------------------------


def salesforce_parser() -> Any:
    return load_command_class("sf_integration", "salesforce").create_parser("manage.py", "salesforce")


def salesforce_commands(document: str) -> list[list[str]]:
    """The arguments of each, up to where the shell leads the output elsewhere."""
    lines = [line for line in command_lines(document) if "manage.py salesforce " in line]
    return [arguments(line.partition("manage.py salesforce ")[2]) for line in lines]


def arguments(typed: str) -> list[str]:
    lexer = shlex.shlex(typed, posix=True, punctuation_chars="|<>;&")
    lexer.whitespace_split = True
    return list(itertools.takewhile(lambda word: word[0] not in "|<>;&#", lexer))


@pytest.mark.parametrize("name", [name for name, text in DOCUMENTS.items() if salesforce_commands(text)])
def test_commands_are_understood(name: str) -> None:
    parser = salesforce_parser()
    for typed in salesforce_commands(DOCUMENTS[name]):
        assert parser.parse_args(typed).verb in typed


@pytest.mark.parametrize("line", [line for line in command_lines(TESTING) if "manage.py fake_" in line])
def test_command_line_of_the_stand_in_is_understood(line: str) -> None:
    parser = load_command_class("sf_integration", "fake_salesforce").create_parser(
        "manage.py", "fake_salesforce"
    )
    options = parser.parse_args(shlex.split(line.partition("fake_salesforce ")[2]))
    with StandIn(is_sandbox=options.sandbox) as server:
        fake_salesforce.tell(server, {**vars(options), "records": []})


def test_orders_typed_with_curl_are_obeyed(salesforce_org: ConnectableOrg) -> None:
    lines = [line for line in command_lines(TESTING) if line.startswith("curl ")]
    assert len(lines) > 5
    for line in lines:
        answer = as_curl(line.replace("http://127.0.0.1:8787", salesforce_org.url))
        assert answer.status_code == 200, answer.text
    assert not salesforce_org.user.active
    assert len(salesforce_org.faults.waiting()) == 1


def as_curl(line: str) -> requests.Response:
    parser = argparse.ArgumentParser()
    for names in (["url"], ["-X"], ["-d"]):
        parser.add_argument(*names)
    typed = parser.parse_args(shlex.split(line)[1:])
    return requests.request(typed.X or "GET", typed.url, data=typed.d, timeout=10)


def test_every_management_command_exists() -> None:
    typed = [line for text in DOCUMENTS.values() for line in [*coded(text), *command_lines(text)]]
    named = set(re.findall(r"manage\.py ([a-z_]+)", "\n".join(typed)))
    assert named >= {"salesforce", "fake_salesforce", "migrate"}
    assert named <= set(get_commands())


def test_every_make_verb_is_documented_and_every_documented_verb_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)) - {"help"}
    assert set(make_verbs(DOCUMENTS["docs/working-on-it.md"])) == targets
    for name, text in DOCUMENTS.items():
        assert set(make_verbs(text)) <= targets, name


def make_verbs(document: str) -> list[str]:
    typed = [*coded(document), *command_lines(document)]
    return [text.split()[1] for text in typed if text.startswith("make ")]


def test_programs_that_are_started_exist() -> None:
    named = re.findall(r"python -m (sfjwt_site[\w.]*|docs[\w.]*)", "".join(DOCUMENTS.values()))
    assert "sfjwt_site.run" in named
    for module in named:
        assert (ROOT / module.replace(".", "/") / "__main__.py").exists()


# ---- what is named --------------------------------------------------------------------------------------------------


def test_codes_of_the_trouble_table_are_in_the_catalogue() -> None:
    known = {entry.code for entry in diagnosis.CATALOGUE}
    named = [coded(row[0])[0] for row in rows(section(DOCUMENTS["docs/trouble.md"], "The usual ones"))]
    assert "invalid_grant" in named
    assert set(named) <= known


def test_our_own_codes_are_those_of_the_errors() -> None:
    ours = re.search(
        r"^Our own words: (.*?)(?:\n\n|\Z)",
        section(DOCUMENTS["docs/trouble.md"], "The usual ones"),
        re.MULTILINE | re.DOTALL,
    )
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
    told = [row[0].strip("*") for row in rows(section(DOCUMENTS["docs/looking.md"], "States"))]
    assert told == [state.value for state in ConnectionState]


# ---- the stand-in ---------------------------------------------------------------------------------------------------


def first_cells(title: str) -> list[str]:
    """Every name in the first column of the tables of a section of docs/testing.md."""
    return [name for row in rows(section(TESTING, title)) for name in coded(row[0])]


def test_settings_of_the_stand_in_are_documented_with_their_values() -> None:
    told = section(TESTING, "All settings").partition("###")[0]
    documented = {coded(row[0])[0]: row[1] for row in rows(told)}
    known = control.settings_of(Org())
    assert list(documented) == list(known)
    for name, value in documented.items():
        assert value == "made" or json.loads(value.strip("`")) == known[name], name


def test_what_stands_fixed_is_documented() -> None:
    takes = {*inspect.signature(StandIn).parameters, *inspect.signature(Org).parameters}
    told = section(TESTING, "Fixed from the start").partition("\n## ")[0]
    documented = {name for row in rows(told) for name in coded(row[0])}
    assert documented == takes - {"org_settings", "policy"}


def test_faults_are_documented_with_their_options() -> None:
    for kind, options, _ in rows(section(TESTING, "All trouble")):
        takes = inspect.signature(faults.KINDS[kind.strip("`")]).parameters
        assert coded(options) == [name for name in takes if name != "place"], kind
    assert first_cells("All trouble") == list(faults.KINDS)
    assert set(faults.PLACES) <= set(coded(section(TESTING, "All trouble")))


def test_orders_are_documented_with_what_they_take() -> None:
    documented = {
        coded(name)[0]: coded(takes) for name, _, takes in rows(section(TESTING, "Another process"))
    }
    assert list(documented) == list(control.ACTIONS)
    for action, takes in documented.items():
        known = list(control.parameters_of(action, {}))
        # The fields of a user are told in words.
        assert takes == (known[:1] if action == "add-user" else known), action


def test_what_is_remembered_is_documented() -> None:
    remembered, counted = section(TESTING, "What is remembered").split("| counter |")
    fields = [name for row in rows(remembered) for name in coded(row[0])]
    assert fields == [field.name for field in dataclasses.fields(Request)]
    counters = [coded(row[0])[0] for row in rows("| counter |" + counted)]
    assert counters == list(control.overview(Org())["counters"])


MARKS = {"code", "documented", "recorded", "reported", "unverified"}


def test_every_behaviour_of_the_stand_in_has_a_mark_and_settings_that_are_there() -> None:
    told = STAND_IN.partition("## What it lacks")[0]
    known = control.settings_of(Org())
    assert len(rows(told)) > 70
    for *_, sure, settings in rows(told):
        assert set(re.findall(r"\w+", sure)) & MARKS, sure
        assert set(coded(settings)) <= set(known)


def test_what_nobody_could_tell_us_is_marked_so() -> None:
    for row in rows(section(STAND_IN, "Where nobody could tell us")):
        assert row[2] == "unverified", row


# ---- files -----------------------------------------------------------------------------------------------------------


def test_files_of_the_folder_list_exist() -> None:
    listed = section(DOCUMENTS["docs/architecture.md"], "The folders")
    block = listed.partition("```\n")[2].partition("```")[0]
    app = ROOT / "sf_integration"
    here = {path.name for folder in (ROOT, app, app / "services") for path in (folder, *folder.glob("*"))}
    named = [name.rstrip("/") for name in re.findall(r"(?<![\w/])\w+(?:\.py|/)(?![\w/])", block)]
    assert len(named) > 20
    assert set(named) - here - {"var", "run"} == set()

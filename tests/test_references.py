"""The parts of the documents that are made from the code: they are what it says now, and it says all there is."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class

from docs.references import commands, errors, pages, settings
from docs.references.markdown import slug
from sf_integration.conf import NAMES, Settings
from sf_integration.management.commands.salesforce import VERBS
from sf_integration.salesforce.diagnosis import CATALOGUE, GROUPS

ROOT = Path(__file__).parents[1]


def stale() -> list[str]:
    return [page.name for page in pages.stale()]


def test_pages_say_what_the_code_says() -> None:
    assert stale() == [], "run make docs"


def test_every_part_has_one_place() -> None:
    placed = [found["name"] for page in pages.PAGES for found in pages.PART.finditer(page.read_text())]
    assert sorted(placed) == sorted(pages.PARTS)


def test_another_word_about_a_setting_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "KEEP_DAYS", property(Settings.KEEP_DAYS.fget, doc="Something else."))
    assert stale() == ["settings.md"]


def test_an_error_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = dataclasses.replace(GROUPS[0], entries=GROUPS[0].entries[1:])
    monkeypatch.setattr(errors, "GROUPS", (fewer, *GROUPS[1:]))
    assert stale() == ["errors.md"]


def test_a_verb_that_moved_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        commands, "GROUPS", {"All": [verb for found in commands.GROUPS.values() for verb in found]}
    )
    assert stale() == ["command-line-reference.md"]


# ---- settings -------------------------------------------------------------------------------------------------------

SITE = (ROOT / "sfjwt_site" / "settings.py").read_text()
VARIABLES = {each.name: each for found in settings.example_file().values() for each in found}


def test_variables_are_those_that_the_site_reads() -> None:
    assert set(VARIABLES) == set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', SITE))


def test_defaults_of_variables_are_those_of_the_site() -> None:
    in_code = dict(re.findall(r'env\.\w+\("([A-Z_]+)", default=("[^"]+"|\w+)\)', SITE))
    plain = {
        name: told[1] for name, each in VARIABLES.items() if (told := re.fullmatch("`(.+)`", each.default))
    }
    compared = plain.keys() & in_code.keys()
    assert {"SITE_URL", "DEBUG", "SF_TOKEN_API_CALLS_PER_MINUTE"} <= compared
    for name in compared:
        value = ast.literal_eval(in_code[name])
        assert plain[name] == {True: "on", False: "off"}.get(value, str(value)), name


def test_keys_are_read_and_filled_by_variables_that_are_told() -> None:
    source = "".join(path.read_text() for path in (ROOT / "sf_integration").rglob("*.py"))
    unread = [name for name in NAMES if f"settings.{name}" not in source]
    assert unread == []
    assert set(settings.variables_of_keys()) <= set(NAMES)
    assert set(settings.variables_of_keys().values()) <= set(VARIABLES)


def test_checks_say_something() -> None:
    told = re.findall(r"^\| `([EWI]\d+)` \| (.+) \| (.+) \|$", settings.checks(), re.MULTILINE)
    assert len(told) > 10
    assert [name for name, *words in told if "…" in words] == []


# ---- errors and the command line ------------------------------------------------------------------------------------


def test_every_error_has_an_anchor_of_its_own() -> None:
    assert len({slug(title) for title in errors.titles().values()}) == len(CATALOGUE)


def test_examples_of_the_verbs_are_understood() -> None:
    parser: Any = load_command_class("sf_integration", "salesforce").create_parser("manage.py", "salesforce")
    lines = [line for verb in VERBS for line in verb.examples]
    for line in lines:
        typed = re.split(r" (?:[<>|]) ", line.replace("\\\n", " "))[0]
        assert parser.parse_args(shlex.split(typed)).verb == typed.split()[0]
    assert len(lines) > 2 * len(VERBS)


def test_every_argument_is_explained() -> None:
    assert "|  |" not in commands.verbs() + commands.stand_in()

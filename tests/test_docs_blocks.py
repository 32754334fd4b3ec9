"""Every block of the documents that somebody may type or paste: which test runs it, or why none can.

A block that no test runs says so right above: `<!-- not run: the reason -->`. All others are claimed below, by their
document and section. What no other test runs is run here.
"""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from django.contrib.staticfiles import finders
from django.test import override_settings
from django.urls import include, path, resolve

from sf_integration import hosts, signers
from sf_integration.conf import Settings
from sf_integration.metrics.views import metrics
from tests.site.test_settings import settings
from tests.test_docs import DOCUMENTS

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
LANGUAGES = {
    "console",
    "sh",
    "python",
    "ini",
    "html",
    "yaml",
    "nginx",
    "js",
    "json",
    "csv",
    "toml",
    "dockerfile",
}
_PART = re.compile(
    r"^#{1,3} (?P<title>[^\n]+)$"
    r"|(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    document: str
    section: str
    language: str
    text: str
    reason: str
    """Why no test runs it; empty: one does."""


def blocks(document: str, text: str) -> Iterator[Block]:
    section = ""
    for part in _PART.finditer(text):
        if part["title"]:
            section = part["title"]
        else:
            yield Block(document, section, part["language"], part["text"], part["reason"] or "")


BLOCKS = [block for name, text in DOCUMENTS.items() for block in blocks(name, text)]

CHAPTER = "tests/test_command_line_docs.py::test_every_command_of_a_chapter_does_what_it_says"
MAKE = "tests/test_docs_blocks.py::test_make_knows_what_is_typed"
EXAMPLE = "tests/test_docs.py::test_example_runs"
FILES = "tests/test_docs.py::test_files_of_the_testing_document_run_as_they_stand"
LIBRARY = "tests/contrib/test_other_libraries.py::test_example_runs"
COPY = "tests/deploy/test_backup.py::test_a_copy_with_its_keys_goes_on_where_it_was"
LEAVING = "tests/test_leaving.py::test_the_documented_way_out_leaves_no_secret"
UPGRADE = "tests/deploy/test_upgrade.py::test_old_code_goes_on_while_the_database_is_migrated_and_back"
ATTRIBUTES = "tests/test_docs_blocks.py::test_attributes_are_those_of_the_scripts"

CLAIMS: dict[str, dict[str, tuple[str, ...]]] = {
    "CONTRIBUTING.md": {"": (MAKE,)},
    "README.md": {
        "Run it": ("tests/site/test_launcher.py::test_first_start_second_start_and_stop",),
        "The first check": (CHAPTER,),
        "The first lines of Python": (EXAMPLE,),
        "Tests": (MAKE,),
    },
    "docs/alarms.md": {
        "Setting it up": (CHAPTER, "tests/test_docs_blocks.py::test_variables_of_alarms_are_read"),
        "How it works, and what it survives": (CHAPTER,),
    },
    "docs/backup.md": {
        "What to keep": (
            "tests/deploy/test_backup.py::test_a_copy_without_its_key_shows_pages_and_says_which_key_it_needs",
        ),
        "SQLite": (COPY,),
        "PostgreSQL": (COPY,),
        "After a restore": ("tests/deploy/test_backup.py::test_commands_after_a_restore_exist",),
        "A copy beside the original": (
            "tests/deploy/test_backup.py::test_a_copy_on_staging_calls_no_org_of_another_kind",
        ),
    },
    "docs/command-line.md": {"": (CHAPTER,)},
    "docs/command-line-reference.md": {"": ("tests/test_docs.py::test_commands_are_understood",)},
    "docs/connect.md": {"": (CHAPTER,)},
    "docs/encryption-keys.md": {
        "Changing the encryption key": (
            CHAPTER,
            "tests/test_docs_blocks.py::test_encryption_keys_are_made_as_told",
        )
    },
    "docs/errors.md": {"": (CHAPTER,)},
    "docs/http-api.md": {
        "Switch it on": (CHAPTER,),
        "Ask for a token": ("tests/token_api/test_examples.py::test_curl_gets_a_token",),
        "From Node": ("tests/token_api/test_examples.py::test_node_has_an_ended_session_replaced",),
    },
    "docs/leaving.md": {"": (LEAVING,)},
    "docs/logs.md": {
        "gunicorn and Celery": (
            "tests/test_logs.py::test_gunicorn_and_the_worker_write_json_and_a_task_has_the_id_of_its_request",
        )
    },
    "docs/many.md": {"": (CHAPTER, "tests/test_transfer.py::test_files_of_the_document_come_in_as_it_says")},
    "docs/many-hosts.md": {
        "Restarting without a failed request": (
            "tests/test_docs_blocks.py::test_web_process_is_drained_as_told",
            "tests/test_probes.py::test_not_ready_while_the_drain_file_is_there",
        )
    },
    "docs/metrics.md": {
        "Prometheus": ("tests/test_docs_blocks.py::test_prometheus_is_led_to_what_is_there",)
    },
    "docs/operate.md": {
        "The programs": (
            "tests/deploy/test_programs.py::test_lines_of_the_procfile_start_and_end",
            "tests/test_docs_blocks.py::test_programs_are_those_of_the_procfile",
        )
    },
    "docs/other-libraries.md": {"simple-salesforce": (LIBRARY,)},
    "docs/overriding.md": {
        "Which hosts may be called": ("tests/test_docs_blocks.py::test_rule_for_hosts_holds",),
        "Who holds the signing keys": (
            "tests/test_docs_blocks.py::test_signer_of_a_kms_signs",
            "tests/test_docs_blocks.py::test_settings_of_another_site_are_known",
        ),
    },
    "docs/own-site.md": {
        "In your own Django site": (
            "tests/site/test_wheel.py::test_page_answers_in_a_new_site_with_three_lines",
            "tests/site/test_wheel.py::test_the_version_comes_from_one_place",
        ),
        "*": (EXAMPLE,),
    },
    "docs/pages.md": {"": (ATTRIBUTES,)},
    "docs/python-api.md": {
        "From async code": ("tests/test_async.py::test_the_example_of_the_document_runs",),
        "Your own HTTP session": ("tests/contrib/test_httpx.py::test_the_examples_of_the_document_run",),
        "*": (EXAMPLE,),
    },
    "docs/recipes.md": {"": ("tests/test_recipes.py::test_recipe_is_the_code_of_the_shop",)},
    "docs/rotating-keys.md": {"": (CHAPTER,)},
    "docs/settings.md": {
        "The dict": (
            "tests/site/test_settings.py::test_a_settings_module_of_ones_own_goes_over_that_of_the_site",
        )
    },
    "docs/testing.md": {
        "Start": (FILES, "tests/site/test_wheel.py::test_the_version_comes_from_one_place"),
        "Another process": (
            "tests/test_docs.py::test_command_line_of_the_stand_in_is_understood",
            "tests/test_docs.py::test_orders_typed_with_curl_are_obeyed",
        ),
        "*": (FILES,),
    },
    "docs/upgrading.md": {"": (UPGRADE,)},
}
"""Document, section, tests. Without a section: the tests run the whole document; `*`: what no section claims."""


def claim(block: Block) -> tuple[str, ...]:
    sections = CLAIMS.get(block.document, {})
    return sections.get("") or sections.get(block.section) or sections.get("*", ())


def is_to_be_typed(block: Block) -> bool:
    """Drawings and printed text have no language."""
    return bool(block.language) or re.search(r"^(\$ |[A-Z_]+=)", block.text, re.MULTILINE) is not None


def unclaimed(found: list[Block]) -> list[str]:
    return [
        f"{block.document}, “{block.section}”: {block.text.splitlines()[0]}"
        for block in found
        if is_to_be_typed(block) and not block.reason and not claim(block)
    ]


def test_every_block_is_run_by_a_test_or_says_why_not() -> None:
    assert unclaimed(BLOCKS) == []
    assert {block.language for block in BLOCKS if is_to_be_typed(block)} <= LANGUAGES
    assert len(BLOCKS) > 80


def test_a_new_block_would_be_noticed() -> None:
    text = "## Elsewhere\n\n```sh\nls\n```\n"
    assert unclaimed([*blocks("docs/logs.md", text), *blocks("docs/other.md", text)]) == [
        "docs/logs.md, “Elsewhere”: ls",
        "docs/other.md, “Elsewhere”: ls",
    ]
    told = text.replace("```sh", "<!-- not run: it lists files -->\n```sh")
    assert [block.reason for block in blocks("docs/other.md", told)] == ["it lists files"]


def test_every_claim_has_its_block_and_its_test() -> None:
    run = {
        (block.document, section)
        for block in BLOCKS
        if not block.reason
        for section in ("", "*", block.section)
    }
    told = {(document, section) for document, sections in CLAIMS.items() for section in sections}
    assert told - run == set()
    tests = {test for sections in CLAIMS.values() for each in sections.values() for test in each}
    assert [test for test in sorted(tests) if not is_there(test)] == []


def is_there(test: str) -> bool:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


# ---- what no other test runs ----------------------------------------------------------------------------------------


def of(document: str, section: str, language: str = "python") -> list[str]:
    wanted = (document, section, language)
    found = [block.text for block in BLOCKS if (block.document, block.section, block.language) == wanted]
    assert found
    return found


def settings_of_sites() -> list[Any]:
    """All that show SF_INTEGRATION or addresses, whatever stands above them."""
    shown = [
        block
        for block in BLOCKS
        if re.search(r"^(SF_INTEGRATION =|urlpatterns \+=)", block.text, re.MULTILINE)
    ]
    return [pytest.param(block.text, id=f"{block.document} {block.section}") for block in shown]


@pytest.mark.parametrize("text", settings_of_sites())
def test_settings_of_another_site_are_known(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SF_ENCRYPTION_KEYS", "one,two")
    site: dict[str, Any] = {
        "os": os,
        "path": path,
        "include": include,
        "INSTALLED_APPS": [],
        "urlpatterns": [],
    }
    exec(compile(text, "settings.py", "exec"), site)
    assert site.get("SF_INTEGRATION") or site["urlpatterns"]
    assert {*site.get("SF_INTEGRATION", {})} <= {name for name in vars(Settings) if name.isupper()}
    for pattern in site["urlpatterns"]:
        assert pattern.url_patterns


def test_rule_for_hosts_holds() -> None:
    site: dict[str, Any] = {}
    [text] = of("docs/overriding.md", "Which hosts may be called")
    exec(compile(text, "rules.py", "exec"), site)
    rule = site["may_call"]
    urls = (
        "salesforce-gateway.acme.example",
        "acme--uat.sandbox.my.salesforce.com",
        "acme.my.salesforce.com",
    )
    assert [rule(f"https://{host}") for host in urls] == [True, None, False]
    assert hasattr(hosts, "read_login_url")


def test_signer_of_a_kms_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    asked: list[dict[str, Any]] = []

    def sign(**request: Any) -> dict[str, bytes]:
        asked.append(request)
        return {"Signature": key.sign(request["Message"], padding.PKCS1v15(), SHA256())}

    kms = ModuleType("boto3")
    kms.client = lambda name: SimpleNamespace(sign=sign)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "boto3", kms)
    site: dict[str, Any] = {}
    exec(compile(of("docs/overriding.md", "Who holds the signing keys")[0], "signing.py", "exec"), site)
    signer: signers.Signer = site["KmsSigner"]()
    key.public_key().verify(
        signer.sign("alias/salesforce", b"header.claims"), b"header.claims", padding.PKCS1v15(), SHA256()
    )
    assert asked[0]["KeyId"] == "alias/salesforce"


def test_variables_of_alarms_are_read(tmp_path: Path) -> None:
    [text] = of("docs/alarms.md", "Setting it up", "ini")
    typed = dict(line.split("=", 1) for line in text.splitlines())
    names = ("SF_INTEGRATION", "EMAIL_HOST", "EMAIL_USE_TLS", "DEFAULT_FROM_EMAIL")
    read: dict[str, Any] = settings(tmp_path, *names, **typed)
    assert read["SF_INTEGRATION"]["ALARM_MAIL"] == ["ops@example.com", "oncall@example.com"]
    assert [*read["SF_INTEGRATION"]["ALARM_CHANNELS"]] == ["chat", "hook"]
    assert [read[name] for name in names[1:]] == ["host", True, "connections@example.com"]


def test_prometheus_is_led_to_what_is_there() -> None:
    [text] = of("docs/metrics.md", "Prometheus", "yaml")
    told = yaml.safe_load(text)
    [job] = told["scrape_configs"]
    assert resolve(job["metrics_path"]).func is metrics
    assert all((ROOT / "docs" / "prometheus" / name).is_file() for name in told["rule_files"])


def options(line: str) -> dict[str, set[str]]:
    """The program and what it is to do, with its options, of a line that starts gunicorn or Celery."""
    found = re.search(r"(gunicorn sfjwt_site\.wsgi|celery -A sfjwt_site \w+)(.*)", line)
    return {found[1]: set(re.findall(r" (--[\w-]+)", found[2]))} if found else {}


def test_programs_are_those_of_the_procfile() -> None:
    """Whose lines `tests/deploy` starts."""
    [text] = of("docs/operate.md", "The programs", "sh")
    started = {
        name: told
        for line in (ROOT / "Procfile").read_text().splitlines()
        for name, told in options(line).items()
    }
    shown = {name: told for line in text.splitlines() for name, told in options(line).items()}
    assert shown.keys() == started.keys()
    assert all(told <= started[name] for name, told in shown.items())


def test_web_process_is_drained_as_told(tmp_path: Path) -> None:
    """In place of gunicorn another program; what the file does is told in tests/test_probes.py."""
    [text] = of("docs/many-hosts.md", "Restarting without a failed request", "sh")
    with subprocess.Popen(["sleep", "60"]) as web:
        names = {"SF_DRAIN_FILE": str(tmp_path / "drain"), "GUNICORN": str(web.pid)}
        subprocess.run(["sh", "-euc", text], env=os.environ | names, check=True)
        assert web.wait(5) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_encryption_keys_are_made_as_told() -> None:
    line = of("docs/encryption-keys.md", "Changing the encryption key", "console")[0].removeprefix("$ ")
    made = subprocess.run(
        ["sh", "-euc", line.replace(".venv/bin/python", sys.executable)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with override_settings(SF_INTEGRATION={"ENCRYPTION_KEYS": (made,)}):
        assert len(made) == 43


@pytest.mark.parametrize(
    "line",
    sorted({line for block in BLOCKS for line in re.findall(r"^\$ (make .*)$", block.text, re.MULTILINE)}),
)
def test_make_knows_what_is_typed(line: str) -> None:
    subprocess.run(
        ["sh", "-euc", line.replace("make", "make --dry-run", 1)], cwd=ROOT, check=True, capture_output=True
    )


def test_attributes_are_those_of_the_scripts() -> None:
    shown = {
        name
        for block in BLOCKS
        if block.language == "html"
        for name in re.findall(r"data-[\w-]+", block.text)
    }
    scripts = "".join(
        Path(finders.find(f"sf_integration/{name}.js")).read_text() for name in ("live", "progress")
    )
    assert shown
    assert [name for name in shown if f"[{name}]" not in scripts] == []

"""Every command of docs/command-line.md, typed in its order."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User

from sf_integration.testing.django import ConnectableOrg

from .test_command_line import salesforce

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text()
COMMANDS = re.findall(r"^\$ manage\.py salesforce (.*)$", PAGE, re.MULTILINE)


def typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell runs it, with files for `>` and `<`; what stands behind `|` is not ours."""
    words = shlex.split(line.partition(" | ")[0])
    files = {word: Path(words.pop(words.index(word) + 1)) for word in (">", "<") if word in words}
    arguments = [word for word in words if word not in files]
    given = files["<"].read_bytes() if "<" in files else b""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    ran = salesforce(*arguments)
    assert ran.status == 0, f"{line}\n{ran.err}"
    if ">" in files:
        files[">"].write_text(ran.out)


def test_every_command_of_the_page_does_what_it_says(
    salesforce_org: ConnectableOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    salesforce_org.add_user("ops@acme.example")
    for name in ("acme-prod", "globex"):
        salesforce_org.connect(name, extra_usernames=["ops@acme.example"])
    mia = User.objects.create_user("mia")
    mia.user_permissions.set(Permission.objects.filter(content_type__app_label="sf_integration"))
    assert len(COMMANDS) >= 20
    for line in COMMANDS:
        typed(line, monkeypatch)

"""docs/access.md says what the code says: its table is made from the matrix and from where each deed is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import Group

from sf_integration.deeds import MATRIX, Act, Deed
from sf_integration.management.commands.salesforce import VERBS
from tests.access.places import MODELS, PAGES, all_patterns

PAGE = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
APP = Path(__file__).parents[2] / "sf_integration"
HEAD = "| what | needs | one connection | pages | admin | command line |\n| --- | --- | --- | --- | --- | --- |\n"


def table() -> str:
    return HEAD + "".join(f"| {' | '.join(line(deed))} |\n" for deed in Deed)


def line(deed: Deed) -> list[str]:
    rule = MATRIX[deed]
    routes = {name: route for route, name, _ in all_patterns() if not name.startswith("admin:")}
    pages = [
        re.sub(r"<\w+:(\w+)>", lambda found: found[1].upper(), f"/{routes[name]}")
        for name, place in PAGES.items()
        if place.deed is deed and name in routes
    ]
    verbs = [verb.name for verb in VERBS if verb.deed is deed]
    return [
        str(deed),
        " and ".join(f"`{act}`" for act in rule.needs),
        "yes" if rule.of_connection else "",
        ", ".join(f"`{page}`" for page in sorted(pages)),
        ", ".join(in_admin(deed)),
        ", ".join(f"`{verb}`" for verb in verbs),
    ]


def in_admin(deed: Deed) -> list[str]:
    told = []
    shown = {name.split("_")[-2] for _, name, _ in all_patterns() if name.startswith("admin:sf_integration_")}
    for name, model in MODELS.items():
        if name not in shown:
            continue
        ways = [way for way in ("view", "add", "change", "delete") if getattr(model, way) is deed]
        ways += [
            action
            for action, needed in model.actions.items()
            if needed is deed and action != "delete_selected"
        ]
        ways += [own for own, place in model.own.items() if place.deed is deed]
        told += [f"{name}: {', '.join(dict.fromkeys(ways))}"] if ways else []
    return told


def test_the_table_is_that_of_the_code() -> None:
    missing = [row for row in table().splitlines() if row not in PAGE.splitlines()]
    assert missing == [], "these lines belong into docs/access.md"
    assert table() in PAGE, "docs/access.md has them in another order, or more"


def test_every_deed_is_asked_for_somewhere() -> None:
    """By name, in a module that acts; and nobody but the matrix names a permission."""
    texts = {
        path.relative_to(APP).as_posix(): path.read_text()
        for path in APP.rglob("*.py")
        if path.name not in ("deeds.py", "access.py") and path.parent.name != "migrations"
    }
    unused = [deed.name for deed in Deed if not any(f"Deed.{deed.name}" in text for text in texts.values())]
    assert unused == []
    named = [path for path, text in texts.items() if re.search(r"\bAct\.[A-Z]{2}", text)]
    assert named == []


@pytest.mark.django_db
def test_the_ready_groups_are_told_with_their_permissions() -> None:
    for group in Group.objects.filter(name__startswith="Salesforce: "):
        acts = [act for act in Act if group.permissions.filter(codename=act).exists()]
        assert f"| `{group.name}` | {', '.join(f'`{act}`' for act in acts)} |" in PAGE

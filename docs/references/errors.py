"""Errors: the catalogue of `sf_integration.salesforce.diagnosis`, and the classes of `sf_integration.salesforce.errors`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from sf_integration.salesforce import errors
from sf_integration.salesforce.diagnosis import FAMILIES, GROUPS, Diagnosis

from .markdown import code, prose, slug, table

_RETRY = {"passing": "yes", "rate": "yes, after a long wait", "set-up": "no"}


def titles() -> dict[Diagnosis, str]:
    """Headings, each with an anchor of its own."""
    found: dict[Diagnosis, str] = {}
    taken: set[str] = set()
    for group in GROUPS:
        for entry in group.entries:
            title = f"{code(entry.code)}: {entry.fragment}" if entry.fragment else code(entry.code)
            if slug(title) in taken:
                title += f" ({group.title.lower()})"
            taken.add(slug(title))
            found[entry] = title
    return found


def index() -> str:
    found = links()
    return " ·\n".join(found[name] for name in sorted(found, key=str.lower))


def links() -> dict[str, str]:
    """Each code to its first entry."""
    found: dict[str, str] = {}
    for entry, title in titles().items():
        found.setdefault(entry.code, f"[{code(entry.code)}](#{slug(title)})")
    return found


def catalogue() -> str:
    known = titles()
    return "\n\n".join(
        "\n\n".join([f"## {group.title}", *(_entry(entry, known[entry]) for entry in group.entries)])
        for group in GROUPS
    )


def _entry(entry: Diagnosis, title: str) -> str:
    return f"### {title}\n\n{entry.cause}\n\n" + "\n".join(f"- {line}" for line in _lines(entry))


def _lines(entry: Diagnosis) -> Iterator[str]:
    yield f"**What to do:** {entry.remedy}"
    yield f"**Who:** {entry.who}"
    if entry.where:
        yield f"**Where:** {entry.where}"
    yield f"**Worth a retry:** {_RETRY[entry.kind]}"
    if entry.wordings:
        yield f"**Also told as:** {', '.join(map(code, entry.wordings))}"
    if entry.code in FAMILIES:
        yield "Stands for every code that begins so and has no entry of its own."


def classes() -> str:
    found = [
        each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__
    ]
    known = links()
    return table(["class", "is a", "its own code", "meaning"], [_class_row(each, known) for each in found])


def _class_row(error: type[errors.SalesforceError], known: dict[str, str]) -> list[str]:
    bases = ", ".join(code(base.__name__) for base in error.__bases__)
    own = known.get(vars(error).get("code", ""), "")
    return [code(error.__name__), bases, own, prose(inspect.getdoc(error) or "")]

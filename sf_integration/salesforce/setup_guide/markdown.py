"""The set-up guide as a document: docs/set-up-guide.md is what this gives."""

from __future__ import annotations

from collections.abc import Iterator

from . import CONNECTED, DISCLAIMER, EXTERNAL, FIXED_VALUES, KIND_WORDS, ROOMS, Step

_HEAD = f"""# Setting up the org

What has to be clicked in Salesforce before a connection can sign in, for External Client Apps (what new orgs use) and for
Connected Apps. The page *Add a connection* (`/connections/new/`) leads through the same steps, keeps which ones are done,
links into the org's own Setup, makes the signing key, and checks the result.

![The set-up guide: sixteen steps in four rooms, two of them ticked, the next one open with its menu path and the value to \
copy](images/guide.webp)

{DISCLAIMER} How sure we are of what stands behind them: [protocol.md](protocol.md#setting-up-the-org).

Each step names the error that one gets when it was left out; `manage.py salesforce explain "…"` says more about it."""


def as_markdown() -> str:
    return "\n".join([_HEAD, *_rooms()]) + "\n"


def _rooms() -> Iterator[str]:
    for number, room in enumerate(ROOMS, 1):
        yield f"\n## {number}. {room.title}\n\n{room.purpose}"
        for place, step in enumerate(room.steps, 1):
            yield f"\n### {number}.{place} {step.title}\n"
            yield from _ways(step)
            yield from _facts(step)


def _ways(step: Step) -> Iterator[str]:
    if step.external == step.connected:
        yield f"{_capital(step.external.menu)}\n"
        yield from (f"- {sentence}" for sentence in step.external.choose)
        return
    for kind in (EXTERNAL, CONNECTED):
        way = step.way(kind)
        yield f"**{KIND_WORDS[kind]}:** {way.menu}\n"
        yield from (f"- {sentence}" for sentence in way.choose)
        if kind == EXTERNAL:
            yield ""


def _facts(step: Step) -> Iterator[str]:
    yield ""
    for name in step.copies:
        if name in FIXED_VALUES:
            yield f"To copy: `{FIXED_VALUES[name]}`\n"
    if step.skipped:
        yield f"Left out: {', '.join(f'`{refusal.said}`' for refusal in step.skipped)}."
    elif step.without:
        yield f"Left out: {step.without[0].lower()}{step.without[1:]}"
    yield f"How sure: {step.sure}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

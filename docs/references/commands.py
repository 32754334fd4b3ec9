"""The command line, as `--help` tells it: argparse's own layout differs from one Python to the next."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from django.core.management import load_command_class

from sf_integration.management.commands.salesforce import GROUPS
from sf_integration.management.verbs.verb import Verb

from .markdown import code, sentence, table


def verbs() -> str:
    parts: list[str] = []
    for title, found in GROUPS.items():
        parts += [f"## {title}", *map(_verb, found)]
    return "\n\n".join(parts)


def _verb(verb: Verb) -> str:
    parser = argparse.ArgumentParser(add_help=False)
    verb.arguments(parser)
    told = [sentence(verb.help), verb.details, "Takes --json." if verb.prints_data else ""]
    examples = "\n".join(f"$ manage.py salesforce {line}" for line in verb.examples)
    parts = [
        f"### `{verb.name}`",
        _marked(" ".join(filter(None, told))),
        _arguments(parser),
        f"```console\n{examples}\n```",
    ]
    return "\n\n".join(filter(None, parts))


def stand_in() -> str:
    command = load_command_class("sf_integration", "fake_salesforce")
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)  # type: ignore[arg-type]  # Django's parser is one of argparse
    return f"{sentence(command.help)}\n\n{_arguments(parser)}"


def _arguments(parser: argparse.ArgumentParser) -> str:
    rows = [[code(_written(action)), _told(action, parser)] for action in parser._actions]
    return table(["argument", "meaning"], rows) if rows else ""


def _written(action: argparse.Action) -> str:
    """As it is typed: `NAME …`, `[TEXT …]`, `--bits BITS`."""
    values = " ".join(_values(action))
    if action.option_strings:
        return f"{', '.join(action.option_strings)} {values}".strip()
    return f"[{values}]" if action.nargs in ("?", "*") else values


def _values(action: argparse.Action) -> Iterator[str]:
    if action.nargs == 0:
        return
    if isinstance(action.metavar, tuple):
        yield from action.metavar
    elif action.metavar is None and action.choices is not None:
        yield "|".join(map(str, action.choices))
    else:
        yield action.metavar or action.dest.upper()
    if action.nargs in ("*", "+"):
        yield "…"


def _told(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    choices = ", ".join(map(str, action.choices or ()))  # as argparse does
    told = (action.help or "") % (vars(action) | {"prog": parser.prog, "choices": choices})
    needed = "; needed" if action.option_strings and action.required else ""
    return _marked(told + needed)


def _marked(text: str) -> str:
    """Options within prose, as code."""
    return re.sub(r"(?<![\w-])--[a-z][a-z-]+", lambda found: code(found[0]), text)

"""`manage.py salesforce VERB`: everything about connections from a shell."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations
from django.db import DatabaseError

from ...salesforce.errors import SalesforceError
from ..verbs import (
    checking,
    data,
    explaining,
    keys,
    kit,
    making,
    many,
    orgs,
    reencrypting,
    rotating,
    signing_in,
)
from ..verbs.verb import Output, Verb, sentence

VERBS: tuple[Verb, ...] = (
    *checking.VERBS,
    *explaining.VERBS,
    *making.VERBS,
    *keys.VERBS,
    *many.VERBS,
    *kit.VERBS,
    *data.VERBS,
    *signing_in.VERBS,
    *orgs.VERBS,
    *reencrypting.VERBS,
    *rotating.VERBS,
)


class Command(BaseCommand):
    help = (
        "Salesforce connections: list, check, make, use. `manage.py salesforce VERB --help` shows examples."
    )
    # What is wrong here must not keep anyone from `check`, which names it.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
        everywhere = _options_of_every_command()
        for verb in VERBS:
            _add_verb(subparsers, verb, everywhere)

    @no_translations  # scripts read it
    def handle(self, *args: Any, **options: Any) -> None:
        _require_text(options)
        verb = next(verb for verb in VERBS if verb.name == options["verb"])
        output = Output(
            self.stdout, self.stderr, as_json=options.get("json", False), colour=not options["no_color"]
        )
        try:
            with _without_log_lines(options["verbosity"]):
                done = verb.run(argparse.Namespace(**options), output)
        except SalesforceError as exc:
            raise CommandError(sentence(exc)) from exc
        except ImproperlyConfigured as exc:
            raise CommandError(f"The settings are wrong: {exc}") from exc
        except DatabaseError as exc:
            raise CommandError(
                f"The database refused ({exc}). Is it up, and has manage.py migrate been run?"
            ) from exc
        except (KeyboardInterrupt, EOFError) as exc:
            raise CommandError("Stopped.", returncode=130) from exc
        except BrokenPipeError:
            # Whoever reads has seen enough, as `head` does; Python must not complain of it at its exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            done = False
        if not done:
            sys.exit(1)


def _require_text(options: Mapping[str, Any]) -> None:
    """Other bytes come as halves of characters, which no database takes. Paths may have them."""
    for name, value in options.items():
        if isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise CommandError(f"What was given as {name} is no text in UTF-8: set the terminal to UTF-8.")


def _add_verb(subparsers: Any, verb: Verb, everywhere: argparse.ArgumentParser) -> None:
    examples = [f"  manage.py salesforce {line}" for line in verb.examples]
    parser = subparsers.add_parser(
        verb.name,
        help=verb.help,
        description=f"{verb.help[0].upper()}{verb.help[1:]}.",
        epilog="\n".join([*textwrap.wrap(verb.details, 80), "Examples:", *examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[everywhere],
    )
    verb.arguments(parser)
    if verb.prints_data:
        parser.add_argument("--json", action="store_true", help="print JSON; messages go to standard error")


def _options_of_every_command() -> argparse.ArgumentParser:
    """Django's own, so that they may also stand behind the verb; shown by `salesforce --help` only."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for flag in ("--settings", "--pythonpath"):
        parser.add_argument(flag, help=argparse.SUPPRESS)
    for flag in ("--traceback", "--no-color", "--force-color"):
        parser.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("-v", "--verbosity", type=int, choices=(0, 1, 2, 3), help=argparse.SUPPRESS)
    return parser


@contextmanager
def _without_log_lines(verbosity: int) -> Iterator[None]:
    """Keep the site's INFO lines off the terminal: what happened is told in words. Log files still get them."""
    shown = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout)
    ]
    levels = [handler.level for handler in shown]
    try:
        for handler in shown if verbosity < 2 else ():
            handler.setLevel(max(handler.level, logging.WARNING))
        yield
    finally:
        for handler, level in zip(shown, levels, strict=True):
            handler.setLevel(level)

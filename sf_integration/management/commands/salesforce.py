"""`manage.py salesforce VERB`: everything about connections from a shell."""

from __future__ import annotations

import argparse
import difflib
import errno
import logging
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
    no_translations,
)
from django.db import DatabaseError

from ...salesforce.errors import SalesforceError
from ..verbs import (
    alarms,
    api_clients,
    auditing,
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
    scheduling,
    signing_in,
)
from ..verbs.verb import Output, Verb, actor_named, sentence

GROUPS: dict[str, tuple[Verb, ...]] = {
    "Look after connections": (*checking.VERBS, *explaining.VERBS, *alarms.VERBS, *scheduling.VERBS),
    "Make and change connections": (*making.VERBS, *many.VERBS, *kit.VERBS, *orgs.VERBS),
    "Use an org": data.VERBS,
    "Access tokens": signing_in.VERBS,
    "Programs that take tokens over HTTP": api_clients.VERBS,
    "Signing keys and encryption keys": (*keys.VERBS, *rotating.VERBS, *reencrypting.VERBS),
    "Who did what": auditing.VERBS,
}
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)

_EXIT_STATUS = """\
exit status:
  0    all was done that was asked; for check: the connection works
  1    it was not, and standard error says why
  2    the command was mistyped
  130  stopped by Ctrl-C"""


class Command(BaseCommand):
    help = "Salesforce connections: list, check, make, use. Each verb has examples: manage.py salesforce VERB --help"
    # What is wrong here must not keep anyone from `check`, which names it.
    requires_system_checks = []

    def run_from_argv(self, argv: list[str]) -> None:
        if len(argv) == 2:
            self.print_help(argv[0], argv[1])
            sys.exit(2)
        if not argv[2].startswith("-"):
            _refuse_unknown_verb(argv[2])
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = _Help
        parser.description = f"{parser.description}\n\n{_verbs_in_groups()}"
        parser.epilog = _EXIT_STATUS
        parser.add_argument("--as", dest="as_user", metavar="USER", help=_AS)
        subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="what to do")
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
                actor = actor_named(options["as_user"])
                done = verb.run(argparse.Namespace(**options, actor=actor, deed=verb.deed), output)
            self.stdout.flush()  # what can't be written is told here, not when Python ends
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
        except BrokenPipeError:  # whoever reads has seen enough, as `head` does
            _forget_what_is_unwritten()
            done = False
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
                raise
            _forget_what_is_unwritten()
            raise CommandError(f"The output can't be written: {exc.strerror}.") from exc
        if not done:
            sys.exit(1)


_AS = "with the rights and in the name of this user of the site; else all is allowed, to “command line”"


class _Help(argparse.RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """The groups of verbs as they are laid out here, Django's own options last."""


def _forget_what_is_unwritten() -> None:
    """So that Python doesn't try it again, and complain, at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _verbs_in_groups() -> str:
    """What argparse would list in one go."""
    wide = max(len(verb.name) for verb in VERBS)
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {verb.name:<{wide}}  {verb.help}" for verb in verbs)])
        for title, verbs in GROUPS.items()
    )


def _refuse_unknown_verb(given: str) -> None:
    """argparse would name all of them instead of the one that was meant."""
    names = [verb.name for verb in VERBS]
    if given in names:
        return
    near = difflib.get_close_matches(given, names, n=1)
    hint = f"Did you mean “{near[0]}”?" if near else "manage.py salesforce --help lists them."
    print(f"There is no verb “{given}”. {hint}", file=sys.stderr)
    sys.exit(2)


def _require_text(options: Mapping[str, Any]) -> None:
    """Other bytes come as halves of characters, which no database takes. Paths may have them."""
    for name, value in options.items():
        if isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise CommandError(f"What was given as {name} is no text in UTF-8: set the terminal to UTF-8.")


def _add_verb(subparsers: Any, verb: Verb, everywhere: argparse.ArgumentParser) -> None:
    examples = [f"  manage.py salesforce {line}" for line in verb.examples]
    parser = subparsers.add_parser(
        verb.name,
        description=f"{verb.help[0].upper()}{verb.help[1:]}.",
        epilog="\n".join(
            [*textwrap.wrap(verb.details, 80), *([""] if verb.details else []), "Examples:", *examples]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[everywhere],
    )
    verb.arguments(parser)
    if verb.prints_data:
        parser.add_argument("--json", action="store_true", help="print JSON; messages go to standard error")


def _options_of_every_command() -> argparse.ArgumentParser:
    """So that they may also stand behind the verb. Django's own are shown by `salesforce --help` only."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--as", dest="as_user", metavar="USER", help=_AS)
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

"""The next signing key, without a gap: `rotate-key`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from ...access import Deed
from ...models import ConnectedApp, SigningKey
from ...salesforce import keys
from ...services import rotation
from ...services.operations import Outcome
from ...services.rotation import Stage, letters, progress
from .keys import write_certificate
from .making import stored_signing_key
from .verb import Output, Verb, connection_for

_STYLES = {
    Stage.FAILING: "red",
    Stage.ACCEPTED: "cyan",
    Stage.NOT_UPLOADED: "yellow",
    Stage.PROMOTED: "green",
}


def _rotate_key(options: argparse.Namespace, output: Output) -> bool:
    connection = connection_for(options.name, options.deed, actor=options.actor)
    concerned = progress.sharing(connection, actor=options.actor)
    if not options.all:
        concerned = [each for each in concerned if each.pk == connection.pk]
    if options.act is None:
        return _start(concerned, options, output)
    if options.act is rotation.try_staged:
        outcomes = _try_all(concerned, output, actor=options.actor)
    else:
        outcomes = [options.act(each, actor=options.actor) for each in _fitting(concerned, options)]
    for outcome in outcomes:
        (output.say if outcome.done else output.complain)(outcome.sentence)
    if not outcomes:
        output.complain("There is nothing to do that for.")
    _show(concerned, output)
    return bool(outcomes) and all(outcome.done for outcome in outcomes)


def _start(concerned: Sequence[ConnectedApp], options: argparse.Namespace, output: Output) -> bool:
    """Stage a key where none is staged, and hand over its certificate; later calls tell how far it is."""
    waiting = [each for each in concerned if rotation.stand(each).stage is Stage.NOTHING]
    if not waiting:
        _show(concerned, output)
        return True
    chosen = stored_signing_key(options.signing_key, actor=options.actor) if options.signing_key else None
    if chosen is None:
        chosen = progress.under_way(waiting[0].signing_key, actor=options.actor)

    def path_for(key: SigningKey) -> Path | None:
        return options.out or (Path(letters.file_name(key)) if chosen is None else None)

    def hand_out(key: SigningKey) -> None:
        """No key without its certificate in the caller's hands."""
        path = path_for(key)
        if path:
            write_certificate(key.certificate, path)

    started = rotation.start(
        waiting,
        actor=options.actor,
        new_key=chosen,
        bits=options.bits,
        days=options.days,
        hand_out=hand_out,
    )
    for outcome in started.outcomes:
        (output.say if outcome.done else output.complain)(outcome.sentence)
    if not output.as_json:
        _tell_what_next(started.key, waiting, output, path_for(started.key))
    _show(concerned, output, with_letters=started.key)
    return all(outcome.done for outcome in started.outcomes)


def _tell_what_next(
    key: SigningKey, waiting: Sequence[ConnectedApp], output: Output, path: Path | None
) -> None:
    if path:
        output.line(f"The certificate is in {path}; SHA-256 {keys.colon_pairs(key.certificate_fingerprint)}")
    output.line(
        "Nothing changes until an org takes it; then the connection changes over by itself, and no call fails."
    )
    if len(waiting) > 1:
        output.line(
            "The text for each org's admin: --json, or Connections → Signing keys → the signing key on the site."
        )
        return
    letter = rotation.letter(waiting[0], key)
    output.line("")
    output.raw(f"To: {', '.join(letter.to) or 'the admin of the org (no address is stored)'}")
    output.raw(f"Subject: {letter.subject}\n\n{letter.body}\n")


def _try_all(concerned: Sequence[ConnectedApp], output: Output, *, actor: Any) -> list[Outcome]:
    """In as many rounds as it takes."""
    waiting = [each for each in concerned if rotation.stand(each).may_try]
    outcomes: list[Outcome] = []
    with output.bar("sign-ins", len(waiting)) as advance:
        while waiting:
            tried = rotation.try_all(waiting, actor=actor)
            outcomes += tried.outcomes
            advance(len(tried.outcomes))
            waiting = waiting[len(waiting) - tried.left :] if tried.left else []
    return outcomes


def _fitting(concerned: Sequence[ConnectedApp], options: argparse.Namespace) -> Sequence[ConnectedApp]:
    """Of many those that it can be done to; the one that was named in any case, so that it says why not."""
    if not options.all:
        return concerned
    fits: dict[Callable[..., Outcome], str] = {
        rotation.promote: "may_promote",
        rotation.undo: "may_undo",
        rotation.cancel: "may_cancel",
    }
    return [each for each in concerned if getattr(rotation.stand(each), fits[options.act])]


def _show(
    concerned: Sequence[ConnectedApp], output: Output, *, with_letters: SigningKey | None = None
) -> None:
    """Where they stand, read anew."""
    found = ConnectedApp.objects.filter(pk__in=[each.pk for each in concerned]).order_by("name")
    stands = [
        rotation.stand(each)
        for each in found.select_related("signing_key", "staged_signing_key", "previous_signing_key")
    ]
    if not output.as_json:
        output.table(
            ["Connection", "Stage", "Signing key", "Next", "Why"],
            [
                [
                    stand.connection.name,
                    Text(stand.stage.value, _STYLES.get(stand.stage, "")),
                    stand.connection.signing_key.name,
                    stand.next_key.name if stand.next_key and stand.stage is not Stage.PROMOTED else "",
                    stand.sentence,
                ]
                for stand in stands
            ],
        )
        return
    told = []
    for stand in stands:
        letter = rotation.letter(stand.connection, with_letters) if with_letters else None
        more = {"to": list(letter.to), "subject": letter.subject, "body": letter.body} if letter else None
        told.append(stand.as_json() | ({"letter": more} if more else {}))
    output.data(told)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the connection")
    parser.add_argument(
        "--all", action="store_true", help="and all other connections that share its signing key"
    )
    parser.add_argument(
        "--bits",
        type=int,
        default=keys.MINIMUM_BITS,
        choices=keys.SIZES,
        help="size of the key (default: %(default)s)",
    )
    parser.add_argument(
        "--days", type=int, default=365, help="how long the certificate holds (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the certificate goes (default: by the key's name)"
    )
    parser.add_argument(
        "--signing-key", metavar="KEY", help="stage this stored signing key instead of making one"
    )
    acts = parser.add_mutually_exclusive_group()
    for flag, act, words in (
        ("--try", rotation.try_staged, "sign in with the staged key to see whether the org takes it"),
        ("--promote", rotation.promote, "put the staged key in force where the org was seen to take it"),
        ("--undo", rotation.undo, "go back to the key before, within seven days"),
        ("--cancel", rotation.cancel, "give the staged key up"),
    ):
        acts.add_argument(flag, dest="act", action="store_const", const=act, help=words)


VERBS = (
    Verb(
        "rotate-key",
        "change to a new signing key without a gap",
        _rotate_key,
        arguments=_arguments,
        examples=[
            "rotate-key acme-prod",
            "rotate-key acme-prod --all --bits 4096 --out acme-2028.crt",
            "rotate-key acme-prod --try",
            "rotate-key acme-prod --all --json",
            "rotate-key acme-prod --undo",
        ],
        details="The first call makes and stages a signing key, writes its certificate and prints a text for the org's admin; "
        "later ones tell how far it is. Once the org takes the certificate, the connection changes over by itself.",
        deed=Deed.ROTATE,
    ),
)

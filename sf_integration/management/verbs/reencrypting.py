"""Encryption keys: `reencrypt`."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ...access import Deed
from ...fields import keyring
from ...salesforce.errors import InvalidInput
from ...services import reencrypt
from ...services.reencrypt import Report
from .verb import Output, Verb

_LARGEST_BATCH = 10_000
_NAMED = 50
"""Rows that are told one by one; JSON has all of them."""
_WHY = {
    "encryption_key_missing": "sealed with the encryption key {key_id}, which is not configured here",
    "secret_damaged": "damaged, or copied here from another row",
}


def _reencrypt(options: argparse.Namespace, output: Output) -> bool:
    if not 1 <= options.batch <= _LARGEST_BATCH:
        raise InvalidInput(f"A batch has 1 to {_LARGEST_BATCH:,} rows, not {options.batch:,}.")
    with output.bar("Re-encrypting", reencrypt.waiting()) as advance:
        report = reencrypt.reencrypt(
            actor=options.actor, batch=options.batch, dry_run=options.dry_run, advance=advance
        )
    if output.as_json:
        output.data(_as_json(report, dry_run=options.dry_run))
    else:
        _tell(report, output, dry_run=options.dry_run)
    _tell_unopened(report, output)
    busy = report.left - len(report.unopened)
    if busy > 0 and not options.dry_run:
        output.complain(f"Written by others meanwhile: {busy:,}. Run it again.")
    return not report.unopened and (options.dry_run or busy <= 0)


def _as_json(report: Report, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "encryption_key": report.key_id,
        "resealed": report.resealed,
        "unopened": [asdict(each) for each in report.unopened],
        "before": dict(report.before),
        "after": dict(report.after),
    }


def _tell(report: Report, output: Output, *, dry_run: bool) -> None:
    known = tuple(dict.fromkeys(keyring().key_ids))
    ids = [*known, *sorted({*report.before, *report.after} - {*known})]
    output.table(
        ["Encryption key", "", "Secrets", *([] if dry_run else ["Now"])],
        [
            [
                key_id or "(damaged)",
                "first" if key_id == report.key_id else "" if key_id in known else "not configured here",
                f"{report.before[key_id]:,}",
                *([] if dry_run else [f"{report.after[key_id]:,}"]),
            ]
            for key_id in ids
        ],
    )
    done = "would be sealed anew" if dry_run else "sealed anew"
    output.line(f"{report.resealed:,} {done} with the encryption key {report.key_id}.")
    if not dry_run and not report.left:
        _tell_what_can_go([key_id for key_id in known if key_id != report.key_id], report, output)


def _tell_what_can_go(others: list[str], report: Report, output: Output) -> None:
    """A new key that is not the first yet must not be taken for an old one."""
    for key_id in others:
        if report.before[key_id]:
            output.line(f"Nothing needs {key_id} any more: take it out of SF_ENCRYPTION_KEYS.")
        else:
            output.line(
                f"Nothing is sealed with {key_id}: take it out of SF_ENCRYPTION_KEYS if it is the old one, move it first on all "
                "hosts if it is the new one."
            )


def _tell_unopened(report: Report, output: Output) -> None:
    if not report.unopened:
        return
    output.complain(f"Left as it is, since it does not open ({len(report.unopened):,}):")
    for each in report.unopened[:_NAMED]:
        output.complain(f"  {each.model} {each.name}: {_WHY[each.code].format(key_id=each.key_id)}")
    if len(report.unopened) > _NAMED:
        output.complain(f"  and {len(report.unopened) - _NAMED:,} more; --json names all")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only count, and name what does not open")
    parser.add_argument(
        "--batch",
        type=int,
        default=reencrypt.BATCH,
        metavar="N",
        help="rows written at once (default: %(default)s)",
    )


VERBS = (
    Verb(
        "reencrypt",
        "seal all that is stored with the first encryption key",
        _reencrypt,
        arguments=_arguments,
        examples=["reencrypt --dry-run", "reencrypt"],
        details="So that the other encryption keys can be dropped; the site goes on meanwhile. Broken off, it is started "
        "again and goes on. What does not open is named and left as it is; then it exits 1.",
        deed=Deed.REENCRYPT,
    ),
)

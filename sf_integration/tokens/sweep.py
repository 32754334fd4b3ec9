"""What beat does: renew all tokens that are due, with their network waits overlapping.

The main thread claims, signs and writes; the threads only POST, so no database connection is ever opened in them. Where
somebody outside holds the signing key, they have it signed too.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from .. import signals
from ..models import AccessToken
from ..salesforce import signin
from ..salesforce.errors import SalesforceError
from ..salesforce.secret import Secret
from ..salesforce.signin import Outcome, SignIn
from . import claims, lifecycle, promotion, renewal, rows, totals
from .process import Process, current

log = logging.getLogger("sf_integration.tokens")

BATCH = 200
THREADS = 32
FLUSH_SECONDS = 1.0

Finished = tuple[AccessToken, Outcome | None]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Tally:
    renewed: int = 0
    failed: int = 0
    put_off: int = 0
    """Left for the next beat: not our turn in time, over budget, or not to be called at all."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.renewed + other.renewed, self.failed + other.failed, self.put_off + other.put_off)


def due_batches(now: dt.datetime | None = None) -> Iterator[list[UUID]]:
    """Ids of the rows to renew, oldest first, in batches. Makes the rows of connections that have none yet."""
    rows.ensure(rows.connections_without_row())
    due = AccessToken.objects.due_for_refresh(now or timezone.now()).values_list("pk", flat=True)
    ids = list(due)
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def refresh_batch(row_ids: Sequence[UUID]) -> Tally:
    """Renew these rows if they are still due. Run twice, or on two hosts, it does nothing the second time."""
    process = current()
    started = time.monotonic()
    claimed = claims.claim_batch(row_ids, timezone.now())
    if not claimed:
        return Tally()
    try:
        with signals.held_back():
            tally = _renew_claimed(process, claimed, started)
    except BaseException:
        claims.release(claimed)
        raise
    seconds = time.monotonic() - started
    log.info(
        "sweep renewed=%d failed=%d put_off=%d seconds=%.3f",
        tally.renewed,
        tally.failed,
        tally.put_off,
        seconds,
        extra=asdict(tally) | {"event": "sweep", "milliseconds": round(seconds * 1000)},
    )
    totals.tell(totals.What.SWEEP, ("", round(seconds * 1000)))
    return tally


def refresh_due() -> Tally:
    """All that is due, here and now, without a worker."""
    tally = Tally()
    for batch in due_batches():
        tally += refresh_batch(batch)
    return tally


def _renew_claimed(process: Process, claimed: Sequence[AccessToken], started: float) -> Tally:
    ready, put_off = _prepare_all(process, claimed)
    tally = Tally()
    for finished in _sign_in_all(process, ready, started):
        put_off += [row for row, outcome in finished if outcome is None]
        results = [
            (row, outcome, renewal.verdict(row.connection, outcome))
            for row, outcome in finished
            if outcome is not None
        ]
        promotion.note(results)
        with transaction.atomic():
            renewal.record(results)
        for result in results:
            renewal.announce(*result)
        failed = sum(error is not None for _, _, error in results)
        tally += Tally(renewed=len(results) - failed, failed=failed)
    claims.release(put_off, called=False)
    return tally + Tally(put_off=len(put_off))


def _prepare_all(
    process: Process, claimed: Sequence[AccessToken]
) -> tuple[list[tuple[AccessToken, SignIn]], list[AccessToken]]:
    """Rows that can be signed in for, and those that must not be now."""
    used = claims.logins_this_hour([row.username for row in claimed], timezone.now())
    ready: list[tuple[AccessToken, SignIn]] = []
    refused: list[AccessToken] = []
    for row in claimed:
        if used.get(row.username, 0) > lifecycle.FUSE_LOGINS:
            refused.append(row)
            continue
        try:
            ready.append((row, renewal.prepare(process, row.connection, row.username)))
        except SalesforceError as exc:
            log.info("sweep skips connection=%s: %s", row.connection.name, exc.code)
            refused.append(row)
        except Exception as exc:  # noqa: BLE001
            _tell_fault(row, exc)
            refused.append(row)
    return ready, refused


def _sign_in_all(
    process: Process, ready: Sequence[tuple[AccessToken, SignIn]], started: float
) -> Iterator[list[Finished]]:
    """Results about once a second, so that one slow org holds back nobody's token.

    None for a row whose claim would lapse before a whole call had ended.
    """
    latest_start = started + lifecycle.CLAIM_LAPSE.total_seconds() - lifecycle.CALL_SECONDS

    def sign_in(request: SignIn, signed: Secret | None) -> Outcome | None:
        return process.sign_in(request, signed) if time.monotonic() < latest_start else None

    with ExitStack() as stack:
        pools = _pools(ready, stack)
        try:
            row_of: dict[Future[Outcome | None], AccessToken] = {}
            for row, request in ready:
                signer, signed = row.connection.signing_key.signer, None
                if not signer:
                    # Signed here: the wait for the first answers has time for it, and threads that reckon get in each other's way.
                    signed = _unless_at_fault(row, partial(signin.sign, request))
                    if signed is None:
                        yield [(row, None)]
                        continue
                row_of[pools[signer].submit(sign_in, request, signed)] = row
            pending = set(row_of)
            while pending:
                done, pending = wait(pending, timeout=FLUSH_SECONDS)
                yield [(row_of[future], _unless_at_fault(row_of[future], future.result)) for future in done]
        except BaseException:
            # Nobody would write down what the rest brings.
            for pool in pools.values():
                pool.shutdown(wait=False, cancel_futures=True)
            raise


def _pools(ready: Sequence[tuple[AccessToken, SignIn]], stack: ExitStack) -> dict[str, Executor]:
    """By who holds the signing key, empty for the database: a signer that is slow holds up its own connections only."""
    counts = Counter(row.connection.signing_key.signer for row, _ in ready)
    return {
        signer: stack.enter_context(
            ThreadPoolExecutor(min(THREADS, count), thread_name_prefix=f"sign-in {signer}".rstrip())
        )
        for signer, count in counts.items()
    }


def _unless_at_fault(row: AccessToken, work: Callable[[], _T]) -> _T | None:
    """What `work` gives; None after a fault of ours, which must not cost the other rows their tokens."""
    try:
        return work()
    except Exception as exc:  # noqa: BLE001
        _tell_fault(row, exc)
        return None


def _tell_fault(row: AccessToken, fault: Exception) -> None:
    """By its kind only: a text may hold anything. A check of that connection raises it whole."""
    log.error("sweep skips connection=%s after a fault: %s", row.connection.name, type(fault).__name__)

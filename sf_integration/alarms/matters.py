"""What is amiss at present, derived from stored facts. Calls nobody, writes nothing."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.utils.translation import gettext as _

from ..fields import keyring
from ..health import scheduler
from ..health.outages import FEWEST, began, host_of, tells_of_host
from ..models import Alarm, ConnectedApp, SigningKey
from ..salesforce import diagnosis, young_apps
from ..state import CERTIFICATE_STAGES, CERTIFICATE_WARNING, ConnectionState
from . import contacts

Kind = Alarm.Kind
ALL_KINDS = frozenset(Kind)
AT_REST = frozenset({ConnectionState.PAUSED.value, ConnectionState.NOT_ALLOWED_HERE.value})
_SICK = (ConnectionState.FAILING, ConnectionState.NEEDS_ATTENTION, ConnectionState.ENCRYPTION_KEY_MISSING)
_TOLD = ("cause", "who", "remedy", "where", "code")
_OF_MEMBERS = (
    "pk",
    "name",
    "label",
    "our_contacts",
    "tags",
    "signing_key_id",
    "username",
    "login_url",
    "effective_environment",
)
_OF_FAILURES = ("failing_since", "last_success_at", "last_error", "settings_since", "created_at")
_OF_KEYS = ("signing_key__name", "signing_key__not_after", "signing_key__signer")
LOUDER_AFTER_DAYS = (1, 3, 7, 14, 30)
_LARGEST_STEP = 500
"""So many ids go into one question."""


@dataclass(frozen=True)
class Member:
    """A connection that a matter concerns, and who looks after it."""

    pk: UUID
    name: str
    label: str
    our_contacts: str
    tags: frozenset[str]
    signing_key_id: UUID
    username: str
    host: str
    environment: str

    @cached_property
    def addresses(self) -> tuple[str, ...]:
        return contacts.addresses_in(self.our_contacts)

    @classmethod
    def of(cls, row: Any) -> Member:
        tags = frozenset(str(tag).casefold() for tag in row.tags if isinstance(tag, str))
        org = row.username, host_of(row.login_url), row.effective_environment
        return cls(row.pk, row.name, row.label, row.our_contacts, tags, row.signing_key_id, *org)


@dataclass(frozen=True)
class Matter:
    """One thing that is amiss, whether or not anybody was told yet."""

    kind: str
    about: str
    """Tells it from others of its kind, and stays what it is when things are renamed."""
    title: str
    since: dt.datetime | None
    """None: nothing stored tells; since it was noticed."""
    members: Sequence[Member] = ()
    facts: dict[str, str] = field(default_factory=dict)
    """{cause, who, remedy, where, code}, of a certificate {ends} too."""
    level: int | None = None
    """How loud it is; None: by the days it lasts."""

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.about


def present(
    now: dt.datetime, *, known_hosts: Collection[str] = (), kinds: Collection[str] = ALL_KINDS
) -> list[Matter]:
    """By two or three queries. A host that is known to be silent is one as long as one connection fails for it: so its alarm
    ends once, when all is well."""
    found = list(_of_scheduler(now)) if Kind.SCHEDULER in kinds else []
    if {*kinds} - {Kind.SCHEDULER}:
        found += _of_connections(now, known_hosts)
    return [matter for matter in found if matter.kind in kinds]


def members(ids: Iterable[str]) -> dict[str, tuple[Member, str]]:
    """The connections of these ids that are still there, each with its state."""
    wanted, found = sorted(ids), {}
    for start in range(0, len(wanted), _LARGEST_STEP):
        rows = ConnectedApp.objects.with_state().filter(pk__in=wanted[start : start + _LARGEST_STEP])
        for row in rows.order_by().values_list(*_OF_MEMBERS, "state", named=True):
            found[str(row.pk)] = Member.of(row), row.state
    return found


def _of_scheduler(now: dt.datetime) -> Iterator[Matter]:
    since = scheduler.silent_since(now)
    if since is not None:
        facts = {
            "cause": _(
                "Neither checks nor renewals run by themselves: tokens are renewed only when called for."
            ),
            "who": diagnosis.US,
            "remedy": _("Look whether the Celery worker and beat run, and whether the broker answers."),
        }
        yield Matter(Kind.SCHEDULER, "scheduler", _("The scheduler"), since, facts=facts)


def _of_connections(now: dt.datetime, known_hosts: Collection[str]) -> Iterator[Matter]:
    rows = _rows(now)
    by_state = defaultdict(list)
    for row in rows:
        by_state[row.state].append(row)
    yield from _failures(by_state[ConnectionState.FAILING.value], now, known_hosts)
    yield from _missing_keys(by_state[ConnectionState.ENCRYPTION_KEY_MISSING.value])
    for row in by_state[ConnectionState.NEEDS_ATTENTION.value]:
        yield from _warnings(row)
    yield from _certificates(rows, now)


def _rows(now: dt.datetime) -> list[Any]:
    """The sick ones, and those whose certificate ends. As plain tuples: there may be thousands."""
    sick = Q(state__in=[state.value for state in _SICK])
    ending = Q(signing_key__not_after__lte=now + CERTIFICATE_WARNING)
    found = ConnectedApp.objects.with_state(now).filter(sick | ending).exclude(state__in=AT_REST)  # type: ignore[misc]
    found = found.annotate(key_id=F("signing_key__private_key__key_id"))
    columns = (*_OF_MEMBERS, "state", "key_id", "warnings", *_OF_FAILURES, *_OF_KEYS)
    return list(found.order_by("name").values_list(*columns, named=True))


def _failures(rows: Sequence[Any], now: dt.datetime, known_hosts: Collection[str]) -> Iterator[Matter]:
    by_host = defaultdict(list)
    for row in rows:
        if tells_of_host(row.last_error):
            by_host[host_of(row.login_url)].append(row)
    silent = {host for host, found in by_host.items() if len(found) >= FEWEST or host in known_hosts}
    for host in sorted(silent):
        found = by_host[host]
        since = began(min(row.failing_since for row in found), (row.last_success_at for row in found))
        who = [Member.of(row) for row in found]
        yield Matter(Kind.HOST, host, host, since, who, _told(found[0].last_error))
    for row in rows:
        of_host = tells_of_host(row.last_error) and host_of(row.login_url) in silent
        if not of_host and not _may_be_too_new(row, now):
            yield Matter(
                Kind.CONNECTION,
                str(row.pk),
                row.name,
                row.failing_since,
                [Member.of(row)],
                _told(row.last_error),
            )


def _may_be_too_new(row: Any, now: dt.datetime) -> bool:
    """Whether patience may be all that it needs: whoever makes it is looking at it."""
    error = row.last_error or {}
    saved_at = row.settings_since or row.created_at
    return bool(young_apps.hint(error.get("code", ""), error.get("words", ""), saved_at=saved_at, now=now))


def _warnings(row: Any) -> Iterator[Matter]:
    for warning in row.warnings:
        name = warning.get("code") or warning.get("step") or ""
        facts = _told(warning)
        seen, cause = str(warning.get("message", "")), facts.get("cause", "")
        facts["cause"] = seen if cause in seen else f"{seen} {cause}"
        yield Matter(
            Kind.ATTENTION, f"{row.pk} {name}"[:255], row.name, None, [Member.of(row)], facts, level=0
        )


def _missing_keys(rows: Sequence[Any]) -> Iterator[Matter]:
    by_lack = defaultdict(list)
    for row in rows:
        by_lack[_lack(row, row.key_id or "")].append(row)
    for (about, title, remedy), found in by_lack.items():
        facts = {
            "cause": _("Their signing keys can't be used here, so nobody can sign in."),
            "who": diagnosis.US,
            "remedy": remedy,
            "code": "encryption_key_missing",
        }
        who = [Member.of(row) for row in found]
        yield Matter(Kind.ENCRYPTION_KEY, about, title, None, who, facts)


def _lack(row: Any, key_id: str) -> tuple[str, str, str]:
    """What is missing: its own id, its name, and what to do."""
    if row.signing_key__signer:
        title = _("The signer “%s”") % row.signing_key__signer
        remedy = _("Name it in SF_INTEGRATION's SIGNERS again, or give the connections other signing keys.")
        return f"signer {row.signing_key__signer}", title, remedy
    if key_id and key_id not in keyring().key_ids:
        remedy = _("Add it to SF_ENCRYPTION_KEYS and restart; if it is lost, give these signing keys again.")
        return f"key {key_id}", _("The encryption key %s") % key_id, remedy
    title = _("The private key of “%s”") % row.signing_key__name
    return f"signing key {row.signing_key_id}", title, _("Give this signing key again, or choose another.")


def _certificates(rows: Sequence[Any], now: dt.datetime) -> Iterator[Matter]:
    by_key = defaultdict(list)
    for row in rows:
        if row.signing_key__not_after and row.signing_key__not_after <= now + CERTIFICATE_WARNING:
            by_key[row.signing_key_id].append(row)
    known = diagnosis.explain("certificate_ending")
    for key_id, found in by_key.items():
        key = SigningKey(name=found[0].signing_key__name, not_after=found[0].signing_key__not_after)
        facts = {name: str(getattr(known, name)) for name in _TOLD}
        facts["ends"] = key.end_in_words(now)
        facts["cause"] = f"{_('The certificate %(ends)s.') % facts} {facts['cause']}"
        since = found[0].signing_key__not_after - CERTIFICATE_WARNING
        who = [Member.of(row) for row in found]
        yield Matter(Kind.CERTIFICATE, str(key_id), key.name, since, who, facts, level=_stage_level(key, now))


def _stage_level(key: SigningKey, now: dt.datetime) -> int:
    """0 at the first stage; after the end it goes on rising by days."""
    stage = key.ending_stage(now)
    level = CERTIFICATE_STAGES.index(stage) if stage is not None else 0
    return level + (loudness(now - key.not_after) if key.not_after else 0)


def loudness(lasted: dt.timedelta) -> int:
    """How often it has become louder: after so many days, then every 30."""
    last = LOUDER_AFTER_DAYS[-1]
    return sum(lasted.days >= days for days in LOUDER_AFTER_DAYS) + max(lasted.days - last, 0) // last


def _told(error: Any) -> dict[str, str]:
    return {name: str(error.get(name) or "") for name in _TOLD} if isinstance(error, dict) else {}

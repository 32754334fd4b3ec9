"""Deleting connections: who would miss them, and what is left to be ended in the org."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import access, audit, hosts, tokens
from ..models import AccessToken, AuditEvent, ConnectedApp, ConnectionDraft, SigningKey
from ..salesforce import oauth
from ..salesforce.errors import SalesforceError
from ..salesforce.oauth import Token
from ..tokens import renewal, rows
from .operations import Outcome

LOOK_BACK = dt.timedelta(days=30)
_TOGETHER_SECONDS = 20.0
"""For ending all sessions: the person waits for the page."""
_NAMED = 3


@dataclass(frozen=True)
class Use:
    who: str
    what: str
    last: dt.datetime


def uses(connection: ConnectedApp) -> list[Use]:
    """Who used it in the last 30 days, the latest first."""
    return uses_of([connection])[connection.pk]


def uses_of(connections: Iterable[ConnectedApp]) -> dict[UUID, list[Use]]:
    """As `uses`, of each of these. By two queries."""
    since = timezone.now() - LOOK_BACK
    found: dict[UUID, list[Use]] = {connection.pk: [] for connection in connections}
    by_code = AccessToken.objects.filter(connection__in=found, last_used_at__gte=since)
    for pk, username, last in by_code.values_list("connection_id", "username", "last_used_at"):
        if last:
            found[pk].append(Use(_("code or pages of this site"), _("as %s") % username, last))
    by_name = AuditEvent.objects.filter(subject_id__in=found, at__gte=since, act__in=audit.TAKES).order_by()
    told = by_name.values_list("subject_id", "actor", "act").annotate(last=Max("at"), times=Sum("count"))
    for pk, who, act, last, times in told:
        what = act if times == 1 else _("%(act)s, %(times)s times") % {"act": act, "times": f"{times:,}"}
        found[pk].append(Use(who, what, last))
    return {pk: sorted(each, key=lambda use: use.last, reverse=True) for pk, each in found.items()}


def keys_left_over(connections: Collection[ConnectedApp], *, actor: Any) -> list[SigningKey]:
    """Signing keys that nothing else uses once these connections are gone, as far as `actor` may know of them."""
    gone = [connection.pk for connection in connections]
    ways = ("signing_key", "staged_signing_key", "previous_signing_key")
    used = {getattr(each, f"{way}_id") for each in connections for way in ways} - {None}
    others = ConnectedApp.objects.exclude(pk__in=gone)
    # Those of the connections themselves go with them.
    kept = Q(
        pk__in=ConnectionDraft.objects.exclude(connection__in=gone)
        .filter(signing_key__isnull=False)
        .values("signing_key")
    )
    for way in ways:
        kept |= Q(pk__in=others.filter(**{f"{way}__isnull": False}).values(way))
    return list(access.visible_keys(actor).filter(pk__in=used).exclude(kept).order_by("name"))


@dataclass
class OpenSessions:
    """Those of connections that are deleted: live tokens, which nothing here knows any more."""

    tokens: list[tuple[ConnectedApp, str, Token]] = field(default_factory=list)
    """Each with its connection as it was, and its username."""
    unopened: list[str] = field(default_factory=list)
    """Whose tokens don't open here."""

    def end(self) -> list[Outcome]:
        """End them in their orgs as far as these answer; what fails ends by itself, and is told."""
        deadline = time.monotonic() + _TOGETHER_SECONDS
        failed = [_("%(who)s (the stored token does not open here)") % {"who": who} for who in self.unopened]
        for connection, username, token in self.tokens:
            try:
                if time.monotonic() > deadline:
                    raise TimeoutError(_("it took too long"))
                renewal.require_callable(connection)
                hosts.require_allowed(token.instance_url)
                oauth.revoke(token, http=tokens.current().http)
            except (SalesforceError, TimeoutError) as error:
                failed.append(f"{username} in {connection.name} ({str(error).rstrip('.')})")
        return [*_told(len(self.tokens) + len(self.unopened) - len(failed)), *_failed(failed)]


@transaction.atomic
def delete(connections: Iterable[ConnectedApp], *, actor: Any, with_keys: bool = False) -> OpenSessions:
    """Delete connections with their tokens and history; with `with_keys` also signing keys that nothing else uses.

    The sessions are for the caller to end, after the commit: the deletion must not wait for an org, nor fail with it, and once
    it holds nobody can sign in again.
    """
    wanted = list(connections)
    access.require_all(actor, access.Deed.DELETE, wanted)
    left = _open_sessions(wanted)
    keys = keys_left_over(wanted, actor=actor) if with_keys else []
    audit.record_many("deleted", wanted, actor=actor)
    ConnectedApp.objects.filter(pk__in=[connection.pk for connection in wanted]).delete()
    audit.record_many("deleted key", keys, actor=actor)
    SigningKey.objects.filter(pk__in=[key.pk for key in keys]).delete()
    return left


def _open_sessions(connections: Collection[ConnectedApp]) -> OpenSessions:
    left = OpenSessions()
    stored = AccessToken.objects.filter(connection__in=connections, value__isnull=False)
    for row in stored.select_related("connection").order_by("connection__name", "username"):
        token = rows.opened(row)
        if token is None:
            left.unopened.append(f"{row.username} in {row.connection.name}")
        else:
            left.tokens.append((row.connection, row.username, token))
    return left


def _told(ended: int) -> list[Outcome]:
    if not ended:
        return []
    words = ngettext("1 session was ended in the org.", "%(number)s sessions were ended in the org.", ended)
    return [Outcome(True, words % {"number": f"{ended:,}"})]


def _failed(failed: list[str]) -> list[Outcome]:
    if not failed:
        return []
    more = _(" and %(number)s more") % {"number": f"{len(failed) - _NAMED:,}"} if len(failed) > _NAMED else ""
    return [
        Outcome(
            False,
            _(
                "Not ended in the org: %(sessions)s%(more)s. What is deleted stays deleted; such a session ends by "
                "itself after the org's time-out, or in Setup → Session Management."
            )
            % {"sessions": "; ".join(failed[:_NAMED]), "more": more},
        )
    ]

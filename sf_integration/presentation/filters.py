"""What the list of connections can be narrowed down by and sorted by: read from the address, and written into addresses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import F, OrderBy, Q
from django.db.models.fields.json import KT
from django.utils.functional import Promise
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import ConnectedApp, ConnectedAppQuerySet
from ..services import tagging
from ..state import ConnectionState

STATES = {slugify(state.value): state for state in ConnectionState}
ENVIRONMENTS: dict[str, str] = dict(ConnectedApp.Environment.choices)
CERTIFICATES: dict[str, str | Promise] = {
    "60": gettext_lazy("60 days or less"),
    "30": gettext_lazy("30 days or less"),
    "14": gettext_lazy("14 days or less"),
    "ended": gettext_lazy("ended"),
}
SORTS: dict[str, Any] = {
    "name": F("name"),
    "org": KT("organization__name"),
    "certificate": F("signing_key__not_after"),
    "checked": F("last_checked_at"),
}
"""What the columns are sorted by. Else sick first."""
_LONGEST = 100


@dataclass(frozen=True)
class Removable:
    """A filter in force, and the page without it."""

    words: str
    href: str


@dataclass(frozen=True)
class Filters:
    """Each field under its own name in the address; empty for none."""

    q: str = ""
    state: str = ""
    environment: str = ""
    tag: str = ""
    certificate: str = ""
    host: str = ""
    sort: str = ""
    """A key of SORTS, with `-` before it the other way round."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """What is unknown counts as none."""
        # NUL is in no text that PostgreSQL holds, and it takes it in no question.
        given = {each.name: query.get(each.name, "").replace("\0", "") for each in fields(cls)}
        found = cls(**{name: text.strip()[:_LONGEST] for name, text in given.items()})
        return replace(
            found,
            state=found.state if found.state in STATES else "",
            environment=found.environment if found.environment in ENVIRONMENTS else "",
            certificate=found.certificate if found.certificate in CERTIFICATES else "",
            sort=found.sort if found.sort.removeprefix("-") in SORTS else "",
        )

    @property
    def chosen_state(self) -> ConnectionState | None:
        return STATES.get(self.state)

    @property
    def given(self) -> dict[str, str]:
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name))}

    @property
    def narrow(self) -> bool:
        """Whether anything is left out."""
        return bool(self.given.keys() - {"sort"})

    @property
    def query(self) -> str:
        """As a form sends it along."""
        return self.href().removeprefix("?")

    def href(self, *, page: int = 1, **changes: str) -> str:
        """The list's query with these `changes`."""
        return "?" + urlencode(replace(self, **changes).given | ({"page": str(page)} if page > 1 else {}))

    # ---- the query ----

    def in_any_state(self, rows: ConnectedAppQuerySet, now: dt.datetime) -> ConnectedAppQuerySet:
        """Of `rows` (with state) those that all filters but that by state leave."""
        for word in self.q.split():
            rows = rows.filter(
                Q(name__icontains=word)
                | Q(label__icontains=word)
                | Q(username__icontains=word)
                | Q(login_url__icontains=word)
                | Q(organization__name__icontains=word)
            )
        if self.environment:
            rows = rows.filter(effective_environment=self.environment)  # type: ignore[misc]
        if self.tag:
            rows = tagging.tagged(rows, self.tag)
        if self.certificate:
            days = 0 if self.certificate == "ended" else int(self.certificate)
            rows = rows.filter(signing_key__not_after__lte=now + dt.timedelta(days=days))
        if self.host:
            rows = rows.filter(on_host(self.host))
        return rows

    def in_state(self, rows: ConnectedAppQuerySet) -> ConnectedAppQuerySet:
        """Of these those in the chosen state, sorted."""
        if self.chosen_state:
            rows = rows.filter(state_rank=self.chosen_state.rank)  # type: ignore[misc]
        return rows.order_by(*self._order)

    def apply(self, visible: ConnectedAppQuerySet, now: dt.datetime) -> ConnectedAppQuerySet:
        return self.in_state(self.in_any_state(visible.with_state(now), now))

    @property
    def _order(self) -> list[str | OrderBy]:
        if not self.sort:
            return ["state_rank", "name"]
        column = SORTS[self.sort.removeprefix("-")]
        descending = self.sort.startswith("-")
        return [OrderBy(column, descending=descending, nulls_last=True), "name"]

    # ---- for the page ----

    def sorting(self, column: str) -> tuple[str, str]:
        """`aria-sort` of a column's head, and where its link leads."""
        if self.sort == column:
            return "ascending", self.href(sort=f"-{column}")
        return ("descending" if self.sort == f"-{column}" else ""), self.href(sort=column)

    def removable(self) -> Iterator[Removable]:
        told = {
            "q": _("“%(value)s”"),
            "state": _("state: %(value)s"),
            "environment": _("environment: %(value)s"),
            "tag": _("tag: %(value)s"),
            "certificate": _("certificate: %(value)s"),
            "host": _("login host: %(value)s"),
        }
        words: dict[str, str | Promise] = dict(self.given)
        if self.chosen_state:
            words["state"] = _(self.chosen_state.value)
        if self.environment:
            words["environment"] = ENVIRONMENTS[self.environment]
        if self.certificate:
            words["certificate"] = CERTIFICATES[self.certificate]
        for name, sentence in told.items():
            if name in words:
                yield Removable(sentence % {"value": words[name]}, self.href(**{name: ""}))  # type: ignore[arg-type]


def on_host(host: str) -> Q:
    """Of login URLs at `host`, whatever the scheme and path."""
    urls = [f"{scheme}://{host}" for scheme in ("https", "http")]
    within = Q(*(("login_url__startswith", f"{url}/") for url in urls), _connector=Q.OR)
    return Q(login_url__in=urls) | within

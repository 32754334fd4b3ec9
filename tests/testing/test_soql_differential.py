"""Queries against a plain reading of what they mean: Python over all rows, knowing nothing of SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cmp_to_key, partial
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sf_integration.testing import ids, soql
from sf_integration.testing.data import schema
from sf_integration.testing.data.store import Store

BERLIN = ZoneInfo("Europe/Berlin")
Row = dict[str, Any]
Test = Callable[[Row], bool]

ACCOUNTS = [ids.numbered("001", number) for number in range(5)]
CONTACTS = [ids.numbered("003", number) for number in range(8)]

# Both sides of both changes of the clock, the end of a year, a leap day.
MOMENTS = [
    datetime(2026, 3, 28, 22, 59, 59, tzinfo=UTC),
    datetime(2026, 3, 28, 23, 0, tzinfo=UTC),
    datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC),
    datetime(2026, 3, 29, 22, 0, tzinfo=UTC),
    datetime(2026, 10, 24, 22, 0, tzinfo=UTC),
    datetime(2026, 10, 25, 22, 59, 59, tzinfo=UTC),
    datetime(2026, 10, 25, 23, 0, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 0, tzinfo=UTC),
    datetime(2028, 2, 28, 23, 30, tzinfo=UTC),
]
DAYS = [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30), date(2026, 10, 26), date(2027, 1, 1)]
TEXTS = ["Äpfel", "äpfel", "apfel", "ZÜRICH", "b%_c", "B%_C", None]
NUMBERS = [-1.5, 0.0, 2.25, 1e6, None]

accounts = st.lists(
    st.fixed_dictionaries(
        {
            "Name": st.sampled_from(TEXTS),
            "AnnualRevenue": st.sampled_from(NUMBERS),
            "Key_Account__c": st.sampled_from([0, 1, None]),
            "CreatedDate": st.sampled_from(MOMENTS),
            "ParentId": st.sampled_from([*ACCOUNTS, None]),
            "IsDeleted": st.sampled_from([0, 0, 1]),
        }
    ),
    max_size=5,
)
contacts = st.lists(
    st.fixed_dictionaries(
        {
            "LastName": st.sampled_from(TEXTS),
            "AccountId": st.sampled_from([*ACCOUNTS, None]),
            "Birthdate": st.sampled_from([*DAYS, None]),
            "CreatedDate": st.sampled_from(MOMENTS),
            "IsDeleted": st.sampled_from([0, 0, 0, 1]),
        }
    ),
    max_size=8,
)


@dataclass
class Org:
    """The same rows twice: as the stand-in keeps them, and plainly."""

    store: Store
    accounts: dict[str, Row]
    contacts: list[Row]
    now: datetime

    def value(self, contact: Row, path: str) -> Any:
        """A field of a contact or, through dots, of its account and that one's parents."""
        row: Row | None = contact
        *way, name = path.split(".")
        for step in way:
            row = self.accounts.get((row or {}).get({"Account": "AccountId", "Parent": "ParentId"}[step]))
        return (row or {}).get(name)

    def run(self, query: str, *, with_deleted: bool = False) -> soql.Result:
        return soql.run(self.store, query, base_path="", with_deleted=with_deleted, now=self.now)

    def ids(self, query: str, *, with_deleted: bool = False) -> list[str]:
        return [record["Id"] for record in self.run(query, with_deleted=with_deleted).records]


def make_org(accounts: list[Row], contacts: list[Row], now: datetime) -> Org:
    store = Store()
    plain = {
        "Account": [{"Id": id_, **row} for id_, row in zip(ACCOUNTS, accounts, strict=False)],
        "Contact": [{"Id": id_, **row} for id_, row in zip(CONTACTS, contacts, strict=False)],
    }
    for name, rows in plain.items():
        store.add(schema.get(name), [{key: as_stored(value) for key, value in row.items()} for row in rows])
    return Org(store, {row["Id"]: row for row in plain["Account"]}, plain["Contact"], now.astimezone(BERLIN))


def as_stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.000+0000"
    return value.isoformat() if isinstance(value, date) else value


orgs = st.builds(make_org, accounts, contacts, st.sampled_from(MOMENTS))


# Conditions: the text, and the plain test


def key(value: Any) -> Any:
    """Text without regard to case, all else as it is."""
    return value.upper() if isinstance(value, str) else value


def compares(found: Any, operator: str, value: Any) -> bool:
    found, value = key(found), key(value)
    if operator in ("=", "!="):
        return (found == value) == (operator == "=")
    if found is None:
        return False
    return bool(
        {"<": found < value, "<=": found <= value, ">": found > value, ">=": found >= value}[operator]
    )


def quoted(text: str | None) -> str:
    return "null" if text is None else f"'{text}'"


def shown(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(BERLIN):%Y-%m-%dT%H:%M:%S%z}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else quoted(value)


def of_kind(paths: Iterable[str], values: list[Any]) -> st.SearchStrategy[tuple[str, Callable[[Org], Test]]]:
    """Comparisons and lists of values; < and > with values that can be ordered only."""

    def compare(path: str, operator: str, value: Any) -> tuple[str, Callable[[Org], Test]]:
        operator = "!=" if value is None and operator not in ("=", "!=") else operator
        operator = "=" if isinstance(value, bool) and operator != "!=" else operator

        def bound(org: Org) -> Test:
            return lambda row: compares(plain(org, row, path, value), operator, value)

        return f"{path} {operator} {shown(value)}", bound

    def one_of(path: str, chosen: list[Any], negated: bool) -> tuple[str, Callable[[Org], Test]]:
        def bound(org: Org) -> Test:
            wanted = [key(value) for value in chosen]
            return lambda row: (key(plain(org, row, path, chosen[0])) in wanted) != negated

        word = "NOT IN" if negated else "IN"
        return f"{path} {word} ({', '.join(map(shown, chosen))})", bound

    some_path, some_value = st.sampled_from(list(paths)), st.sampled_from(values)
    operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    return st.one_of(
        st.builds(compare, some_path, operators, some_value),
        st.builds(one_of, some_path, st.lists(some_value, min_size=1, max_size=3), st.booleans()),
    )


def plain(org: Org, row: Row, path: str, like: Any) -> Any:
    found = org.value(row, path)
    # A checkbox is never empty, not even where there is no record.
    return bool(found) if isinstance(like, bool) else found


LITERALS: dict[str, Callable[[date, date], bool]] = {
    "YESTERDAY": lambda day, today: (today - day).days == 1,
    "TODAY": lambda day, today: day == today,
    "TOMORROW": lambda day, today: (day - today).days == 1,
    "LAST_WEEK": lambda day, today: (monday(today) - monday(day)).days == 7,
    "THIS_WEEK": lambda day, today: monday(day) == monday(today),
    "NEXT_MONTH": lambda day, today: months(day) - months(today) == 1,
    "THIS_QUARTER": lambda day, today: months(day) // 3 == months(today) // 3,
    "LAST_YEAR": lambda day, today: today.year - day.year == 1,
    "LAST_N_DAYS:2": lambda day, today: 0 <= (today - day).days <= 2,
    "NEXT_N_DAYS:2": lambda day, today: 1 <= (day - today).days <= 2,
    "LAST_N_MONTHS:3": lambda day, today: 1 <= months(today) - months(day) <= 3,
    "N_DAYS_AGO:1": lambda day, today: (today - day).days == 1,
}


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def months(day: date) -> int:
    return day.year * 12 + day.month - 1


def literal(path: str, operator: str, word: str) -> tuple[str, Callable[[Org], Test]]:
    def bound(org: Org) -> Test:
        today = org.now.date()
        span = [
            day for day in (today + timedelta(days=n) for n in range(-800, 800)) if LITERALS[word](day, today)
        ]

        def test(row: Row) -> bool:
            found = org.value(row, path)
            day = found.astimezone(BERLIN).date() if isinstance(found, datetime) else found
            if day is None:
                return operator == "!="
            return bool(
                {
                    "=": day in span, "!=": day not in span, "<": day < span[0], "<=": day <= span[-1],
                    ">": day > span[-1], ">=": day >= span[0],
                }[operator]
            )  # fmt: skip

        return test

    return f"{path} {operator} {word}", bound


def semi_join(negated: bool, of_parents: bool) -> tuple[str, Callable[[Org], Test]]:
    """Contacts whose account is, or isn't, a key account, or the parent of one."""
    inner = "ParentId" if of_parents else "Id"

    def bound(org: Org) -> Test:
        named = {
            row[inner] for row in org.accounts.values() if row["Key_Account__c"] and not row["IsDeleted"]
        }
        return lambda row: (row["AccountId"] is not None and row["AccountId"] in named) != negated

    word = "NOT IN" if negated else "IN"
    return f"AccountId {word} (SELECT {inner} FROM Account WHERE Key_Account__c = true)", bound


@pytest.mark.parametrize("now", MOMENTS, ids=str)
def test_literals_mean_their_days_in_the_time_zone_of_the_users(now: datetime):
    near = [now + timedelta(minutes=step * 30) for step in range(-48 * 20, 48 * 20, 7)]
    rows = [{"CreatedDate": as_stored(moment), "Birthdate": as_stored(moment.date())} for moment in near]
    store = Store()
    contact = schema.get("Contact")
    store.add(contact, [{"Id": ids.numbered("003", number), **row} for number, row in enumerate(rows)])
    org = Org(store, {}, [], now.astimezone(BERLIN))
    for word, operator in product(LITERALS, ("=", "!=", "<", "<=", ">", ">=")):
        for path in ("CreatedDate", "Birthdate"):
            text, bind = literal(path, operator, word)
            test = bind(org)
            expected = sum(test({"CreatedDate": moment, "Birthdate": moment.date()}) for moment in near)
            assert org.run(f"SELECT COUNT() FROM Contact WHERE {text}").total_size == expected, text


simple = st.one_of(
    of_kind(["LastName", "Account.Name", "Account.Parent.Name"], TEXTS),
    of_kind(["Account.AnnualRevenue", "Account.Parent.AnnualRevenue"], NUMBERS),
    of_kind(["Birthdate"], [*DAYS, None]),
    of_kind(["CreatedDate", "Account.CreatedDate"], MOMENTS),
    of_kind(["Account.Key_Account__c"], [True, False]),
    st.builds(
        literal,
        st.sampled_from(["Birthdate", "CreatedDate", "Account.CreatedDate"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from(sorted(LITERALS)),
    ),
)


def negate(part: tuple[str, Callable[[Org], Test]]) -> tuple[str, Callable[[Org], Test]]:
    text, bind = part

    def bound(org: Org) -> Test:
        test = bind(org)
        return lambda row: not test(row)

    return f"(NOT {text})", bound


def join(word: str, parts: list[tuple[str, Callable[[Org], Test]]]) -> tuple[str, Callable[[Org], Test]]:
    def bound(org: Org) -> Test:
        tests = [bind(org) for _, bind in parts]
        return lambda row: (all if word == "AND" else any)(test(row) for test in tests)

    return f"({f' {word} '.join(text for text, _ in parts)})", bound


conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        inner.map(negate),
        st.builds(join, st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(orgs, conditions, st.booleans())
def test_conditions_choose_the_rows_they_mean(org: Org, condition: Any, with_deleted: bool):
    text, bind = condition
    test = bind(org)

    found = org.ids(f"SELECT Id FROM Contact WHERE {text}", with_deleted=with_deleted)

    assert sorted(found) == [
        row["Id"] for row in org.contacts if test(row) and (with_deleted or not row["IsDeleted"])
    ]


@settings(deadline=None)
@given(orgs, st.builds(semi_join, st.booleans(), st.booleans()), simple)
def test_semi_joins_choose_the_rows_they_mean(org: Org, condition: Any, further: Any):
    text, bind = join("AND", [further, condition])
    test = bind(org)

    assert sorted(org.ids(f"SELECT Id FROM Contact WHERE {text[1:-1]}")) == [
        row["Id"] for row in org.contacts if test(row) and not row["IsDeleted"]
    ]


# Order and pieces


ORDERED = ["LastName", "Birthdate", "CreatedDate", "Account.AnnualRevenue", "Account.Name"]


def place(org: Org, path: str, direction: str, nulls: str, left: Row, right: Row) -> int:
    one, other = key(org.value(left, path)), key(org.value(right, path))
    if (one is None) != (other is None):
        return (-1 if nulls == "FIRST" else 1) * (1 if one is None else -1)
    if one is None or one == other:
        return 0
    return (-1 if one < other else 1) * (1 if direction == "ASC" else -1)


@settings(deadline=None)
@given(
    orgs,
    st.lists(
        st.tuples(
            st.sampled_from(ORDERED), st.sampled_from(["ASC", "DESC"]), st.sampled_from(["FIRST", "LAST"])
        ),
        min_size=1,
        max_size=2,
    ),
    st.integers(0, 9),
    st.integers(0, 4),
)
def test_rows_come_in_order_and_in_pieces(
    org: Org, ordering: list[tuple[str, str, str]], limit: int, offset: int
):
    rows = [row for row in org.contacts if not row["IsDeleted"]]
    for path, direction, nulls in [*reversed(ordering)]:
        rows.sort(key=cmp_to_key(partial(place, org, path, direction, nulls)))
    by = ", ".join(f"{path} {direction} NULLS {nulls}" for path, direction, nulls in ordering)

    found = org.ids(f"SELECT Id FROM Contact ORDER BY {by}, Id LIMIT {limit} OFFSET {offset}")

    assert found == [row["Id"] for row in rows][offset : offset + limit]


# Aggregates


@settings(max_examples=300, deadline=None)
@given(orgs, conditions, st.sampled_from(["LastName", "Account.Name", "AccountId", "Birthdate"]))
def test_groups_hold_what_belongs_together(org: Org, condition: Any, by: str):
    text, bind = condition
    test = bind(org)
    groups: dict[Any, list[Row]] = {}
    for row in org.contacts:
        if test(row) and not row["IsDeleted"]:
            groups.setdefault(key(org.value(row, by)), []).append(row)

    found = org.run(
        f"SELECT {by} k, COUNT(Id) n, COUNT(Birthdate) born, COUNT_DISTINCT(LastName) names, "
        f"SUM(Account.AnnualRevenue) total, AVG(Account.AnnualRevenue) mean, MIN(LastName) least, "
        f"MAX(CreatedDate) newest FROM Contact WHERE {text} GROUP BY {by}"
    )

    assert {key(record["k"]): record for record in found.records}.keys() == {
        as_stored(name) for name in groups
    }
    for record in found.records:
        rows = next(rows for name, rows in groups.items() if as_stored(name) == key(record["k"]))
        revenues = [v for row in rows if (v := org.value(row, "Account.AnnualRevenue")) is not None]
        names = [row["LastName"].upper() for row in rows if row["LastName"] is not None]
        assert record["n"] == len(rows)
        assert record["born"] == sum(row["Birthdate"] is not None for row in rows)
        assert record["names"] == len(set(names))
        assert record["total"] == (sum(revenues) if revenues else None)
        assert record["mean"] == (sum(revenues) / len(revenues) if revenues else None)
        assert key(record["least"]) == (min(names) if names else None)
        assert record["newest"] == as_stored(max(row["CreatedDate"] for row in rows))


@settings(deadline=None)
@given(orgs, conditions)
def test_counts_agree_with_rows(org: Org, condition: Any):
    text, _ = condition

    rows = len(org.ids(f"SELECT Id FROM Contact WHERE {text}"))

    assert org.run(f"SELECT COUNT() FROM Contact WHERE {text}").total_size == rows
    assert org.run(f"SELECT COUNT(Id) n FROM Contact WHERE {text}").records[0]["n"] == rows

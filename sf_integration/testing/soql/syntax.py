"""From the text of a query to what it says, without yet knowing the org's sObjects.

Source: SOQL and SOSL Reference; the wordings of the errors as recorded from orgs.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, NoReturn

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError

from .errors import SoqlError, malformed, unexpected, unknown
from .literals import Value, bound, read_count, read_value, unquote

MAX_LENGTH = 100_000
MAX_OFFSET = 2_000

_CLAUSES_UNKNOWN_HERE = {
    "WITH": "the clause WITH",
    "UPDATE": "UPDATE TRACKING and UPDATE VIEWSTAT",
    "WHEN": "TYPEOF",
    "INCLUDES": "INCLUDES",
    "EXCLUDES": "EXCLUDES",
}
"""Words of SOQL the grammar lacks: to meet one where nothing fits means that nothing is wrong with the query."""


@dataclass(frozen=True)
class Path:
    """A field, reached by way of parents: Account.Owner.Name."""

    names: tuple[Token, ...]

    @property
    def token(self) -> Token:
        return self.names[0]


@dataclass(frozen=True)
class Call:
    """A function: COUNT(Id), CALENDAR_YEAR(CreatedDate), FIELDS(ALL)."""

    token: Token
    arguments: tuple[Expression | Token, ...]

    @property
    def function(self) -> str:
        return str(self.token).lower()


Expression = Path | Call


@dataclass(frozen=True)
class Item:
    """One thing selected."""

    expression: Expression
    alias: Token | None


@dataclass(frozen=True)
class Compare:
    expression: Expression
    operator: str
    value: Value


@dataclass(frozen=True)
class Like:
    expression: Expression
    pattern: str
    r"""Text with the wildcards % and _; with a backslash before them, they are plain characters."""


@dataclass(frozen=True)
class OneOf:
    expression: Expression
    choices: tuple[Value, ...] | Query


@dataclass(frozen=True)
class Combined:
    word: str
    """AND or OR."""
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Negated:
    part: Condition


Condition = Compare | Like | OneOf | Combined | Negated


@dataclass(frozen=True)
class Ordering:
    expression: Expression
    direction: str
    nulls: str


@dataclass(frozen=True)
class Source:
    """The sObject, or in a sub-query the relationship, that is asked."""

    name: Token
    alias: Token | None


@dataclass(frozen=True)
class Query:
    items: tuple[Item | Query, ...]
    """Queries among them are child sub-queries."""
    source: Source
    where: Condition | None
    group: tuple[Expression, ...]
    having: Condition | None
    order: tuple[Ordering, ...]
    limit: int | None
    offset: int


def parse(text: str) -> Query:
    """Raises SoqlError, or Misfit for what has a place in the text."""
    if not text.strip():
        raise SoqlError("MALFORMED_QUERY", "A query string has to be specified")
    if len(text) > MAX_LENGTH:
        message = f"SOQL statements cannot be longer than {MAX_LENGTH} characters."
        raise SoqlError("MALFORMED_QUERY", message)
    try:
        query: Query = _Builder().transform(_parser().parse(text))
    except UnexpectedCharacters as exc:
        message = f"line {exc.line}:{exc.column - 1} no viable alternative at character '{exc.char}'"
        raise SoqlError("MALFORMED_QUERY", message) from None
    except UnexpectedToken as exc:
        _refuse_token(text, exc.token)
    except UnexpectedInput:
        raise SoqlError("MALFORMED_QUERY", "unexpected end of query") from None
    except VisitError as exc:
        raise exc.orig_exc from None
    except RecursionError:
        raise unknown("conditions nested this deeply") from None
    return query


def _refuse_token(text: str, token: Token) -> NoReturn:
    if token.type == "$END":
        lines = text.split("\n")
        raise unexpected(Token("$END", "<EOF>", line=len(lines), column=len(lines[-1]) + 1)) from None
    if token.upper() in _CLAUSES_UNKNOWN_HERE:
        raise unknown(_CLAUSES_UNKNOWN_HERE[token.upper()]) from None
    raise unexpected(token) from None


_PARSER_LOCK = threading.Lock()


def _parser() -> Lark:
    # Half a second of work: the first of many callers at once does it for all.
    with _PARSER_LOCK:
        return _made_parser()


@lru_cache(maxsize=1)
def _made_parser() -> Lark:
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", maybe_placeholders=True)


@v_args(inline=True)
class _Builder(Transformer[Token, Query]):
    def start(self, query: Query) -> Query:
        return query

    def query(
        self,
        items: tuple[Item | Query, ...],
        source: Source,
        scope: None,
        where: Condition | None,
        group: tuple[Expression, ...] | None,
        having: Condition | None,
        order: tuple[Ordering, ...] | None,
        limit: int | None,
        offset: int | None,
        purpose: None,
        all_rows: Token | None,
    ) -> Query:
        if all_rows:
            raise malformed(all_rows, "ALL ROWS not allowed in this context")
        return Query(items, source, where, group or (), having, order or (), limit, offset or 0)

    def items(self, *items: Item | Query) -> tuple[Item | Query, ...]:
        return items

    def item(self, expression: Expression, alias: Token | None) -> Item:
        return Item(expression, alias)

    def children(self, query: Query) -> Query:
        return query

    def path(self, *names: Token) -> Path:
        return Path(names)

    def call(self, name: Token, *arguments: Expression | Token | None) -> Call:
        return Call(name, tuple(argument for argument in arguments if argument is not None))

    def source(self, path: Path, alias: Token | None, *further: Any) -> Source:
        if further or len(path.names) > 1:
            raise unknown("relationships with an alias in FROM")
        return Source(path.names[0], alias)

    def scope(self, name: Token) -> None:
        if name.lower() != "everything":
            raise unknown(f"USING SCOPE {name}")

    def purpose(self, name: Token) -> None:
        # Both only note that the records were looked at, in fields the stand-in has not.
        if name.lower() not in ("view", "reference"):
            raise unknown("FOR UPDATE") if name.lower() == "update" else unexpected(name)

    def where(self, condition: Condition) -> Condition:
        return condition

    def having(self, condition: Condition) -> Condition:
        return condition

    def all_of(self, *parts: Condition) -> Combined:
        return Combined("AND", parts)

    def any_of(self, *parts: Condition) -> Combined:
        return Combined("OR", parts)

    def negate(self, part: Condition) -> Negated:
        return Negated(part)

    def compare(self, expression: Expression, operator: Token, value: Value) -> Compare:
        return Compare(expression, "!=" if operator == "<>" else str(operator), value)

    def like(self, expression: Expression, pattern: Token) -> Like:
        return Like(expression, unquote(pattern, keep="%_"))

    def one_of(self, expression: Expression, choices: tuple[Value, ...] | Query) -> OneOf:
        return OneOf(expression, choices)

    def none_of(self, expression: Expression, choices: tuple[Value, ...] | Query) -> Negated:
        return Negated(OneOf(expression, choices))

    def choices(self, *choices: Any) -> tuple[Value, ...] | Query:
        return choices[0] if isinstance(choices[0], Query) else choices

    def bound_choices(self, token: Token) -> NoReturn:
        raise bound(token)

    def value(self, token: Token) -> Value:
        return read_value(token)

    def group(self, *expressions: Expression) -> tuple[Expression, ...]:
        return expressions

    def order(self, *orderings: Ordering) -> tuple[Ordering, ...]:
        return orderings

    def ordering(self, expression: Expression, direction: Token | None, place: Token | None) -> Ordering:
        return Ordering(expression, (direction or "ASC").upper(), (place or "FIRST").upper())

    def limit(self, number: Token) -> int:
        return read_count(number)

    def offset(self, number: Token) -> int:
        offset = read_count(number)
        if offset > MAX_OFFSET:
            message = f"Maximum SOQL offset allowed is {MAX_OFFSET}"
            raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", message)
        return offset

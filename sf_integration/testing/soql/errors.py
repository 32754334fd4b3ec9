"""How a query is refused: what Salesforce says, with row and column, or that the stand-in knows too little."""

from __future__ import annotations

from lark import Token

from ..data.schema import SObject
from ..messages import unknown_here

UNKNOWN_HERE = "STAND_IN_DOES_NOT_KNOW"
REFERENCE = "Please reference your WSDL or the describe call for the appropriate names."


class SoqlError(Exception):
    """A query the org refuses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Misfit(Exception):
    """Something wrong at one word of the query; `located_in` makes the refusal of it."""

    def __init__(self, code: str, token: Token, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.token = token
        self.message = message

    def located_in(self, text: str) -> SoqlError:
        """The line of the query, a caret under the place, its row and column, then the message.

        Source: recorded answers.
        """
        row, column = self.token.line or 1, self.token.column or 1
        line = text.split("\n")[row - 1]
        place = f"\n{line}\n{' ' * (column - 1)}^\nERROR at Row:{row}:Column:{column}\n"
        return SoqlError(self.code, place + self.message)


def unexpected(token: Token) -> Misfit:
    return Misfit("MALFORMED_QUERY", token, f"unexpected token: '{token}'")


def malformed(token: Token, message: str) -> Misfit:
    return Misfit("MALFORMED_QUERY", token, message)


def invalid_field(token: Token, message: str) -> Misfit:
    return Misfit("INVALID_FIELD", token, message)


def unknown(what: str) -> SoqlError:
    """Salesforce can do this, the stand-in can't: said, rather than answered wrongly."""
    return SoqlError(UNKNOWN_HERE, unknown_here(what, 'org.answer("SELECT …", rows)'))


def no_such_column(name: str, sobject: SObject) -> str:
    return (
        f"No such column '{name}' on entity '{sobject.name}'. If you are attempting to use a custom field, be sure to "
        f"append the '__c' after the custom field name. {REFERENCE}"
    )

"""An error made ready to be shown and stored: the same five facts on pages, in the admin, in JSON and on the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from . import diagnosis
from .errors import (
    ActionNeeded,
    ApiError,
    AuthenticationError,
    LoginUnavailable,
    RetryableError,
    SalesforceError,
)


@dataclass(frozen=True)
class Problem:
    code: str
    """What Salesforce said (`invalid_client_id`), or our word for it (`wrong_org`)."""
    seen: str
    """What was seen, as one sentence. The cause again where nothing else was seen."""
    cause: str
    who: str = ""
    """Who must act."""
    remedy: str = ""
    where: str = ""
    """Menu path to click."""
    words: str = ""
    """Salesforce's own; they may have several lines that are aligned."""

    @property
    def sentence(self) -> str:
        """What was seen and why, without saying a thing twice."""
        return self.seen if self.cause in self.seen else f"{self.seen} {self.cause}"

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def problem_of(error: SalesforceError) -> Problem:
    """The facts that an error carries, completed from the catalogue. Holds no secret, as the error's text does not."""
    match error:
        case AuthenticationError():
            found = diagnosis.explain(error.error, error.description)
            words = f"{error.error}: {error.description}".removesuffix(": ")
            seen = f"Salesforce refused the sign-in ({words})."
            return Problem(error.code, seen, error.cause, error.who, error.remedy, found.where, words)
        case ActionNeeded():
            ours = diagnosis.explain(error.code)
            where = ours.where if ours.code else ""
            return Problem(error.code, error.cause, error.cause, error.who, error.remedy, where)
        case ApiError():
            return _of_entry(diagnosis.explain(error.error_code, error.message), error, error.message)
        case LoginUnavailable() if error.description:
            words = f"{error.code}: {error.description}"
            return _of_entry(diagnosis.explain(error.code, error.description), error, words)
        case RetryableError():
            return _of_entry(_of_transport(error), error)
    return Problem(error.code, str(error), str(error))


def _of_transport(error: RetryableError) -> diagnosis.Diagnosis:
    """Our own sentence tells cases of one code apart: an empty answer from a page, a wrong name from a wrong authority."""
    found = diagnosis.explain(error.code, str(error))
    return diagnosis.explain_transport(error.code) if found is diagnosis.UNKNOWN else found


def _of_entry(found: diagnosis.Diagnosis, error: SalesforceError, words: str = "") -> Problem:
    # The text of some errors ends with the catalogue's sentences, which have places of their own here.
    seen = str(error).removesuffix(found.remedy).rstrip().removesuffix(found.cause).rstrip()
    return Problem(error.code, seen or found.cause, found.cause, found.who, found.remedy, found.where, words)

"""One step of the check: what it hands on, how its outcome is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..models import ConnectedApp
from ..salesforce import diagnosis, rest
from ..salesforce.errors import SalesforceError
from ..salesforce.oauth import Identity
from ..salesforce.problem import Problem, problem_of
from .logins import Login

OK, WARNING, FAILED, NOT_REACHED = "ok", "warning", "failed", "not_reached"


@dataclass(frozen=True)
class Step:
    """The outcome of one step, as stored and printed."""

    step: str
    status: str
    code: str = ""
    """What Salesforce said, or our word for it."""
    message: str = ""
    """What was seen."""
    cause: str = ""
    remedy: str = ""
    who: str = ""
    """Who must act."""
    where: str = ""
    """Menu path to click."""
    milliseconds: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Run:
    """What the steps hand on to each other."""

    connection: ConnectedApp
    login: Login
    client: rest.Client
    identity: Identity | None = None
    organization: dict[str, Any] = field(default_factory=dict)
    api_version: str = ""
    newest_version: str = ""
    """The newest API version that the org serves."""
    usage: rest.ApiUsage | None = None
    skew_seconds: float | None = None


class Noted(Exception):
    """A step is passed, yet something is to be told. What the catalogue has for the code is added."""

    status = WARNING

    def __init__(self, code: str, message: str, remedy: str = "", *, description: str = "") -> None:
        super().__init__(message)
        self.code, self.message = code, message
        found = diagnosis.explain(code, description)
        known = bool(found.code)
        self.cause = found.cause if known else message
        self.who, self.where = (found.who, found.where) if known else ("", "")
        self.remedy = remedy or (found.remedy if known else "")


class Warn(Noted):
    """It works, but a person should look at it: the connection needs attention."""


class Remark(Noted):
    """All is well, and one thing is worth knowing."""

    status = OK


Action = Callable[[Run], str]
"""Does one step and says what it saw. Raises Noted, or the SalesforceError that ends the run."""


def climb(ladder: Sequence[tuple[str, Action]], run: Run) -> tuple[list[Step], SalesforceError | None]:
    """Take the steps in order; after a failure the rest is not reached."""
    steps: list[Step] = []
    error: SalesforceError | None = None
    for name, action in ladder:
        if error is None:
            step, error = _take(name, action, run)
        else:
            step = Step(name, NOT_REACHED)
        steps.append(step)
    return steps, error


def _take(name: str, action: Action, run: Run) -> tuple[Step, SalesforceError | None]:
    started = time.monotonic()
    told: dict[str, Any]
    error: SalesforceError | None = None
    try:
        told = {"status": OK, "message": action(run)}
    except Noted as note:
        told = {"status": note.status, "message": note.message} | _explained(note)
    except SalesforceError as exc:
        error, problem = exc, problem_of(exc)
        told = {"status": FAILED, "message": problem.seen} | _explained(problem)
    return Step(name, **told, milliseconds=round((time.monotonic() - started) * 1000)), error


def _explained(by: Noted | Problem) -> dict[str, str]:
    return {name: getattr(by, name) for name in ("code", "cause", "remedy", "who", "where")}

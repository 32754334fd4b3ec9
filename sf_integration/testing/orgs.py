"""An org and what lives in it: apps, users, sessions, its data, and what it was asked."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from . import ids, sessions
from .answers import Answers, Rows
from .apps import App
from .bulk.jobs import Jobs
from .credentials import make_key_and_certificate, new_opaque_token
from .data import company
from .faults import Faults
from .messages import Refused, Request
from .rest.cursors import Cursors
from .sessions import Session, Sessions
from .soql import TIME_ZONE, Result, SoqlError, run
from .users import User

if TYPE_CHECKING:
    from .standin import StandIn

_REQUESTS_KEPT = 10_000


@dataclass(eq=False)
class Policy:
    """What may be changed about an org at any time, and holds for the next request."""

    active: bool = True
    session_seconds: float = 7200
    """Idle time after which a session ends, unless the user's profile or the app says otherwise."""
    token_format: Literal["opaque", "jwt"] = "opaque"  # noqa: S105  name of a format
    reuse_sessions: bool = False
    """A further sign-in of the same user and app gets the live session's token."""
    expiry_tolerance_seconds: float = 180
    """How long ago an assertion's `exp` may be."""
    refuse_replayed_jti: bool = False
    shared_login_allowed: bool = True
    """False: My Domain's "Prevent login from https://login.salesforce.com"."""
    clock_offset_seconds: float = 0
    logins_per_hour: int = 3600
    """Of one user."""
    api_limit: int = 15_000
    """REST calls of a day."""
    api_used: int = 0
    limits_refused: bool = False
    """The user may not view setup, so that the resource `limits` is refused."""
    cursor_seconds: float = 900
    """Idle time after which a query's locator is forgotten."""
    cursor_owner: Literal["session", "user"] = "session"
    """Whose a locator is: good for one session only, or for every one of its user."""
    bulk_looks: int = 0
    """How many looks at a bulk job or batch find it in progress still."""


class Org(Policy):
    """One Salesforce org. Its policy, and the plain attributes of its users and apps, may be changed at any time."""

    def __init__(
        self,
        *,
        org_id: str | None = None,
        name: str = "Nordhafen Coffee Traders",
        username: str = "integration@nordhafen.example",
        app: App | None = None,
        is_sandbox: bool = False,
        organization_type: str = "Developer Edition",
        oldest_version: int = 42,
        newest_version: int = 67,
        seed: str = company.SEED,
        **policy: Any,
    ) -> None:
        """seed: decides over the records of the company; the same word, the same records. `policy`: fields of Policy."""
        super().__init__(**policy)
        self.id = ids.to_18(org_id) if org_id else ids.random_id("00D")
        self.name = name
        self.is_sandbox = is_sandbox
        self.organization_type = organization_type
        self.url = ""
        """The My Domain: scheme, host and port, no trailing slash; empty until the server runs."""
        self.instance_url = ""
        """Where the API answers: the My Domain too, until the org is moved."""
        self.server: StandIn | None = None
        """What lets it be reached; there once that runs. `server.add_org(…)` makes a second org beside it."""
        self.oldest_version, self.newest_version = oldest_version, newest_version

        self.token_requests = 0
        self.logins = 0
        self.faults = Faults()
        self.answers = Answers()
        self.cursors = Cursors(lambda: self.cursor_seconds)
        self.jobs = Jobs()
        self.sessions = Sessions()
        self._lock = threading.RLock()
        self._requests: deque[Request] = deque(maxlen=_REQUESTS_KEPT)
        self._seen_jti: set[str] = set()

        self.users: dict[str, User] = {}
        self.store = company.demo_store(seed)
        self.user = self.add_user(username)
        self.app = app or App()
        self.apps = {self.app.consumer_key: self.app}
        company.add_organization_row(
            self.store, org_id=self.id, name=name, is_sandbox=is_sandbox, organization_type=organization_type
        )

    def __repr__(self) -> str:
        return f"<Org {self.id} {self.url}>"

    # People and apps

    def add_user(self, username: str, **state: Any) -> User:
        """A further user; `state` are fields of User. Usernames are told apart without regard to case.

        Raises ValueError when there is one of this name.
        """
        with self._lock:
            if self.find_user(username):
                raise ValueError(f"there is a user {username} already")
            user = User(id=ids.numbered("005", len(self.users)), username=username, **state)
            self.users[username.lower()] = user
        company.add_user_row(self.store, user)
        return user

    def add_app(self, **settings: Any) -> App:
        """A further app with its own consumer key and certificate; `settings` are arguments of App."""
        app = App(**settings)
        self.apps[app.consumer_key] = app
        return app

    def add_org(self, **settings: Any) -> Self:
        """A further org beside this one, with a port of its own; `settings` are arguments of Org and of Policy."""
        if self.server is None:
            raise RuntimeError("an org can be added once the stand-in runs")
        return cast("Self", self.server.add_org(**settings))

    def find_user(self, username: str) -> User | None:
        return self.users.get(username.lower())

    # Time

    def now(self) -> float:
        """The org's own clock, seconds since 1970 UTC."""
        return time.time() + self.clock_offset_seconds

    # What it says

    def answer(self, soql: str, rows: Rows | Callable[[str], Rows]) -> None:
        """Answer this query with these rows from now on, whatever the org holds and knows of SOQL.

        Blanks and case of the query make no difference, but for what is in quotes. A row without `attributes` gets
        them. A function is called with the query at each request.
        """
        self.answers.add_rows(soql, rows)

    def answer_path(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer this path (from the first slash, without the query) from now on, to who has a good token.

        body: what becomes JSON, or text or bytes as they are, or a function of the request that gives either.
        method: this one only; None: every method.
        Raises ValueError for a path that asks for no token, such as the token endpoint: there is `fail("answer", …)`.
        """
        self.answers.add_path(path, body, method=method, status=status, headers=headers)

    # Trouble

    def fail(self, kind: str, *, times: int | None = 1, where: str | None = None, **options: Any) -> None:
        """Let the next `times` requests at `where` go wrong (None: all until `heal`); faults queue up.

        where: "token", "rest", "identity", "any", or the beginning of a path ("/services/data/v67.0/limits"); "token"
        if left out ("rest" for kind "rest_error").
        kind, with its options: unknown_error, maintenance, bad_gateway, html, redirect(location, status),
        garbage(body), slow(seconds), drip(seconds, part), cut, close, huge, refuse(error, description, status),
        answer(status, body, content_type, headers), rest_error(status, code, message).
        """
        place = where or ("rest" if kind == "rest_error" else "token")
        self.faults.add(kind, place, times, options)

    def heal(self, kind: str | None = None) -> None:
        """Forget the faults that wait for a request: all, or those of a kind."""
        self.faults.clear(kind)

    def move(self) -> None:
        """Move to another instance: the API answers at a new address, sessions end, the old address redirects.

        The My Domain stays, so that signing in works as before and names the new instance URL.
        """
        if self.server is None:
            raise RuntimeError("the org can be moved once the stand-in runs")
        self.instance_url = self.server.open_port(self)
        self.end_sessions()

    def move_back(self) -> None:
        """Let the API answer at the My Domain again; sessions end."""
        self.instance_url = self.url
        self.end_sessions()

    def replace(self, org_id: str | None = None) -> None:
        """Let another org answer at the same address, as after the refresh of a sandbox: only its id is new. Sessions end.

        org_id: the new one; made up when not given. Raises ValueError when it is no id of an org.
        """
        if org_id is not None and not (org_id.startswith("00D") and ids.is_well_formed(org_id)):
            raise ValueError(f"{org_id!r} is no org id: 00D and 12 or 15 more characters")
        before, self.id = self.id, ids.to_18(org_id) if org_id else ids.random_id("00D")
        company.change_organization_id(self.store, before, self.id)
        self.end_sessions()

    def swap_certificate(self) -> None:
        """Let the first app trust a certificate whose private key nobody has, as when somebody uploads another one."""
        self.app.replace_certificate(make_key_and_certificate("somebody else")[1])

    def lose_cursors(self) -> None:
        """Forget every query whose next pages are still to come: their locators are refused from now on."""
        self.cursors.clear()

    # Records

    def query(self, soql: str) -> list[dict[str, Any]]:
        """What the org holds, for a test to look at: no call is counted, nothing is hidden, no attributes.

        Raises ValueError with what Salesforce would say.
        """
        try:
            found = self.run_query(soql)
        except SoqlError as exc:
            raise ValueError(exc.message) from exc
        if len(found.records) < found.total_size:
            raise ValueError("COUNT() finds no records, only their number; ask for COUNT(Id).")
        return [_without_attributes(row) for row in found.records]

    def run_query(
        self,
        soql: str,
        *,
        base_path: str = "",
        with_deleted: bool = False,
        hidden: AbstractSet[str] = frozenset(),
    ) -> Result:
        """Run a query at the org's own time; arguments and errors are those of `soql.run`."""
        company.show_users(self.store, list(self.users.values()))
        now = datetime.fromtimestamp(self.now(), TIME_ZONE)
        return run(self.store, soql, base_path=base_path, with_deleted=with_deleted, hidden=hidden, now=now)

    def add_record(self, sobject: str, **values: Any) -> str:
        """Make one record, as the org's user, and give its id.

        Raises ValueError with what Salesforce would say.
        """
        from .rest import records  # it imports this module

        try:
            return records.add(self, sobject, values)
        except Refused as refusal:
            raise ValueError(refusal.answer.body.decode()) from refusal

    def add_records(self, sobject: str, count: int, *, seed: str | None = None) -> None:
        """Make further records of an sObject, as many as wanted: 100,000 take about a second."""
        company.fill(self.store, sobject, count, seed=seed)

    # Sessions

    def start_session(self, user: User, app: App) -> Session:
        """Sign the user in: a new token, or the live one of the same user and app with `reuse_sessions`."""
        with self._lock:
            self.logins += 1
            user.login_times.append(time.time())
            if self.reuse_sessions and (live := self.sessions.find_live(user, app)):
                return live
            session = self._new_session(user, app)
            self.sessions.add(session)
            return session

    def _new_session(self, user: User, app: App) -> Session:
        def lifetime() -> float:
            return app.session_seconds or user.session_seconds or self.session_seconds

        now = time.time()
        token, fixed_end = new_opaque_token(self.id), None
        if (app.token_format or self.token_format) == "jwt":
            fixed_end = now + lifetime()
            token = sessions.jwt_token(
                org_id=self.id,
                instance_url=self.instance_url,
                user=user,
                app=app,
                issued_at=int(self.now()),
                expires_at=int(fixed_end + self.clock_offset_seconds),
            )
        return Session(token, user, app, app.scopes, now, now, fixed_end, lifetime)

    def find_session(self, token: str) -> Session | None:
        """The session of a token if it is still in force."""
        return self.sessions.find(token)

    def end_sessions(self) -> None:
        """End every session, as an admin may: all tokens are refused from now on."""
        self.sessions.end_all()

    def login_rate_reached(self, user: User) -> bool:
        """Whether the user has used up its logins of the last hour."""
        an_hour_ago = time.time() - 3600
        with self._lock:
            while user.login_times and user.login_times[0] <= an_hour_ago:
                user.login_times.popleft()
            return len(user.login_times) >= self.logins_per_hour

    def is_replayed(self, jti: str) -> bool:
        """Whether this assertion id came before; it is remembered from now on."""
        with self._lock:
            seen = jti in self._seen_jti
            self._seen_jti.add(jti)
            return seen

    # What was asked

    @property
    def requests(self) -> list[Request]:
        """The latest requests, oldest first."""
        return list(self._requests)

    def remember(self, request: Request) -> None:
        self._requests.append(request)

    def count_token_request(self) -> None:
        with self._lock:
            self.token_requests += 1

    def count_api_call(self, app: App) -> bool:
        """Count one REST call of an app; False when the org's quota of the day is used up."""
        with self._lock:
            if self.api_used >= self.api_limit:
                return False
            self.api_used += 1
            app.api_used += 1
            return True


def _without_attributes(value: Any) -> Any:
    """A record without what tells its type and path, and its parents and children likewise."""
    if isinstance(value, dict):
        return {name: _without_attributes(held) for name, held in value.items() if name != "attributes"}
    return [_without_attributes(held) for held in value] if isinstance(value, list) else value

"""A whole site whose parts are killed, frozen and taken away while everybody goes on: `make chaos`.

Each fault is done to a part; meanwhile and afterwards it is written down what callers and pages got, and then judged: all
that ran still runs, what was taken is back, no claim stays, everything due is renewed, nobody got another's token.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import requests

from .balancer import Answer, Balancer
from .programs import Program, RabbitMQ, postgres_programs, until
from .site import Shape, Site, Traffic, calls

FROZEN_SECONDS = 20
"""Longer than every time-out of ours: 10 s a sign-in, 12 s a claim, 15 s a caller's patience."""
AWAY_SECONDS = 15
SOONEST_RENEWAL_SECONDS = 24
"""Half the life of 60 s, less a tenth."""
BACK_WITHIN_SECONDS = 120

IS_WELL = """
    SELECT NOT EXISTS (
        SELECT FROM sf_integration_accesstoken
        WHERE claimed_until < now() OR failures > 0 OR expected_expiry < now()
            OR refresh_at < now() - interval '15 seconds'
    ) AND EXISTS (SELECT FROM sf_integration_heartbeat WHERE at > to_timestamp(%s))
"""
"""And beat has come twice since anything was due."""

BROKERS = ["redis", "rabbitmq"]


@dataclass(frozen=True)
class Fault:
    part: str
    how: str
    """killed, frozen, away"""

    def __str__(self) -> str:
        return f"{self.part} {self.how}"


@dataclass(frozen=True)
class Facts:
    connections: int
    tokens: int
    audit: int
    checks: int


FAULTS = [
    Fault(part, how)
    for part in ("postgres", "broker", "worker-1", "beat-1", "web-1")
    for how in ("killed", "frozen", "away")
]


@pytest.fixture(scope="module", params=BROKERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    missing = [
        name
        for name, found in (
            ("PostgreSQL's programs", postgres_programs()),
            ("redis-server", shutil.which("redis-server")),
            ("rabbitmq-server", RabbitMQ.SERVER.exists()),
        )
        if not found
    ]
    assert not missing, f"make chaos needs {', '.join(missing)}"
    with Site(tmp_path_factory.mktemp(request.param), Shape(broker=request.param)) as running:
        print(f"\n\n{request.param}: logs in {running.folder}")
        yield running


def part(site: Site, name: str) -> Program:
    return {"postgres": site.postgres, "broker": site.broker}.get(name) or site.programs[name]


def do(site: Site, fault: Fault) -> None:
    """Returns when it is over: what was killed or away runs again, as systemd would start it."""
    program = part(site, fault.part)
    if fault.how == "frozen":
        program.freeze()
        time.sleep(FROZEN_SECONDS)
        program.go_on()
        return
    if fault.how == "killed":
        program.kill()
        time.sleep(1)
    else:
        program.stop()
        time.sleep(AWAY_SECONDS)
    program.start()
    if fault.part in ("postgres", "broker"):
        until(program.is_up, str(fault), seconds=60)  # type: ignore[attr-defined]


def test_rolling_restart_fails_no_request(site: Site) -> None:
    """As a deployment does it: one after the other, each web out of service first, and at last a second beat."""
    began = time.time()
    with Balancer(site.webs) as balancer, site.callers() as log, Traffic(site, balancer, callers=6):
        for number, url in enumerate(site.webs, 1):
            restart_web(site, balancer, f"web-{number}", url)
        for name in ("worker-1", "worker-2", "beat-1"):
            site.programs[name].stop()
            site.programs[name].start()
            time.sleep(5)
        if "beat-2" not in site.programs:
            site.add_beat(2)
        over = time.time()
        back = until(lambda: is_well(site, over), "well after the restarts", seconds=BACK_WITHIN_SECONDS)
    ended = time.time()
    told = calls(log)
    report("rolling restart", balancer.answers, told, back)

    assert not site.ended()
    assert not troubles(balancer.answers)
    assert not [answer for answer in balancer.answers if answer.repeated]
    assert not [call for call in told if call["error"]]
    judge_tokens(told)
    assert {asked["status"] for asked in site.token_requests() if asked["at"] >= began} <= {200}
    judge_sign_ins(site, began, ended, len(checks(balancer.answers)))


def restart_web(site: Site, balancer: Balancer, name: str, url: str) -> None:
    drain, program = site.drain_file(name), site.programs[name]
    drain.touch()
    until(lambda: not balancer.ready[url], f"{name} out of service")
    time.sleep(1)  # what was handed to it the moment before
    program.stop()
    drain.unlink()
    program.start()
    until(lambda: balancer.ready[url], f"{name} back", seconds=60)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_site_lives_through_it(site: Site, fault: Fault) -> None:
    if site.shape.broker == "rabbitmq" and fault.part in ("postgres", "web-1"):
        pytest.skip("as with Redis: the broker has no part in it")
    before = facts(site)
    began = time.time()
    with Balancer(site.webs) as balancer, site.callers() as log, Traffic(site, balancer):
        do(site, fault)
        over = time.time()
        back = until(
            lambda: is_well(site, over), f"well after: {fault}", seconds=BACK_WITHIN_SECONDS, every=0.5
        )
        time.sleep(3)
    ended = time.time()
    told = calls(log, since=began)
    report(str(fault), balancer.answers, told, back)

    assert not site.ended()
    judge_tokens(told)
    # All of it is well again at the end, for everybody, though nobody restarted anything else.
    assert all(answer.good for answer in balancer.answers if answer.at > over + back), troubles(
        [answer for answer in balancer.answers if answer.at > over + back]
    )
    assert not [call for call in told if call["at"] > over + back and call["error"]]
    # Nobody was let hang: what could not be had was refused in time.
    assert max(answer.seconds for answer in balancer.answers) < 25
    assert max(call["seconds"] for call in told) < 25
    judge_sign_ins(site, began, ended, len(checks(balancer.answers)))
    judge_rows(site, before, began, balancer.answers)


def is_well(site: Site, over: float) -> bool:
    """Every host ready, the scheduler at work since, no claim that lapsed, nothing overdue or failing."""
    with contextlib.suppress(requests.RequestException, psycopg.OperationalError):
        return all(site.ready(url)["ready"] for url in site.webs) and bool(site.rows(IS_WELL, over)[0][0])
    return False


def facts(site: Site) -> Facts:
    def count(table: str) -> int:
        return int(site.rows(f"SELECT count(*) FROM sf_integration_{table}")[0][0])

    return Facts(count("connectedapp"), count("accesstoken"), count("auditevent"), count("connectioncheck"))


def judge_rows(site: Site, before: Facts, began: float, answers: list[Answer]) -> None:
    """Nothing that was stored is gone, and what was answered with “yes” stands there."""
    after = facts(site)
    assert after.connections == before.connections
    assert after.tokens >= before.tokens
    checked = sum(answer.good for answer in checks(answers))
    assert after.checks >= before.checks + checked
    assert after.audit >= before.audit + checked
    taken = site.rows(
        "SELECT count(DISTINCT subject_id) FROM sf_integration_auditevent"
        " WHERE act = 'took token' AND at >= date_trunc('minute', to_timestamp(%s))",
        began,
    )
    assert taken[0][0] == len(site.names)


def checks(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.path.endswith("/check/")]


def judge_tokens(told: list[dict[str, Any]]) -> None:
    """Each connection's callers had tokens of one user, its own, and none past its end."""
    users = defaultdict(set)
    for call in told:
        if not call["error"]:
            users[call["name"]].add(call["of"])
            assert call["left"] > 0, call
    assert all(len(of) == 1 for of in users.values()), users
    assert len(set.union(*users.values())) == len(users)


def judge_sign_ins(site: Site, began: float, ended: float, pressed: int) -> None:
    """No more than the tokens' lives explain, one for a claim whose holder was lost, and those by the button."""
    counted = Counter(asked["user"] for asked in site.token_requests() if began <= asked["at"] <= ended)
    for user, count in counted.items():
        by_button = pressed if user.startswith(site.names[0]) else 0
        assert count <= (ended - began) / SOONEST_RENEWAL_SECONDS + 2 + by_button, (
            user,
            count,
            ended - began,
        )


def report(what: str, answers: list[Answer], told: list[dict[str, Any]], back: float) -> None:
    pages = Counter((answer.method, answer.status) for answer in answers)
    errors = Counter(call["error"] for call in told)
    print(
        f"\n{what}: well {back:.1f} s after its end; "
        f"slowest answer {max(answer.seconds for answer in answers):.1f} s, slowest get_token "
        f"{max(call['seconds'] for call in told):.1f} s\n"
        f"  over HTTP: {_counted(pages)}; repeated GETs: {sum(answer.repeated for answer in answers)}\n"
        f"  get_token: {_counted(errors)}"
    )
    for line in troubles(answers):
        print(f"    {line}")
    said = Counter((call["error"], call["said"][:120]) for call in told if call["error"])
    for (error, text), count in said.most_common(5):
        print(f"    {count} x {error}: {text!r}")


def troubles(answers: list[Answer]) -> list[str]:
    kinds = Counter(
        (answer.method, "/".join(answer.path.split("/")[:3]), answer.status, answer.text[:110])
        for answer in answers
        if not answer.good
    )
    return [
        f"{count} x {method} {path}: {status} {text!r}"
        for (method, path, status, text), count in kinds.most_common(8)
    ]


def _counted(counter: Counter[Any]) -> str:
    return ", ".join(f"{count} x {what or 'good'}" for what, count in sorted(counter.items(), key=str))

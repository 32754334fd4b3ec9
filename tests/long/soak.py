"""Half an hour of 200 calls a second over 1,000 connections, while parts fail at random: `make soak`, `make soak MINUTES=5`.

Orgs, callers, workers and beats are processes of their own, on a new database of DATABASE_URL's PostgreSQL and a Redis of
its own. SEED draws other trouble. The report goes to standard output and to var/soak.md.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from benchmarks.bench import environment
from benchmarks.processes import Remote, Worker

from . import soak_callers, soak_judge, soak_orgs, soak_site
from .programs import ROOT, Program, Redis, family, until
from .soak_faults import Trouble
from .soak_site import Wanted

MINUTES = float(os.environ.get("MINUTES") or 30)
SEED = int(os.environ.get("SEED") or 1)
STAND_IN = "stand-in orgs"
CONNECTIONS = int(os.environ.get("CONNECTIONS") or 1000)
PER_SECOND = 200
ORGS = 5
TOKEN_SECONDS = 120.0
BEAT_SECONDS = 10
WARM_UPS = 10
"""How often all tokens are due at once at the beginning: memory is judged when each worker has met its largest batch."""
SETTLED_AFTER_SECONDS = 300.0
SAMPLE_SECONDS = 10.0
JUDGED_FROM_MINUTES = 15
"""A shorter run tells the memory, but does not judge it."""
POSTGRES_URL = "postgres://postgres@127.0.0.1:5432/postgres"


@contextmanager
def new_database() -> Iterator[str]:
    url = os.environ.get("DATABASE_URL") or POSTGRES_URL
    server, name = urlsplit(url)._replace(path="/postgres").geturl(), f"sf_soak_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True, connect_timeout=3) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(server, autocommit=True, connect_timeout=3) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@dataclass
class Site:
    folder: Path
    stack: ExitStack
    names: list[str]
    orgs: Remote = field(init=False)
    facts: list[soak_orgs.OrgFacts] = field(init=False)
    environment: dict[str, str] = field(init=False)
    editor: Worker = field(init=False)
    callers: list[Worker] = field(init=False)
    programs: dict[str, Program] = field(default_factory=dict)
    rotating: dict[str, tuple[int, str]] = field(default_factory=dict)
    samples: dict[tuple[str, int], list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def journal(self) -> Path:
        return self.folder / "sign-ins"

    @property
    def notes(self) -> list[Path]:
        return [self.folder / f"notes-{number}" for number in range(2)]

    @property
    def restless(self) -> list[str]:
        """A tenth: these are edited and paused."""
        return [name for name in self.names if number_of(name) % 10 == 0]

    def start(self) -> None:
        by_org = [[user_of(name) for name in self.names if org_of(name) == org] for org in range(ORGS)]
        self.journal.touch()
        self.orgs = self.stack.enter_context(
            Remote(soak_orgs.main, ORGS, by_org, str(self.journal), TOKEN_SECONDS)
        )
        self.facts = self.ask(soak_orgs.facts)
        broker = Redis(self.folder)
        database = self.stack.enter_context(new_database())
        self.environment = dict(os.environ) | environment(self.folder, database)
        self.environment |= {
            "CELERY_BROKER_URL": broker.url,
            "SF_ALLOWED_HOSTS": ",".join(urlsplit(org.url).netloc for org in self.facts),
        }
        self.editor = self.stack.enter_context(Worker(self.environment))
        self.editor.call(soak_site.prepare, self.wanted(), BEAT_SECONDS)
        self.run("redis", broker)
        until(broker.is_up, "Redis")
        for number in (1, 2):
            self.run_celery(f"worker-{number}", "worker", "-c", "2", "-n", f"soak{number}@localhost")
            self.run_celery(
                f"beat-{number}", "beat", "--pidfile", "", "-s", str(self.folder / f"beat{number}"),
                *("--max-interval", "5"),
            )  # fmt: skip
        self.callers = [self.stack.enter_context(Worker(self.environment)) for _ in self.notes]

    def wanted(self) -> list[Wanted]:
        """Two in a hundred have an app, and so a signing key, of their own."""
        found = []
        for name in self.names:
            org = self.facts[org_of(name)]
            app = (org.consumer_key, org.private_key_pem, org.certificate_pem)
            if number_of(name) % 50 == 7:
                app = self.ask(soak_orgs.add_app, org_of(name))
                self.rotating[name] = (org_of(name), app[0])
            found.append(Wanted(name, user_of(name), org, *app))
        return found

    def run_celery(self, name: str, *command: str) -> None:
        full = (sys.executable, "-m", "celery", "-A", "sfjwt_site", *command, "-l", "warning")
        self.run(name, Program(name, full, self.folder / f"{name}.log", self.environment))

    def run(self, name: str, program: Program) -> None:
        program.start()
        self.stack.callback(program.end)
        self.programs[name] = program

    def ask(self, function: Any, *arguments: Any) -> Any:
        return self.orgs.ask((function, arguments, {}))

    def begin_calls(self) -> None:
        for number, (caller, notes) in enumerate(zip(self.callers, self.notes, strict=True)):
            notes.touch()
            caller.call(
                soak_callers.begin,
                *(self.names, set(self.restless), PER_SECOND / 2, str(notes), SEED + number),
            )

    def lasting(self) -> dict[str, int]:
        """Process ids of those that nobody kills."""
        found = {f"caller {number}": caller.call(os.getpid) for number, caller in enumerate(self.callers, 1)}
        return found | {STAND_IN: self.ask(soak_orgs.process_id)}

    def sample_memory(self, lasting: dict[str, int], stop: threading.Event) -> None:
        """Of our own processes; those that are killed come and go."""
        every = min(SAMPLE_SECONDS, MINUTES)
        while not stop.wait(every):
            now = time.time()
            pids = list(lasting.items())
            for name, program in self.programs.items():
                if name != "redis" and program.runs():
                    pids += [(name, pid) for pid in family(program.pid)]
            for name, pid in pids:
                size = resident(pid)
                if size:
                    self.samples[name, pid].append((now, size))


def resident(pid: int) -> int:
    """Kilobytes; 0 for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(found[0]) if found else 0


def org_of(name: str) -> int:
    return int(name[1])


def number_of(name: str) -> int:
    return int(name.partition("-")[2])


def user_of(name: str) -> str:
    return f"{name}.0@soak.example"


def lines_of(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    each = CONNECTIONS // ORGS
    names = [f"c{org}-{number:03}" for org in range(ORGS) for number in range(each)]
    with ExitStack() as stack:
        made = Site(tmp_path, stack, names)
        made.start()
        yield made


def test_soak(site: Site) -> None:
    stop = threading.Event()
    site.begin_calls()
    sampling = threading.Thread(target=site.sample_memory, args=(site.lasting(), stop), daemon=True)
    sampling.start()
    began = time.time()
    for _ in range(WARM_UPS if MINUTES >= JUDGED_FROM_MINUTES else 0):
        site.editor.call(soak_site.make_all_due)
        time.sleep(BEAT_SECONDS)
    trouble = Trouble(
        orgs=site.orgs,
        facts=site.facts,
        editor=site.editor,
        programs=site.programs,
        usernames={name: user_of(name) for name in site.restless},
        rotating=site.rotating,
        away_seconds=min(60, MINUTES * 60 / 6),
        seed=SEED,
    )
    trouble.make(MINUTES * 60 - (time.time() - began))
    ended = time.time()
    reports = [caller.call(soak_callers.end) for caller in site.callers]
    stop.set()
    sampling.join()
    for name, program in site.programs.items():
        if name != "redis" and program.runs():
            program.stop()

    notes = lines_of(*site.notes)
    counts, times = (
        Counter(reports[0][0]) + Counter(reports[1][0]),
        Counter(reports[0][1]) + Counter(reports[1][1]),
    )
    wrong = soak_judge.wrong_tokens(notes, trouble.voids)
    met = soak_judge.errors(notes)
    balance = soak_judge.balance(lines_of(site.journal), site.editor.call(soak_site.sign_ins))
    assert balance.granted == site.ask(soak_orgs.logins)
    settled = min(SETTLED_AFTER_SECONDS, (ended - began) / 3)
    memory = soak_judge.memory(
        site.samples, since=began + settled, until=ended, window=min(60, (ended - began) / 6)
    )
    staged = site.editor.call(soak_site.still_staged)
    for at, user in balance.unexplained(trouble.kills):
        print(
            f"Lost without a reason: {user}, {at}:", *site.editor.call(soak_site.around, user, at), sep="\n  "
        )
    tell(
        seconds=ended - began,
        counts=counts,
        times=times,
        wrong=wrong,
        met=met,
        balance=balance,
        memory=memory,
        trouble=trouble,
        staged=staged,
        with_token=site.editor.call(soak_site.with_token),
        refused=site.editor.call(soak_site.refused),
    )

    assert sum(times.values()) >= 0.95 * PER_SECOND * (ended - began)
    assert wrong == []
    assert soak_judge.unforeseen(met) == []
    assert balance.from_nowhere == 0
    assert balance.unexplained(trouble.kills) == []
    if MINUTES >= JUDGED_FROM_MINUTES:
        # The stand-in keeps the last thousands of requests of each org, so it grows until it has them.
        assert [each for each in memory if each.name != STAND_IN and not each.is_flat] == []


def tell(**found: Any) -> None:
    """On standard output, and where the docs can take it from."""
    text = "\n".join(report(**found)) + "\n"
    print(f"\n{text}")
    (ROOT / "var").mkdir(mode=0o700, exist_ok=True)
    (ROOT / "var" / "soak.md").write_text(text)


def report(
    *,
    seconds: float,
    counts: Counter[str],
    times: Counter[int],
    wrong: list[Any],
    met: Counter[tuple[str, str]],
    balance: soak_judge.Balance,
    memory: list[soak_judge.Memory],
    trouble: Trouble,
    staged: list[str],
    with_token: tuple[int, int],
    refused: dict[str, int],
) -> Iterator[str]:
    calls = sum(times.values())
    yield f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} cores, Python {platform.python_version()}, seed {SEED}"
    yield ""
    yield "| what | |"
    yield "| --- | --- |"
    yield f"| duration | {seconds / 60:.1f} min |"
    yield f"| connections, orgs | {CONNECTIONS:,}, {ORGS} |"
    yield f"| `get_token` | {calls:,}, {calls / seconds:.0f}/s |"
    for share in (0.5, 0.99):
        yield f"| p{share * 100:.0f} of `get_token` | {soak_judge.share_of_time(times, share) * 1000:.2f} ms |"
    yield f"| tokens that the org was asked about | {counts['looked at']:,} |"
    yield f"| queries | {counts['queries']:,} |"
    yield f"| tokens reported as refused | {counts['reported']:,} |"
    yield f"| wrong tokens | {len(wrong)} |"
    for note in wrong[:5]:
        yield f"| | {dict(note)} |"
    yield f"| errors that callers met | {met.total():,} |"
    yield f"| sign-ins granted by the orgs | {balance.granted:,} |"
    yield f"| tokens stored | {balance.stored:,} |"
    yield f"| granted, but spoiled on the way | {balance.spoiled:,} |"
    yield f"| lost with a killed worker | {len(balance.lost) - len(balance.unexplained(trouble.kills))} |"
    yield f"| lost without a reason | {len(balance.unexplained(trouble.kills))} |"
    yield f"| tokens stored from nowhere | {balance.from_nowhere} |"
    yield f"| signing keys staged, still so at the end | {trouble.done['signing key staged']}, {len(staged)} |"
    yield f"| connections with a token at the end | {with_token[0]} of {with_token[1]} |"
    yield from table("trouble", "times", sorted(trouble.done.items()))
    yield from table(
        "error of callers", "times", [(f"{k} `{code}`", n) for (k, code), n in met.most_common()]
    )
    yield from table("sign-in refused", "times", sorted(refused.items()))
    yield ""
    yield "| process | MB from the fifth minute on, each five minutes and at the end | growth |"
    yield "| --- | --- | --- |"
    for each in memory:
        yield f"| {each.name} | {', '.join(f'{size:.1f}' for size in each.minutes)} | {each.growth:+.1%} |"


def table(what: str, how_many: str, rows: list[tuple[str, int]]) -> Iterator[str]:
    yield ""
    yield f"| {what} | {how_many} |"
    yield "| --- | --- |"
    for name, count in rows:
        yield f"| {name} | {count:,} |"

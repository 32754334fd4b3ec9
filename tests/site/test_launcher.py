"""`make run` in a copy of the tree, with ports of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from sfjwt_site.run.__main__ import free_port, private_folder, stand_in_entry, wanted_port
from sfjwt_site.run.bootstrap import runs
from sfjwt_site.run.env_file import replace_allowed_host, write_first
from sfjwt_site.run.processes import Children, Kept, StartError, put_aside

ROOT = Path(__file__).parents[2]
START_SECONDS = 90


@dataclass
class Site:
    """A copy of the tree, and what runs in it."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PORT": str(self.port)}

    def start(self) -> subprocess.Popen[str]:
        """`make run` in a process group of its own, once it says that it is ready."""
        output = self.folder / "output"
        with output.open("w") as file:
            process = subprocess.Popen(
                ["make", "run"],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while "Ready after" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        return process

    def run_again(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """A start that is expected to refuse."""
        return subprocess.run(
            [sys.executable, "-m", "sfjwt_site.run"],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def processes(self) -> list[str]:
        """Command lines of all that works in this folder."""
        return [line for _, line in self.numbered_processes()]

    def numbered_processes(self) -> list[tuple[int, str]]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and (entry / "cwd").resolve() == self.folder:
                    found.append((int(entry.name), (entry / "cmdline").read_text().replace("\0", " ")))
            except OSError:
                continue  # it ended meanwhile, or isn't ours
        return found

    def wait_until_nothing_runs(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []

    def kill(self, word: str) -> None:
        """KILL the oldest process here with this word in its command line."""
        found = [pid for pid, line in self.numbered_processes() if word in line]
        os.kill(min(found), signal.SIGKILL)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def state_of_demo(self) -> str:
        listed = json.loads(self.manage("salesforce", "list", "--json").stdout)
        return {row["name"]: row["state"] for row in listed}["demo"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A clean clone as far as the launcher can tell, with the packages of this environment."""
    folder = (tmp_path / "clone").resolve()
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".env", "var", "__pycache__", ".*_cache", "tests", "docs"
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (folder / ".venv" / "run").touch()
    site = Site(folder, free_port())
    yield site
    for pid in [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal()]:
        try:
            if (Path("/proc") / pid / "cwd").resolve() == folder:
                os.kill(int(pid), signal.SIGKILL)
        except OSError:
            continue


@pytest.mark.long
def test_first_start_second_start_and_stop(site: Site) -> None:
    first = site.start()

    said = (site.folder / "output").read_text()
    assert f"http://127.0.0.1:{site.port}/" in said
    password = re.search(r"Sign in as admin with the password (\S+)", said)
    assert password, said
    assert "Sign in" in site.get("/")
    assert site.state_of_demo() == "Healthy"
    assert stat.S_IMODE((site.folder / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((site.folder / "var").stat().st_mode) == 0o700
    for log in (site.folder / "var" / "log").iterdir():
        assert password[1] not in log.read_text(), log

    beside = site.run_again()
    assert beside.returncode == 1
    assert f"already running at http://127.0.0.1:{site.port}/" in beside.stderr
    assert first.poll() is None

    os.killpg(first.pid, signal.SIGTERM)
    first.wait(10)
    site.wait_until_nothing_runs(10)

    # Next time the stand-in's port is somebody else's: `demo` follows it.
    env = site.folder / ".env"
    taken = int(re.search(r"^SF_ALLOWED_HOSTS=127.0.0.1:(\d+)$", env.read_text(), re.MULTILINE)[1])
    with socket() as other:
        other.bind(("127.0.0.1", taken))
        other.listen()
        second = site.start()
        assert f"SF_ALLOWED_HOSTS=127.0.0.1:{taken}" not in env.read_text()
        assert site.state_of_demo() == "Healthy"
    assert "password " + password[1] not in (site.folder / "output").read_text()

    # Nobody can clean up after a KILL, and still nothing stays.
    launcher = next(int(p.name) for p in Path("/proc").iterdir() if is_launcher(p, site.folder))
    os.kill(launcher, signal.SIGKILL)
    second.wait(10)
    site.wait_until_nothing_runs(10)


def is_launcher(process: Path, folder: Path) -> bool:
    try:
        command = (process / "cmdline").read_text()
        return command.endswith("-m\0sfjwt_site.run\0") and (process / "cwd").resolve() == folder
    except OSError:
        return False


@pytest.mark.long
def test_dying_stand_in_comes_back_deleted_demo_does_not_and_other_deaths_end_all(site: Site) -> None:
    os.killpg(site.start().pid, signal.SIGINT)
    site.wait_until_nothing_runs(10)
    with sqlite3.connect(site.folder / "var" / "db.sqlite3") as database:
        database.execute("DELETE FROM sf_integration_accesstoken")
        database.execute("DELETE FROM sf_integration_connectioncheck")
        database.execute("DELETE FROM sf_integration_connectedapp")
    database.close()

    running = site.start()
    assert json.loads(site.manage("salesforce", "list", "--json").stdout) == []

    port = re.search(r"^SF_ALLOWED_HOSTS=127.0.0.1:(\d+)$", (site.folder / ".env").read_text(), re.MULTILINE)
    control = f"http://127.0.0.1:{port[1]}/stand-in"
    told = urllib.request.Request(control, b'{"active": false}', method="PATCH")
    before = json.loads(urllib.request.urlopen(told, timeout=10).read())
    site.kill("fake_salesforce")
    after = wait_for_json(control, seconds=20)
    assert (before["settings"]["active"], after["settings"]["active"]) == (False, True)
    assert before["org"] == after["org"]
    said = (site.folder / "output").read_text().splitlines()[-1]
    assert said == "stand-in ended with status -9 and is started again, as it was at first."
    assert "Sign in" in site.get("/")

    site.kill("gunicorn")
    assert running.wait(15) != 0
    assert "web ended" in (site.folder / "output").read_text()
    site.wait_until_nothing_runs(10)


def wait_for_json(url: str, seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """`Children` leaves them ignored, as its process ends then. Processes of later tests would inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_as_before")
def test_child_that_keeps_dying_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    told: list[str] = []
    with Children(folder=tmp_path, log_folder=tmp_path, environment={}) as children:
        start = partial(children.start, "stand-in", "-c", "raise SystemExit('no port')")
        kept = Kept(start(), start)
        for now in (0.0, 50.0, 70.0, 80.0, 1000.0):
            kept.child.popen.wait()
            told.append(kept.look_after(now))
    again = "stand-in ended with status 1 and is started again, as it was at first."
    assert told[:3] == [again, again, again]  # the first is a minute ago by then
    assert "no port" in told[3]
    assert "3 times within a minute" in told[3]
    assert told[4] == ""


def test_a_log_that_grew_is_put_aside_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with log.open("a") as program:
        program.write("x" * 20)
        program.flush()
        put_aside(tmp_path, largest=20)
        assert log.stat().st_size == 20
        put_aside(tmp_path, largest=19)
        program.write("more")
    assert log.read_text() == "more"
    assert (tmp_path / "web.log.1").read_text() == "x" * 20


def test_a_log_that_can_not_be_put_aside_goes_on_as_it_is(tmp_path: Path) -> None:
    """As on a full disk."""
    (tmp_path / "web.log").write_text("x" * 20)
    (tmp_path / "web.log.1").mkdir()
    put_aside(tmp_path, largest=19)
    assert (tmp_path / "web.log").read_text() == "x" * 20


def test_port_in_use_is_one_sentence_and_nothing_starts(site: Site) -> None:
    with socket() as other:
        other.bind(("127.0.0.1", site.port))
        other.listen()
        finished = site.run_again()
    assert finished.returncode == 1
    assert finished.stderr.strip().startswith(f"make run: port {site.port} is in use")
    assert len(finished.stderr.strip().splitlines()) == 1
    assert not (site.folder / ".env").exists()


def test_failing_start_shows_the_end_of_the_log(site: Site) -> None:
    finished = site.run_again(DATABASE_URL="postgres://nobody@127.0.0.1:1/none")
    assert finished.returncode == 1
    assert "prepare ended with status 1" in finished.stderr
    assert "Connection refused" in finished.stderr
    site.wait_until_nothing_runs(10)


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "80 80"])
def test_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(StartError, match="not a port number"):
        wanted_port(text)


def test_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"can't write in .*file"):
        private_folder(tmp_path / "file")


@pytest.mark.parametrize(
    ("allowed", "entry"),
    [
        ("127.0.0.1:8100", "127.0.0.1:8100"),
        ("sf.example:443, 127.0.0.1:9", "127.0.0.1:9"),
        ("sf.example:443", None),
        ("127.0.0.1", None),
        ("", None),
    ],
)
def test_stand_in_is_the_first_loopback_entry(allowed: str, entry: str | None) -> None:
    assert stand_in_entry(allowed) == entry


def test_env_file_is_private_has_fresh_keys_and_is_never_overwritten(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        write_first(tmp_path / name, site_url="http://127.0.0.1:1", stand_in_host="127.0.0.1:2")
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        texts.append((tmp_path / name).read_text())
    keys = [re.findall(r"^(?:SECRET_KEY|SF_ENCRYPTION_KEYS)=(.+)$", text, re.MULTILINE) for text in texts]
    assert len(set(keys[0] + keys[1])) == 4
    with pytest.raises(FileExistsError):
        write_first(tmp_path / "one", site_url="", stand_in_host="")


def test_only_the_stand_ins_entry_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# by 127.0.0.1:81\nSF_ALLOWED_HOSTS=127.0.0.1:81,127.0.0.1:8100,sf.example:443\nDEBUG=off\n"
    )
    replace_allowed_host(path, "127.0.0.1:81", "127.0.0.1:9")
    assert path.read_text().splitlines() == [
        "# by 127.0.0.1:81",
        "SF_ALLOWED_HOSTS=127.0.0.1:9,127.0.0.1:8100,sf.example:443",
        "DEBUG=off",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def bootstrap(folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap.py as the system's Python would, after the statements `before`."""
    script = ROOT / "sfjwt_site" / "run" / "bootstrap.py"
    program = "; ".join(
        (*before, "import runpy, sys", f"sys.argv[:] = ['', {str(folder / '.venv' / 'run')!r}]")
    )
    program += f"; runpy.run_path({str(script)!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=folder
    )


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        ("import sys; sys.version_info = (3, 10)", "Python 3.10 is too old"),
        ("import sys; sys.modules['ensurepip'] = None", "apt install python3-venv"),
        ("import os; os.access = lambda path, mode: False", "can't write in"),
    ],
)
def test_machine_that_lacks_something_is_told_in_one_sentence(
    tmp_path: Path, before: str, sentence: str
) -> None:
    finished = bootstrap(tmp_path, before)
    assert finished.returncode == 1
    assert sentence in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_environment_that_does_not_run_is_seen(tmp_path: Path) -> None:
    assert runs(Path(sys.executable))
    assert not runs(tmp_path / "bin" / "python")


def test_make_alone_lists_the_verbs() -> None:
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True).stdout
    assert {"run", "test", "check", "bench", "format"} <= set(re.findall(r"^make (\w+)", said, re.MULTILINE))

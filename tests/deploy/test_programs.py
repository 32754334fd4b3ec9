"""The files of docs/deploy, the Procfile and the Containerfile: what they tell to run starts, works and ends in time."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from sfjwt_site.run.__main__ import free_port
from tests.deploy.programs import answers, finish, running
from tests.deploy.unit_files import DEPLOY, HOME, ROOT, SHARED, UNITS, Host, Unit, procfile, unit_names

pytestmark = pytest.mark.once

THROUGH_PROXY = {"X-Forwarded-Proto": "https", "Host": "connections.example"}
SECRETS = {"SECRET_KEY": secrets.token_urlsafe(50), "SF_ENCRYPTION_KEYS": secrets.token_urlsafe(32)}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One box: SQLite and message files, in the credentials as PostgreSQL and a broker would be."""
    var, credentials = tmp_path / "var", tmp_path / "credentials"
    credentials.mkdir()
    given = {
        "secret_key": SECRETS["SECRET_KEY"],
        "encryption_keys": SECRETS["SF_ENCRYPTION_KEYS"],
        "database_url": f"sqlite:///{var}/db.sqlite3",
        "broker_url": "filesystem://localhost",
        "cache_url": "locmemcache://",
    }
    for name, value in given.items():
        (credentials / name).write_text(f"{value}\n")
    return Host(Path(sys.prefix), var, credentials)


# ---- systemd --------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_services_start_and_end_as_their_units_say(host: Host, tmp_path: Path) -> None:
    web, worker, beat, release = (
        Unit.read(f"sf-connections-{name}.service") for name in ("web", "worker@", "beat", "release")
    )
    environment = host.environment(web)
    for line in release.all("ExecStart"):
        finish(host.command(line), environment, folder=ROOT)

    with ExitStack() as stack:
        port, notified = _web_of_systemd(stack, host, web, tmp_path)
        at = f"http://127.0.0.1:{port}"
        others = [
            stack.enter_context(
                running(host.command(unit.one("ExecStart")), environment, tmp_path / unit.name, folder=ROOT)
            )
            for unit in (worker, beat)
        ]
        assert b"READY=1" in notified.recv(1000)
        assert requests.get(f"{at}/readyz", timeout=10).json()["problems"] == []
        page = requests.get(f"{at}/login/", headers=THROUGH_PROXY, timeout=10)
        assert page.status_code == 200
        assert page.headers["Strict-Transport-Security"]
        style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
        assert style
        assert answers(at + style[1], **THROUGH_PROXY)
        for program, line in zip(others, ("ready.", "beat: Starting"), strict=True):
            program.wait_for_line(line)
            program.stop(_seconds(worker))


def _web_of_systemd(stack: ExitStack, host: Host, web: Unit, folder: Path) -> tuple[int, socket.socket]:
    """gunicorn as systemd starts, reloads and at the end stops it; its port, and what it notifies."""
    listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=16))
    port = listening.getsockname()[1]
    notified = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    notified.settimeout(60)
    notified.bind(str(folder / "notify"))
    environment = host.environment(web) | {"NOTIFY_SOCKET": str(folder / "notify")}
    program = stack.enter_context(
        running(
            host.command(web.one("ExecStart")),
            environment,
            folder / "web",
            folder=ROOT,
            inherited=listening,
        )
    )

    def reload_and_stop() -> None:
        assert "kill -HUP $MAINPID" in web.one("ExecReload")
        program.popen.send_signal(signal.SIGHUP)
        program.wait_for_line("Hang up")
        assert answers(f"http://127.0.0.1:{port}/healthz")
        program.stop(_seconds(web))
        # The socket is still held: who comes now waits for the next gunicorn.
        socket.create_connection(("127.0.0.1", port), 2).close()

    stack.callback(reload_and_stop)
    return port, notified


def _seconds(unit: Unit) -> float:
    return float(unit.one("TimeoutStopSec"))


def test_web_gets_longer_to_end_than_its_requests() -> None:
    web = Unit.read("sf-connections-web.service")
    graceful = re.search(r"--graceful-timeout (\d+)", web.one("ExecStart"))
    assert graceful
    assert _seconds(web) > int(graceful[1])
    assert Unit.read("sf-connections-web.socket").one("ListenStream") in web.one("ExecStart")


def test_timer_asks_for_a_round_of_alarms(host: Host) -> None:
    """As far as the command's own parser: what a round does, the tests of alarms show."""
    from sf_integration.management.commands.salesforce import Command

    words = host.command(Unit.read("sf-connections-alarms.service").one("ExecStart"))
    assert words[1:3] == ["manage.py", "salesforce"]
    options = Command().create_parser("manage.py", "salesforce").parse_args(words[3:])
    assert (options.verb, options.send) == ("alarms", True)


@pytest.mark.parametrize("name", [name for name in unit_names() if name.endswith(".service")])
def test_secrets_come_as_files_that_only_the_service_sees(name: str) -> None:
    unit = Unit.read(name)
    loaded = {line.partition(":")[0] for line in unit.all("LoadCredential")}
    named = {word for line in unit.all("Environment") for word in re.findall(r"=%d/(\w+)", line)}
    assert named == loaded >= {"secret_key", "encryption_keys", "database_url"}
    plain = re.findall(r"^(\w+)=", (DEPLOY / "environment.example").read_text(), re.MULTILINE)
    assert not [
        entry for entry in plain if re.search("KEY|URL$|TOKEN|PASSWORD", entry) and entry != "SITE_URL"
    ]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_understands_every_unit_and_calls_the_services_well_kept(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder, ignore=shutil.ignore_patterns("sysusers.conf"))
    for path in [*folder.glob("*.service"), folder / SHARED.relative_to(UNITS)]:
        # Only whether a program is there depends on the machine.
        path.write_text(path.read_text().replace(f"{HOME}/.venv", sys.prefix))
    units = [str(folder / name.replace("@.", "@1.")) for name in unit_names()]
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in (found.stdout + found.stderr).splitlines() if "sf-connections" in line]
    assert ours == []

    judged = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=yes",
            "--threshold=20",
            str(folder / "sf-connections-web.service"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-200:]


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx here")
def test_nginx_understands_its_example(tmp_path: Path) -> None:
    from sf_integration.testing.credentials import make_key_and_certificate

    key, certificate = make_key_and_certificate("connections.example")
    (tmp_path / "privkey.pem").write_text(key)
    (tmp_path / "fullchain.pem").write_text(certificate)
    example = (DEPLOY / "nginx.conf").read_text().replace("/etc/ssl/connections.example", str(tmp_path))
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid; events {{}} http {{ {example} }}")
    tested = subprocess.run(
        ["nginx", "-t", "-e", f"{tmp_path}/errors", "-c", f"{tmp_path}/nginx.conf"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "syntax is ok" in tested.stderr, tested.stderr


# ---- Procfile and Containerfile -------------------------------------------------------------------------------------


@pytest.mark.long
def test_lines_of_the_procfile_start_and_end(tmp_path: Path) -> None:
    port = free_port()
    environment = SECRETS | {
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "PORT": str(port),
        "ENV_FILE": "",
        "VAR_DIR": str(tmp_path / "var"),
        "SITE_URL": "https://connections.example",
    }
    lines = procfile()
    assert set(lines) == {"release", "web", "worker", "beat"}
    finish(lines.pop("release"), environment, folder=ROOT)
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(running(line, environment, tmp_path / name, folder=ROOT))
            for name, line in lines.items()
        }
        started["web"].wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        started["worker"].wait_for_line("ready.")
        started["beat"].wait_for_line("beat: Starting")
        # What the image asks of itself, and of nothing else.
        refused = requests.get(f"http://127.0.0.1:{port}/healthz", headers={"Host": "192.0.2.21"}, timeout=10)
        assert refused.status_code == 400  # as docs/many-hosts.md warns whoever probes by address
        _, health = _container_lines("HEALTHCHECK")
        assert _is_healthy(health, port)
        for program in started.values():
            program.stop(30)
        assert not _is_healthy(health, port)


def _is_healthy(check: list[str], port: int) -> bool:
    words = [sys.executable, *(word.replace("8000", str(port)) for word in check[1:])]
    return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 0


def _container() -> list[str]:
    text = (ROOT / "Containerfile").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _container_lines(instruction: str) -> tuple[str, list[str]]:
    """The whole line, and the words of its JSON form."""
    (line,) = [line for line in _container() if line.startswith(f"{instruction} ")]
    return line, json.loads(line[line.index("[") :])


def test_container_runs_what_the_procfile_runs() -> None:
    _, command = _container_lines("CMD")
    web = procfile()["web"].partition("exec ")[2].split()
    assert [word for word in command if word not in ("--worker-tmp-dir", "/dev/shm")] == [
        word.replace("${PORT:-8000}", "8000") for word in web
    ]


def test_container_takes_in_the_program_and_nothing_else() -> None:
    copied = [line.split()[1] for line in _container() if line.startswith("COPY ") and "--from" not in line]
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    assert not let_in & {".", ".env", "var", ".git", "docs", "tests"}


def test_container_is_of_nobody_and_keeps_no_secret() -> None:
    lines = _container()
    last_stage = lines[max(place for place, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line.split()[1] for line in last_stage if line.startswith("USER ")]
    assert users == ["10001:10001"]
    assert not [line for line in lines if re.match("(ENV|ARG) .*(KEY|SECRET|PASSWORD|TOKEN)", line)]
    assert any("--require-hashes -r requirements.txt" in line for line in lines)
    assert "STOPSIGNAL SIGTERM" in last_stage


def test_steps_of_the_image_work_with_what_is_copied_alone(tmp_path: Path) -> None:
    """Each RUN of the last stage, in a folder that holds what COPY brings; who owns it, only an image shows."""
    folder, var = tmp_path / "image", tmp_path / "var"
    folder.mkdir()
    for line in _container():
        if line.startswith("COPY ") and "--from" not in line:
            _copy(ROOT / line.split()[1], folder)
    environment = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "ENV_FILE": "", "VAR_DIR": str(var)}
    steps = [line.removeprefix("RUN ") for line in _container() if line.startswith("RUN ")]
    assert [step.split()[0] for step in steps[:2]] == ["python3", "install"]
    for step in steps[2:]:
        finish(step, environment, folder=folder)
    assert (var / "static" / "staticfiles.json").is_file()
    assert not (var / "db.sqlite3").exists()


def _copy(source: Path, folder: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, folder)

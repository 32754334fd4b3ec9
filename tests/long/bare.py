"""README's two commands, and the wheel in a new site, on a Debian 12 with python3, python3-venv, make and nothing else.

    make bare                  needs root, debootstrap and the network; takes some minutes more than `make test`
    make bare ARGS=--no-suite  without `make test`

A Debian is made in memory, some 3 GB of it, with the mirror that apt uses here; the last commit of this tree is copied
in, and a plain user does the rest. What pip needs of this machine (its settings, its certificates) is handed in.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = "python3,python3-venv,make"
HOME = "/home/plain"
TREE = f"{HOME}/sf-connections"
READY_SECONDS = 300

SETTINGS = """
INSTALLED_APPS += ["sf_integration"]
SF_INTEGRATION = {{"ENCRYPTION_KEYS": ["{key}"]}}
"""
URLS = """
from django.urls import include
urlpatterns += [path("connections/", include("sf_integration.urls"))]
"""
GROUPS = """
from django.contrib.auth.models import Group
print(*Group.objects.order_by("name").values_list("name", flat=True), sep=", ")
"""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="make bare")
    parser.add_argument("--no-suite", action="store_true", help="without make test")
    parser.add_argument("--port", default="8000", help="of the pages")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bare-") as folder, in_memory(folder):
        bare = Bare(Path(folder))
        with timed("debootstrap"):
            bare.make()
        try_all(bare, options.port, suite=not options.no_suite)


@contextmanager
def in_memory(folder: str) -> Iterator[None]:
    """Also quicker: dpkg waits for no disk. What is mounted in the folder goes with it."""
    command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    try:
        yield
    finally:
        command("umount", "--lazy", folder)


def try_all(bare: Bare, port: str, *, suite: bool) -> None:
    with timed("make run, to the page, and Ctrl-C"):
        bare.run_and_stop(["make", "run", f"PORT={port}"], TREE, port, "/connections/")
    with timed("make run once more"):
        bare.run_and_stop(["make", "run", f"PORT={port}"], TREE, port, "/connections/")
    if suite:
        with timed("make test"):
            bare.run("make", "test", folder=TREE, show=True)
    with timed("the wheel in a new site"):
        new_site(bare, port)


def new_site(bare: Bare, port: str) -> None:
    """What docs/own-site.md says, from the wheel to the schedule."""
    bare.run("python3", "-m", "venv", "building", folder=HOME)
    bare.run("building/bin/pip", "install", "--quiet", "build", folder=HOME)
    bare.run(f"{HOME}/building/bin/python", "-m", "build", folder=TREE)
    (wheel,) = bare.path(f"{TREE}/dist").glob("*.whl")
    bare.run("python3", "-m", "venv", "site", folder=HOME)
    bare.run("site/bin/pip", "install", "--quiet", f"{TREE}/dist/{wheel.name}", folder=HOME)
    bare.run("site/bin/django-admin", "startproject", "acme", folder=HOME)

    site, python = f"{HOME}/acme", f"{HOME}/site/bin/python"
    append(bare.path(f"{site}/acme/settings.py"), SETTINGS.format(key=secrets.token_urlsafe(32)))
    append(bare.path(f"{site}/acme/urls.py"), URLS)
    bare.run(python, "manage.py", "migrate", "--verbosity", "0", folder=site)
    bare.run(python, "manage.py", "shell", "-c", GROUPS, folder=site, show=True)
    bare.run(python, "manage.py", "check", "--deploy", "--tag", "sf_integration", folder=site, show=True)
    serving = [python, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    bare.run_and_stop(serving, site, port, "/connections/")

    bare.run(f"{HOME}/site/bin/pip", "install", "--quiet", "django-celery-beat", folder=HOME)
    append(bare.path(f"{site}/acme/settings.py"), 'INSTALLED_APPS += ["django_celery_beat"]\n')
    bare.run(python, "manage.py", "migrate", "--verbosity", "0", folder=site)
    bare.run(python, "manage.py", "salesforce", "schedule", folder=site, show=True)


class Bare:
    """A Debian in a folder, and a plain user in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, inside: str) -> Path:
        return self.folder / inside.lstrip("/")

    def make(self) -> None:
        command(
            "debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", self.folder, mirror()
        )
        for file in ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt"):
            if Path(file).exists():
                self.path(file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, self.path(file))
        command("mount", "-t", "proc", "proc", self.path("proc"))
        command("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", self.path("dev/pts"))
        self.path("dev/shm").chmod(0o1777)  # where Celery's processes share semaphores
        command("chroot", self.folder, "useradd", "--create-home", "plain")
        command("git", "clone", "--quiet", ROOT, self.path(TREE))
        command("chroot", self.folder, "chown", "-R", "plain:", TREE)

    def command(self, arguments: Sequence[str], folder: str) -> list[str]:
        entering = 'cd "$0" && exec "$@"'
        return [
            *("/usr/sbin/chroot", "--userspec=plain:plain", str(self.folder)),
            *("sh", "-c", entering, folder, *arguments),
        ]

    def environment(self) -> Mapping[str, str]:
        """Of somebody who just signed in; and what pip needs to reach its index from here."""
        handed_in = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return {"HOME": HOME, "PATH": "/usr/local/bin:/usr/bin:/bin", "USER": "plain"} | handed_in

    def run(self, *arguments: str, folder: str, show: bool = False) -> None:
        ended = subprocess.Popen(
            self.command(arguments, folder),
            env=self.environment(),
            stdout=None if show else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said, _ = ended.communicate()
        if ended.returncode:
            sys.exit(f"{said or ''}\nbare: this failed: {' '.join(arguments)}")

    def run_and_stop(self, arguments: Sequence[str], folder: str, port: str, page: str) -> None:
        """Until the page answers; then Ctrl-C, as a terminal sends it to the whole process group."""
        started = time.monotonic()
        process = subprocess.Popen(
            self.command(arguments, folder), env=self.environment(), start_new_session=True
        )
        try:
            until_it_answers(process, f"http://127.0.0.1:{port}{page}")
            print(f"  the page answered after {time.monotonic() - started:.1f} s", flush=True)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            stopping = time.monotonic()
            process.wait(30)
        print(f"  stopped within {time.monotonic() - stopping:.1f} s", flush=True)


def until_it_answers(process: subprocess.Popen[bytes], address: str) -> None:
    """With the page for signing in, to which it sends strangers."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"bare: {address} never answered")
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                assert b'name="password"' in answer.read()
                return
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.2)


def mirror() -> str:
    """The one that apt uses on this machine."""
    told = command("apt-get", "indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages")
    return dict(line.split() for line in told.splitlines())["bookworm"]


def command(*arguments: str | Path) -> str:
    ended = subprocess.run([str(part) for part in arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{ended.stdout[-2000:]}{ended.stderr[-2000:]}\nbare: {arguments[0]} failed")
    return ended.stdout


def append(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


@contextmanager
def timed(what: str) -> Iterator[None]:
    print(f"{what} …", flush=True)
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("bare: needs root, for debootstrap and chroot.")
    if shutil.which("debootstrap") is None:
        sys.exit("bare: needs debootstrap (apt install debootstrap).")
    if "BARE_MOUNTS" not in os.environ:
        # Mounts of a namespace of its own end with this process, whatever ends it.
        os.execvpe(
            "unshare",
            ["unshare", "--mount", sys.executable, *sys.orig_argv[1:]],
            os.environ | {"BARE_MOUNTS": "own"},
        )
    main(sys.argv[1:])

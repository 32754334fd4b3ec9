"""The part of `make run` that needs Django: one process, because each start of Django costs most of a second.

Standard input: one line, what the stand-in org said when it was up (JSON); empty when there is none.
Standard output: one JSON object a line, `{"step", "seconds"}` for each thing done, at last a `Prepared`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True)
class Prepared:
    admin_password: str | None
    """Of the user `admin`, when it was made just now."""
    demo_state: str | None
    """State of the connection `demo`; None when there is none."""


class Steps:
    def __init__(self, output: TextIO) -> None:
        self._output = output

    def tell(self, event: dict[str, Any]) -> None:
        print(json.dumps(event), file=self._output, flush=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.tell({"step": name, "seconds": time.monotonic() - started})


def main() -> None:
    steps = Steps(sys.stdout)
    # Commands print too: that goes to the log.
    with contextlib.redirect_stdout(sys.stderr):
        with steps.step("Loading Django"):
            set_up_django()
        with steps.step("Database"):
            migrate()
        with steps.step("Static files"):
            collect_static_files()
        with steps.step("Sign-in"):
            password = make_first_user()
        said = sys.stdin.readline().strip()
        demo_state = None
        if said:
            with steps.step("Connection demo"):
                demo_state = follow_stand_in(json.loads(said))
        steps.tell(asdict(Prepared(admin_password=password, demo_state=demo_state)))


def set_up_django() -> None:
    import os

    import django

    from sfjwt_site.environment import load_env_file

    load_env_file()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sfjwt_site.settings")
    django.setup()


def migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=1)


def collect_static_files() -> None:
    """Collect and compress, unless nothing changed since the last time."""
    from django.conf import settings
    from django.core.management import call_command

    stamp = Path(settings.VAR_DIR) / "static.stamp"
    fingerprint = static_fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    stamp.write_text(fingerprint)


def static_fingerprint() -> str:
    """Changes when a static file of any app appears, goes or is written to."""
    from django.contrib.staticfiles.finders import get_finders

    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = Path(storage.path(path)).stat()
            digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def make_first_user() -> str | None:
    """Make the superuser `admin` when nobody can sign in yet, and return its password."""
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    if users.exists():
        return None
    password = secrets.token_urlsafe(12)
    users.create_superuser(username="admin", password=password)
    return password


def follow_stand_in(stand_in: dict[str, str]) -> str | None:
    """Make the connection `demo`, or point it at where the stand-in is now, and check it. Returns its state.

    One that an admin deleted isn't made again; what an admin changed stays, until the stand-in is another one.
    """
    from django.conf import settings

    from sf_integration.models import ConnectedApp

    last_made = Path(settings.VAR_DIR) / "demo.json"
    said = json.dumps(stand_in, sort_keys=True)
    was_made = last_made.exists()
    if was_made and not ConnectedApp.objects.filter(name="demo").exists():
        return None
    if not was_made or last_made.read_text() != said:
        import_demo(stand_in)
        last_made.write_text(said)
    return state_of_demo()


def import_demo(stand_in: dict[str, str]) -> None:
    from django.core.management import call_command

    names = ("consumer_key", "username", "key_file", "certificate_file")
    options = {"--login-url": stand_in["url"]} | {
        f"--{name.replace('_', '-')}": stand_in[name] for name in names
    }
    call_command("salesforce", "import", "demo", *chain.from_iterable(options.items()))


def state_of_demo() -> str:
    """As a check finds it. A sick demo is no reason not to start: its page says what is wrong."""
    from django.core.management import call_command

    answer = io.StringIO()
    with contextlib.suppress(Exception, SystemExit):
        call_command("salesforce", "check", "demo", "--json", stdout=answer)
    with contextlib.suppress(ValueError, KeyError):
        return str(json.loads(answer.getvalue())["state"])
    return "not checked"


if __name__ == "__main__":
    main()

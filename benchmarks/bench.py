"""One run: how thorough, on which databases, and the throw-away sites it makes."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from .databases import Database
from .processes import Worker
from .salesforce import Address

T = TypeVar("T")


def environment(folder: Path, database_url: str) -> dict[str, str]:
    """A site that reads nothing of the machine it runs on, with keys made on the spot."""
    return {
        "ENV_FILE": "",
        "VAR_DIR": str(folder),
        "DATABASE_URL": database_url,
        "CACHE_URL": "locmemcache://",
        "CELERY_BROKER_URL": "",
        "DJANGO_SETTINGS_MODULE": "sfjwt_site.settings",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SF_ENCRYPTION_KEYS": secrets.token_urlsafe(32),
        "SF_ALLOWED_ENVIRONMENTS": "",
        "SITE_URL": "http://127.0.0.1:8000",
        "DEBUG": "off",
    }


@dataclass
class Site:
    """A migrated database and what processes need to work on it."""

    environment: dict[str, str]
    _workers: ExitStack

    def worker(self) -> Worker:
        """A new process of this site, ended with it."""
        return self._workers.enter_context(Worker(self.environment))

    def workers(self, count: int) -> list[Worker]:
        return [self.worker() for _ in range(count)]


@dataclass
class Bench:
    quick: bool
    databases: tuple[Database, ...]
    say: Callable[[str], None] = print
    """Shows what is being done."""
    left_out: list[str] = field(default_factory=list)
    """What could not be measured here; each family of measures begins with none."""

    def either(self, full: T, quick: T) -> T:
        return quick if self.quick else full

    @contextmanager
    def site(self, database: Database, address: Address) -> Iterator[Site]:
        """A new site that may call this org; its processes end and its database goes with it."""
        with tempfile.TemporaryDirectory(prefix="sf-bench-") as name, ExitStack() as stack:
            folder = Path(name)
            url = stack.enter_context(database.new(folder))
            site = Site(environment(folder, url) | address.environment, stack)
            with Worker(site.environment) as worker:
                worker.call(migrate)
            yield site


def migrate() -> None:
    """In a worker: make the tables."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)

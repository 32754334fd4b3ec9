"""Databases of a test's own, on the kind of server that the tests run on."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from tests.conftest import database_url, has_postgres


@contextmanager
def another_database(folder: Path) -> Iterator[str]:
    """URL of an empty one, which is gone afterwards."""
    name = f"sf_deploy_{secrets.token_hex(6)}"
    if not has_postgres():
        yield f"sqlite:///{folder / name}.sqlite3"
        return
    subprocess.run(["createdb", name], env=libpq(), check=True)
    try:
        yield urlsplit(database_url())._replace(path=f"/{name}").geturl()
    finally:
        subprocess.run(["dropdb", "--force", name], env=libpq(), check=True)


def libpq(database: str = "") -> dict[str, str]:
    """The environment that PostgreSQL's own programs read."""
    found = settings.DATABASES["default"]
    return dict(os.environ) | {
        "PGHOST": found["HOST"],
        "PGPORT": str(found["PORT"] or 5432),
        "PGUSER": found["USER"],
        "PGPASSWORD": found["PASSWORD"],
        "PGDATABASE": database or found["NAME"],
    }

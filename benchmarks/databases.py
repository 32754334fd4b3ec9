"""The databases that a throw-away site may have, and their making and unmaking."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

POSTGRES_URL = "postgres://postgres@127.0.0.1:5432/postgres"


@dataclass(frozen=True)
class Database:
    name: str
    version: str
    url: str
    """Of the server for PostgreSQL, whose user may create databases; of nothing for SQLite."""
    most_connections: int

    @contextmanager
    def new(self, folder: Path) -> Iterator[str]:
        """DATABASE_URL of an empty database of its own, gone afterwards."""
        if self.name == "SQLite":
            yield f"sqlite:///{folder / 'db.sqlite3'}"
            return
        name = f"sf_bench_{os.getpid()}_{secrets.token_hex(3)}"
        _run(self.url, f"CREATE DATABASE {name}")
        try:
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            _run(self.url, f"DROP DATABASE {name} WITH (FORCE)")


SQLITE = Database("SQLite", sqlite3.sqlite_version, "", most_connections=10**6)


def postgres() -> Database | str:
    """The PostgreSQL of BENCH_POSTGRES_URL or of this machine, else why there is none."""
    url = os.environ.get("BENCH_POSTGRES_URL") or POSTGRES_URL
    try:
        with psycopg.connect(url, connect_timeout=3) as connection:
            [version] = connection.execute("SHOW server_version").fetchone() or [""]
            [most] = connection.execute("SHOW max_connections").fetchone() or ["0"]
    except psycopg.OperationalError:
        return "PostgreSQL: none answers; BENCH_POSTGRES_URL names one whose user may create databases"
    return Database("PostgreSQL", version.split()[0], url, int(most))


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
        connection.execute(statement.encode())

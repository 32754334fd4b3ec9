"""What a load balancer does: asks each host whether it is ready, hands requests to those in turn, goes on to the next when
one refuses the connection, and never repeats a POST that was sent."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import requests
from urllib3.exceptions import NewConnectionError

PROBE_EVERY_SECONDS = 0.5
PROBE_SECONDS = 2.0
NO_ANSWER = 0
"""In place of a status: cut, or none in time."""


@dataclass(frozen=True)
class Answer:
    at: float
    seconds: float
    method: str
    path: str
    host: str
    status: int
    text: str
    cookies: dict[str, str] = field(default_factory=dict)
    repeated: bool = False
    """A GET that another host had left unanswered."""

    @property
    def good(self) -> bool:
        return self.status in (200, 302)


class Balancer:
    def __init__(self, hosts: Sequence[str], *, timeout_seconds: float = 30) -> None:
        self.ready = dict.fromkeys(hosts, True)
        self.answers: list[Answer] = []
        self.timeout_seconds = timeout_seconds
        self._turn = itertools.count()
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._probe, args=(host,), daemon=True) for host in hosts]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join(PROBE_SECONDS + 1)

    def request(self, method: str, path: str, *, headers: Mapping[str, str] = {}, **body: object) -> Answer:
        began, repeated = time.time(), False
        status, text, last, cookies = NO_ANSWER, "no host", "", {}
        for host in self._in_turn():
            last = host
            try:
                # A connection for each request, as most balancers have it by default.
                found = requests.request(
                    method,
                    host + path,
                    headers={**headers, "Connection": "close"},
                    timeout=self.timeout_seconds,
                    allow_redirects=False,
                    **body,  # type: ignore[arg-type]
                )
                status, text, cookies = found.status_code, found.text, found.cookies.get_dict()
                break
            except requests.RequestException as error:
                text = f"{type(error).__name__}: {error}"
                if not _was_refused(error):
                    if method != "GET":
                        break
                    repeated = True
        answer = Answer(began, time.time() - began, method, path, last, status, text, cookies, repeated)
        self.answers.append(answer)
        return answer

    def _in_turn(self) -> list[str]:
        hosts = [host for host, ready in self.ready.items() if ready] or list(self.ready)
        first = next(self._turn) % len(hosts)
        return hosts[first:] + hosts[:first]

    def _probe(self, host: str) -> None:
        while not self._closed.wait(PROBE_EVERY_SECONDS):
            try:
                self.ready[host] = requests.get(f"{host}/readyz", timeout=PROBE_SECONDS).ok
            except requests.RequestException:
                self.ready[host] = False


def _was_refused(error: requests.RequestException) -> bool:
    """Nothing was sent: there was nobody to send it to."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)

"""Bulk jobs of one org: how far they have got, whose they are, and how many are kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar

from .. import ids

JOB_PREFIX, BATCH_PREFIX, RESULT_PREFIX = "750", "751", "752"
_JOBS_KEPT = 200
_BYTES_KEPT = 64 * 1024 * 1024


@dataclass(slots=True)
class Progress:
    """Where a piece of work stands, as those are told who ask."""

    state: str
    """Until somebody looks: "UploadComplete" or "Queued"."""
    end: str
    looks: int
    """How many of them still find it in progress."""

    def look(self) -> str:
        if self.looks > 0:
            self.looks -= 1
            self.state = "InProgress"
        else:
            self.state = self.end
        return self.state

    @property
    def is_over(self) -> bool:
        return self.state == self.end


@dataclass(slots=True, kw_only=True)
class Job:
    """What jobs of both APIs have."""

    id: str
    user_id: str
    operation: str
    api_version: int
    created: str
    """As Salesforce writes moments."""
    kept_bytes: int = field(default=0, init=False)
    """Of what came in for it, about."""


AnyJob = TypeVar("AnyJob", bound=Job)


class Jobs:
    """The jobs of an org, for their users only. The oldest give way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._numbers = dict.fromkeys((JOB_PREFIX, BATCH_PREFIX, RESULT_PREFIX), 0)

    def new_id(self, prefix: str) -> str:
        with self._lock:
            self._numbers[prefix] += 1
            return ids.numbered(prefix, self._numbers[prefix])

    def add(self, job: Job) -> None:
        with self._lock:
            self._jobs[job.id] = job
            self._make_room()

    def grow(self, job: Job, size: int) -> None:
        """Count what a job has been given."""
        with self._lock:
            job.kept_bytes += size
            self._make_room()

    def remove(self, job: Job) -> None:
        with self._lock:
            self._jobs.pop(job.id, None)

    def find(self, kind: type[AnyJob], job_id: str, user_id: str) -> AnyJob | None:
        """The user's job of this kind; None when there is none, or no longer."""
        if not ids.is_well_formed(job_id):
            return None
        job = self._jobs.get(ids.to_18(job_id))
        return job if isinstance(job, kind) and job.user_id == user_id else None

    def of(self, kind: type[AnyJob], user_id: str) -> list[AnyJob]:
        """All of the user's jobs of this kind, oldest first."""
        with self._lock:
            kept = list(self._jobs.values())
        return [job for job in kept if isinstance(job, kind) and job.user_id == user_id]

    def _make_room(self) -> None:
        """Let the oldest go, never the newest, however large it is."""
        while len(self._jobs) > 1 and (
            len(self._jobs) > _JOBS_KEPT or sum(job.kept_bytes for job in self._jobs.values()) > _BYTES_KEPT
        ):
            self._jobs.popitem(last=False)

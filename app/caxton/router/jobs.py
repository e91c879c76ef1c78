"""Jobs: what a client asked for and does not wait for (deployments, asynchronous invocations).

Owns a job's life from its first row to its last. Must never do the work itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code, ErrorBody
from caxton.protocol.ids import new_id
from caxton.protocol.views import JobView
from caxton.router.timing.times import rfc3339, rfc3339_or_none
from caxton.store import Changes, JobRow

DEPLOY: Final = "deploy"
INVOKE: Final = "invoke"
UPDATE: Final = "update"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
MAX_RUNNING: Final = 10_000


@dataclass(slots=True)
class Job:
    """A job that runs. `order` is what a restart needs to go on; `progress` 0 to 1.

    `about`: the agent that it is for; `sender`: who sent the message of an invocation.
    """

    job_id: str
    kind: str
    order: Any
    created_at: float
    progress: float = 0.0
    detail: str | None = None
    about: str | None = None
    sender: str | None = None
    resumed: bool = False
    """It is from an earlier life of the router."""

    def advance(self, progress: float, detail: str | None = None) -> None:
        """Progress never goes back and never claims the end."""
        self.progress = max(self.progress, min(progress, 0.99))
        self.detail = detail or self.detail

    def row(self, state: str, result: Any = None, error: ErrorBody | None = None) -> JobRow:
        """The job as it is stored: until there is a result, its place holds the order."""
        ended = state in (DONE, FAILED)
        return JobRow(
            job_id=self.job_id,
            kind=self.kind,
            state=state,
            created_at=self.created_at,
            progress=1.0 if state == DONE else self.progress,
            detail=self.detail,
            finished_at=time.time() if ended else None,
            result=result if ended else self.order,
            error=error,
            about=self.about,
            sender=self.sender,
        )


Commit = Callable[[Changes], Awaitable[object]]
Ended = Callable[[Job, Code | None], None]
"""Told of every job that has ended, with the error code of a failure."""


class Jobs:
    """The jobs that run now; the ended ones are only in the store."""

    def __init__(self, commit: Commit, ended: Ended) -> None:
        self._commit = commit
        self._ended = ended
        self._running: dict[str, Job] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def create(self, kind: str, order: msgspec.Struct, about: str, sender: str | None = None) -> Job:
        """A new job, durable when this returns; `NOT_READY` while too many run."""
        if len(self._running) >= MAX_RUNNING:
            raise CaxtonError(
                Code.NOT_READY, f"{MAX_RUNNING} jobs are running, the most there may be", retry_after_seconds=5
            )
        job = Job(new_id(), kind, _plain(order), time.time(), about=about, sender=sender)
        self._running[job.job_id] = job
        try:
            await self._commit(Changes(jobs=[job.row(RUNNING)]))
        except BaseException:
            self._running.pop(job.job_id, None)
            raise
        return job

    def resume(self, row: JobRow) -> Job:
        """A job of an earlier life of the router goes on."""
        job = Job(
            row.job_id,
            row.kind,
            row.result,
            row.created_at,
            row.progress,
            row.detail,
            row.about,
            row.sender,
            resumed=True,
        )
        self._running[job.job_id] = job
        return job

    async def finish(self, job: Job, result: Any, changes: Changes | None = None) -> None:
        """The job is done; `changes` become true in the same transaction."""
        job.detail = None
        changes = changes or Changes()
        changes.jobs.append(job.row(DONE, result=_plain(result)))
        await self._commit(changes)
        self._forget(job, None)

    async def fail(self, job: Job, error: CaxtonError) -> None:
        """The job failed for a reason that its owner may read."""
        await self._commit(Changes(jobs=[job.row(FAILED, error=error.body())]))
        self._forget(job, error.code)

    def _forget(self, job: Job, failure: Code | None) -> None:
        self._running.pop(job.job_id, None)
        self._ended(job, failure)

    def running(self, job_id: str) -> JobView | None:
        """The view of a job that runs now."""
        row = self.row(job_id)
        return None if row is None else job_view(row)

    def row(self, job_id: str) -> JobRow | None:
        """A job that runs now, as it would be stored."""
        job = self._running.get(job_id)
        return None if job is None else job.row(RUNNING)


def job_view(row: JobRow) -> JobView:
    """A row as clients see it."""
    return JobView(
        job_id=row.job_id,
        kind=row.kind,
        state=row.state,
        progress=row.progress,
        created_at=rfc3339(row.created_at),
        detail=row.detail,
        finished_at=rfc3339_or_none(row.finished_at),
        result=row.result if row.state == DONE else None,
        error=row.error,
    )


def _plain(value: Any) -> Any:
    """`value` as the JSON-ready data that the store keeps."""
    return msgspec.json.decode(msgspec.json.encode(value))

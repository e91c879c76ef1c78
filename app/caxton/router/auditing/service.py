"""The audit as the router's other parts use it: events, notes of other processes, ends of jobs, retention.

Owns who is allowed to note what. Must never fail whoever tells it something that has happened already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from caxton.audit.log import NOBODY
from caxton.audit.record import Draft, actor_of
from caxton.protocol.access import Caller
from caxton.protocol.audit import OK, Actor, AuditNote, Phase
from caxton.protocol.errors import CaxtonError, Code
from caxton.router.auditing.recorder import Recorder
from caxton.router.auditing.storms import Storms
from caxton.router.jobs import INVOKE, Job

STORMY: Final = frozenset({"login.failed", "access.denied"})
"""Noted by API workers of whoever calls them: any number may come, few records are made of them."""
LOCAL: Final = frozenset({"token.create", "backup.state", "backup.config"})
"""Noted by commands on this host that need no router to do their work."""
TIDY_SECONDS: Final = 60.0
MOST_NOTES: Final = 1_000
MOST_WATCHED: Final = 10_000
_LOCAL_CREDENTIAL: Final = "local:"
log = logging.getLogger(__name__)


class Audit:
    """One per router."""

    def __init__(self, directory: Path, node: str) -> None:
        self.recorder = Recorder(directory, node)
        self.storms = Storms(self._tell)
        self._watched: dict[str, tuple[str, str, Actor]] = {}

    def event(self, action: str, target: str = "", outcome: str = OK, **details: Any) -> None:
        """Something happened to the node; recorded soon."""
        self._tell(Draft(action, Phase.EVENT, NOBODY, target, outcome, details))

    async def started(self, **details: Any) -> None:
        """The node starts; recorded when this returns, or owed."""
        await self.recorder.owe(Draft("node.start", Phase.EVENT, NOBODY, outcome=OK, details=details))

    async def close(self) -> None:
        """What was counted is recorded, then that the node stopped; nothing is recorded afterwards."""
        self.storms.close()
        self.event("node.stop")
        await self.recorder.close()

    def watch(self, job_id: str, action: str, target: str, actor: Actor) -> None:
        """A job was answered with: its end is to be recorded."""
        if len(self._watched) < MOST_WATCHED:
            self._watched[job_id] = (action, target, actor)

    def job_ended(self, job: Job, code: Code | None) -> None:
        """A job ended. One from before a restart is recorded too; who asked for it is in a record of then."""
        found = self._watched.pop(job.job_id, None)
        if found is None and (not job.resumed or job.kind == INVOKE):
            return
        action, target, actor = found or (f"agent.{job.kind}", "", NOBODY)
        outcome = OK if code is None else code.value
        details = {"job_id": job.job_id, "action": action}
        self._tell(Draft("job.end", Phase.EVENT, actor, target, outcome, details))

    async def note(self, notes: list[AuditNote], caller: Caller) -> int:
        """Records what processes of this host have seen; how many. `FORBIDDEN` for anybody else.

        Those of commands are on disk when this returns.
        """
        if not caller.credential.startswith(_LOCAL_CREDENTIAL):
            raise CaxtonError(Code.FORBIDDEN, "only processes of this node note what they have seen")
        for note in notes[:MOST_NOTES]:
            if note.action in STORMY:
                self.storms.saw(note)
            elif note.action in LOCAL:
                draft = Draft(note.action, Phase.EVENT, actor_of(caller), note.target, note.outcome, note.details)
                await self.recorder.append(draft)
            else:
                raise CaxtonError(
                    Code.INVALID_REQUEST, f"action: nobody may note {note.action[:64]!r}", path="action",
                    expected=sorted(STORMY | LOCAL),
                )  # fmt: skip
        return len(notes)

    async def tidy(self, retention: Callable[[], tuple[float, int]]) -> None:
        """For ever: applies `retention()` (days, bytes), and writes what is owed."""
        while True:
            try:
                await self.recorder.settle()
                await self.recorder.prune(*retention())
            except OSError as error:
                log.error("the audit's retention failed: %s", error)
            await asyncio.sleep(TIDY_SECONDS)

    def _tell(self, draft: Draft) -> None:
        self.recorder.spawn(self.recorder.owe(draft))

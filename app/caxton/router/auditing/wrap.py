"""The two records around an operation: that it begins, on disk before it does, and how it ended.

Owns that order. Must never decide who may do what: what is refused for that never gets here, it is noted elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from caxton.audit.record import Draft, actor_of
from caxton.protocol.access import Caller
from caxton.protocol.audit import OK, Actor, Phase
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Deployed
from caxton.router.auditing.actions import Action
from caxton.router.auditing.service import Audit

ACCEPTED: Final = "accepted"
"""A job goes on; its end has a record of its own."""
UNKNOWN: Final = "unknown"
"""Who asked hung up, or the router stopped: it may have taken effect."""
Go = Callable[..., Awaitable[Any]]


def recorded(action: Action, go: Go, audit: Audit, caller: Caller) -> Go:
    """`go` with its records around it, for this caller."""

    async def record(args: Any, *more: Any) -> Any:
        running = _Running(audit, action, action.target(args), caller)
        try:
            await running.begin(args)
            result = await go(args, *more)
            running.ended(result)
        except CaxtonError as error:
            running.outcome = error.code.value
            raise
        except Exception:
            running.outcome = Code.INTERNAL_ERROR.value
            raise
        finally:
            await running.end()
        return result

    return record


class _Running:
    """One operation under way."""

    def __init__(self, audit: Audit, action: Action, target: str, caller: Caller) -> None:
        self._audit, self._action, self._target = audit, action, target
        self._actor: Actor = actor_of(caller)
        self._request_id = caller.request_id
        self._begun: asyncio.Task[int] | None = None
        self._said: dict[str, Any] = {}
        """What the end says: all that the beginning did, and the answer's part."""
        self.outcome = UNKNOWN

    async def begin(self, args: Any) -> None:
        """Returns when the beginning is on disk."""
        draft = self._draft(Phase.BEGUN)
        recorder = self._audit.recorder
        self._begun = recorder.spawn(recorder.append(draft, lambda: self._describe(args)))
        await asyncio.shield(self._begun)

    def _describe(self, args: Any) -> dict[str, Any]:
        """In the recorder's thread: a module is hashed there. The record is made of a copy."""
        self._said.update(self._action.details(args))
        return dict(self._said)

    def ended(self, result: Any) -> None:
        """It was answered with `result`."""
        self.outcome = OK
        self._said.update(self._action.result(result))
        if isinstance(result, Deployed) and result.job is not None:
            self.outcome = ACCEPTED
            self._audit.watch(result.job.job_id, self._action.name, self._target, self._actor)

    async def end(self) -> None:
        """Returns when the outcome is on disk, or owed to it; at once when nobody waits for the answer any more."""
        recording = self._audit.recorder.spawn(self._record_end())
        if self.outcome != UNKNOWN:
            await asyncio.shield(recording)

    async def _record_end(self) -> None:
        assert self._begun is not None
        try:
            begun = await self._begun
        except Exception:
            return  # nothing was begun, and whoever asked has been told why
        await self._audit.recorder.owe(self._draft(Phase.ENDED, begun))

    def _draft(self, phase: Phase, of: int | None = None) -> Draft:
        outcome = None if of is None else self.outcome
        return Draft(self._action.name, phase, self._actor, self._target, outcome, self._said, self._request_id, of)

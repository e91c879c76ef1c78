"""Snapshots of agents: into the transaction of the execution, out of the store into a fresh instance.

Owns which snapshot an agent may go on from. Must never let an instance start from anything but the last commit:
what is still being committed is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from caxton.protocol.agents import Instance
from caxton.protocol.execution import End, HostCall, HostReply, Result
from caxton.protocol.snapshots import STATE, Image
from caxton.router.agents import Agent
from caxton.router.boxes import Box, Flight, Worker
from caxton.router.commits import Commits
from caxton.router.snapshots.folding import Folding
from caxton.router.snapshots.meters import SnapshotMeters
from caxton.router.snapshots.rules import can_read
from caxton.store import SnapshotInfo, SnapshotPart, SnapshotRow
from caxton.store.reader import Reader

_NOT_FOUND: Final = -4
_UNAVAILABLE: Final = -6
_THREADS: Final = 2
_encoder: Final = msgspec.msgpack.Encoder()

log = logging.getLogger(__name__)


def has_snapshots(agent: Agent) -> bool:
    """Whether the agent's memory is committed with its executions."""
    return agent.config.state == STATE and agent.instance is Instance.PERSISTENT


class Snapshots:
    """One call per step; `emit` publishes events."""

    def __init__(self, commits: Commits, reader: Reader, emit: Callable[[str, dict[str, Any]], None]) -> None:
        self._commits = commits
        self._reader = reader
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="snapshots")
        self._meters = SnapshotMeters()
        self.folding = Folding(commits, reader, self._threads)

    async def stop(self) -> None:
        """Waits for what is being read and folded."""
        await self.folding.stop()
        await self._loop.run_in_executor(None, self._threads.shutdown)

    def claim(self, box: Box, worker: Worker) -> None:
        """This version's instance handles the next message: it must have the memory of the last commit.

        Where another version's had it until now, what this one has in memory is older: it goes, and is made anew.
        """
        home = box.home
        if not box.spec.snapshot or home.memory_of == box.handle:
            return
        home.memory_of = box.handle
        if box.handle in worker.loaded and worker.link is not None:
            worker.link.send(End(box.handle, orderly=False))

    def ended(self, flight: Flight, result: Result) -> bool:
        """Puts what an execution changed into this turn's transaction; whether it changed anything."""
        agent, version = flight.home.agent, flight.box.agent
        if result.woke_seconds is not None:
            agent.wakes += 1
            self._meters.woke(result.woke_seconds)
        change = result.snapshot
        if change is None:
            if agent.snapshot is not None and not flight.box.spec.snapshot and result.status in ("ok", "failure"):
                agent.snapshot = None
                self._commits.changes.snapshots_removed.append(agent.name)
            return False
        row = SnapshotRow(
            agent.name, agent.agent_id, version.module.sha256, result.incarnation, time.time(), agent.wakes, change
        )
        self._commits.changes.snapshots.append(row)
        self._meters.took(change)
        agent.snapshot = SnapshotInfo(
            agent.name,
            agent.agent_id,
            version.module.sha256,
            result.incarnation,
            generation=0,  # the store counts
            taken_at=row.taken_at,
            memory_bytes=change.memory_bytes,
            globals=change.globals,
            wakes=agent.wakes,
        )
        return True

    def figures(self, boxes: Iterable[Box]) -> dict[str, Any]:
        """For /metrics."""
        return self._meters.figures(sum(hibernates(box) for box in boxes))

    def left(self, box: Box) -> None:
        """The agent's instance left memory: its snapshot may be made small now."""
        if has_snapshots(box.agent) and box.home.agent.snapshot is not None and not box.running:
            self.folding.add(box.agent.name)

    def asked(self, flight: Flight, call: HostCall) -> None:
        """Answers a fresh instance that asks for part `key` of its agent's snapshot."""
        if flight.home.settling:
            self._commits.after(lambda result: self._read(flight, call))
        else:
            self._read(flight, call)

    def tell_dropped(self, agent: Agent, reason: str) -> None:
        """The agent begins with fresh memory though a snapshot is there."""
        log.warning("agent %s begins with fresh memory: %s", agent.name, reason)
        self._emit("agent.snapshot_dropped", {"name": agent.name, "reason": reason})

    def _read(self, flight: Flight, call: HostCall) -> None:
        if flight.home.agent.snapshot is None:
            _answer(flight, call, _NOT_FOUND)
            return
        part = int(call.key or 0)
        done = self._loop.run_in_executor(self._threads, self._reader.snapshots.part, flight.box.agent.name, part)
        done.add_done_callback(lambda read: self._answer(flight, call, read))

    def _answer(self, flight: Flight, call: HostCall, read: asyncio.Future[SnapshotPart | None]) -> None:
        version = flight.box.agent
        if read.cancelled():
            return
        problem = read.exception()
        if problem is not None:
            log.error("the snapshot of %s cannot be read", version.name, exc_info=problem)
            _answer(flight, call, _UNAVAILABLE)
            return
        stored = read.result()
        reason = "it is not there" if stored is None else unreadable(version, stored.info)
        if stored is None or reason is not None:
            if flight.box is flight.home:  # else it is only tried
                self.tell_dropped(version, reason or "")
            _answer(flight, call, _NOT_FOUND)
            return
        info = stored.info
        image = Image(info.incarnation, info.memory_bytes, info.globals, stored.data, stored.blocks)
        _answer(flight, call, 0, _encoder.encode(image))


def hibernates(box: Box | None) -> bool:
    """Whether the agent takes messages and only its snapshot holds it."""
    if box is None or not box.open or box.running or box.agent.snapshot is None:
        return False
    return not (box.resident and box.worker is not None and box.worker.usable)


def unreadable(version: Agent, info: SnapshotInfo) -> str | None:
    """Why a version of an agent may not go on from this snapshot; None: it may."""
    if info.agent_id != version.agent_id:
        return "it is of an earlier deployment under this name"
    if not can_read(version.config, version.module.sha256, info.module_sha256):
        return f"it is of the module {info.module_sha256}, which snapshot_from does not name"
    return None


def _answer(flight: Flight, call: HostCall, status: int, data: bytes = b"") -> None:
    if flight.worker.link is not None:
        flight.worker.link.send(HostReply(flight.exec_id, call.call_id, status, data))

"""One worker process as the supervisor sees it: its descriptors, its pulse, its end.

Owns the start of a worker and the verdict on how it ended. Must never decide whether it is replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from caxton.executor import processes
from caxton.executor.artifacts import ArtifactCache
from caxton.executor.pulse import Beat, Pulse, create_pulse
from caxton.executor.settings import WorkerSettings
from caxton.executor.supervisor.link import Link
from caxton.executor.supervisor.settings import Settings
from caxton.protocol.control import Artifact, Fetch, Reach, Ready
from caxton.telemetry.logs import event

UNDEAD_SECONDS: Final = 20.0
_MAX_FRAME_BYTES = 65_536
_frames = msgspec.msgpack.Decoder(Fetch | Ready)


class Down(NamedTuple):
    """How a worker ended: see `caxton.protocol.control.WorkerDown`. `lived_seconds` since its start."""

    reason: str
    culprit: int | None
    status: int
    lived_seconds: float


class Worker:
    """A running worker. `up(worker)` is called when its self-check has passed; `watch()` ends with it."""

    def __init__(
        self,
        worker_id: int,
        tag: str,
        node: str,
        settings: Settings,
        cache: ArtifactCache,
        up: Callable[[Worker], None],
        reach: Reach = Reach.NOTHING,
    ) -> None:
        self.worker_id = worker_id
        self.tag = tag
        self.reach = reach
        self.ready = False
        self.reason = "crashed"  # unless somebody here ends it for another
        self._cache = cache
        self._up = up
        self._started = time.monotonic()
        self._culprit: int | None = None
        self._killed_at: float | None = None
        self._last = Beat(0, 0, 0.0, 0.0)
        self._silent = 0.0
        self._most_silent = settings.silent_seconds
        self._longest_gap = 4 * settings.poll_seconds
        self._checked = self._started
        self._fetches: set[asyncio.Task[None]] = set()
        control, control_far = socket.socketpair()
        self.router_end, router_far = socket.socketpair()
        pulse = create_pulse()
        os.set_inheritable(pulse, False)
        self._pulse = Pulse(pulse)
        passed = (control_far.fileno(), router_far.fileno(), pulse)
        try:
            self.pid = processes.start(
                settings.worker_module,
                [_settings_json(worker_id, tag, node, settings, passed, reach)],
                passed,
                new_code=not settings.pulley,
            )
        finally:
            control_far.close()
            router_far.close()
            os.close(pulse)
        self._control = Link(control, self._received, self._control_lost, _MAX_FRAME_BYTES)
        self._deadline = self._started + settings.ready_seconds

    async def watch(self) -> Down:
        """Waits for the worker's end, frees what it had, and gives the verdict."""
        try:
            ended = await processes.wait(self.pid)
        finally:
            self._control.close()
            self.router_end.close()
            for task in self._fetches:
                task.cancel()
        culprit = self._culprit
        if self.reason == "crashed":
            culprit = self._pulse.read().exec_id or None
            if ended.status == -signal.SIGSYS:  # which call it was, the kernel's log says (audit type 1326)
                self.reason = "killed_syscall"
        self._pulse.close()  # here, since its callbacks make a worker part of a cycle that only the collector ends
        return Down(self.reason, culprit, ended.status, time.monotonic() - self._started)

    def kill(self, reason: str) -> None:
        """SIGKILL; the first reason given stays."""
        if self.reason == "crashed":
            self.reason = reason
        if self._killed_at is None:
            self._killed_at = time.monotonic()
        processes.kill(self.pid)

    def undead(self, now: float) -> bool:
        """Whether it was killed long ago and is still there: the kernel holds it, and its place stays empty."""
        return self._killed_at is not None and now - self._killed_at > UNDEAD_SECONDS

    def check(self, now: float) -> bool:
        """Reads the pulse (`now` by CLOCK_MONOTONIC); kills when the same execution overstays on two reads.

        So it does when no execution has the thread and the pulse stands still. Returns whether it killed.
        """
        if not self.ready:
            if now > self._deadline and self._killed_at is None:
                event("worker not ready in time", worker=self.worker_id, pid=self.pid)
                self.kill("crashed")
            return False
        beat, last = self._pulse.read(), self._last
        self._last = beat
        if self._is_silent(beat, last, now):
            self.kill("killed_silent")
            return True
        if not beat.exec_id or now <= beat.leave_by or (beat.sequence, beat.exec_id) != (last.sequence, last.exec_id):
            return False
        self._culprit = beat.exec_id
        self.kill("killed_timeout")
        return True

    def _is_silent(self, beat: Beat, last: Beat, now: float) -> bool:
        """Time in which the supervisor itself did not run (a stopped node) hardly counts."""
        passed, self._checked = min(now - self._checked, self._longest_gap), now
        self._silent = self._silent + passed if beat.sequence == last.sequence and not beat.exec_id else 0.0
        return self._silent > self._most_silent

    def _received(self, body: bytes) -> None:
        frame = _frames.decode(body)
        if isinstance(frame, Fetch):
            task = asyncio.ensure_future(self._answer(frame))
            self._fetches.add(task)
            task.add_done_callback(self._fetches.discard)
        elif frame.error is not None:
            event("worker refuses to start", worker=self.worker_id, detail=frame.error)
            self.kill("crashed")
        elif not self.ready:
            self.ready = True
            self._up(self)

    async def _answer(self, fetch: Fetch) -> None:
        loaded = await self._cache.load(fetch.sha256, fetch.profile, snapshot=fetch.snapshot)
        if loaded is None:
            self._control.send(Artifact(fetch.sha256, fetch.profile, missing=True, snapshot=fetch.snapshot))
        else:
            self._control.send(Artifact(fetch.sha256, fetch.profile, snapshot=fetch.snapshot), loaded.fd)

    def _control_lost(self, why: str) -> None:
        """A worker without its control socket is ending or broken: either way it ends now."""
        if why != "closed":
            event("worker broke its protocol", worker=self.worker_id, pid=self.pid, detail=why)
        processes.kill(self.pid)


def _settings_json(
    worker_id: int, tag: str, node: str, settings: Settings, passed: tuple[int, int, int], reach: Reach
) -> str:
    control_fd, router_fd, pulse_fd = passed
    chosen = WorkerSettings(
        worker_id=worker_id,
        tag=tag,
        node=node,
        control_fd=control_fd,
        router_fd=router_fd,
        pulse_fd=pulse_fd,
        stack_bytes=settings.stack_bytes,
        wasm_features=list(settings.wasm_features),
        scratch_directory=str(settings.scratch),
        temp_storage_limit_bytes=settings.temp_storage_limit_bytes,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        engine="pulley" if settings.pulley else "native",
        reach=reach,
        granted_directories=list(settings.shareable_dirs),
    )
    return msgspec.json.encode(chosen).decode()

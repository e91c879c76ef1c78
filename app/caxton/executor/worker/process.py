"""The worker process: sockets, frames, and the loop that ties them to the scheduler.

Owns epoll. Must never touch a guest by itself.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from pathlib import Path
from typing import Final

import msgspec

from caxton.executor.pulse import Pulse
from caxton.executor.settings import WorkerSettings
from caxton.executor.wasi import ScratchShare
from caxton.executor.worker.agent import Agent, Scratch, make_agent
from caxton.executor.worker.border import Border
from caxton.executor.worker.channel import Channel
from caxton.executor.worker.execution import Ending, Execution
from caxton.executor.worker.hostcalls import pressure
from caxton.executor.worker.modules import Control, Modules
from caxton.executor.worker.residents import end_reason
from caxton.executor.worker.runqueue import Ticker
from caxton.executor.worker.scheduler import Scheduler
from caxton.protocol.agents import Profile
from caxton.protocol.execution import (
    Cancel,
    End,
    Execute,
    HostReply,
    Load,
    Pressure,
    Replay,
    Result,
    Room,
    RouterFrame,
    Start,
    Usage,
    WorkerStats,
)
from caxton.protocol.messages import Message
from caxton.protocol.recordings import unpack

STATS_SECONDS: Final = 1.0
_NOTHING: Final = Usage(0.0, 0.0, 0)
_END_BIT: Final = 1 << 63
"""Orderly ends have no number of their own; on the pulse page they are this bit and the handle."""


class Worker:
    """One worker. `run` returns when the router has closed its socket, or on SIGTERM."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self.control = Control(settings.control_fd)
        self._router = Channel(settings.router_fd)
        self._ticker = Ticker(settings.slice_seconds)
        self._modules = Modules(settings, self.control, self._ticker.add)
        self._pulse = Pulse(settings.pulse_fd)
        self._scheduler = Scheduler(settings, self._router, self._pulse)
        self._agents: dict[int, Agent] = {}
        root = Path(settings.scratch_directory) / str(settings.worker_id)
        self._scratch = Scratch(root, ScratchShare(settings.temp_storage_limit_bytes))
        self._decode = msgspec.msgpack.Decoder(RouterFrame).decode
        self._messages = msgspec.msgpack.Decoder(Message)
        self._signalled = _signal_pipe()
        self._epoll = select.epoll()
        self._next_stats = 0.0
        self._memory = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def start(self) -> None:
        """Makes what cannot be made any more once the process is confined: engines and the thread."""
        self._modules.make_engines()
        self._ticker.start()

    def run(self) -> None:
        """The loop: read all, run a batch, write once."""
        router, scheduler = self._router, self._scheduler
        read = select.EPOLLIN
        for fd in (self._signalled, self.control.socket.fileno(), router.fileno()):
            self._epoll.register(fd, read)
        interest = read
        while not (router.closed or self.control.closed):
            if self._poll():
                break
            scheduler.fire_timers()
            if len(scheduler.queue):
                self._ticker.resume()  # before any guest runs: without a tick its slice would never end
                scheduler.run_batch()
            drained = router.flush()
            wanted = (0 if router.choked else read) | (0 if drained else select.EPOLLOUT)
            if wanted != interest and not router.closed:
                interest = wanted
                self._epoll.modify(router.fileno(), interest)
        self._close()

    def _poll(self) -> bool:
        """Waits for something to do and reads it; True when a signal asks to end."""
        for fd, _event in self._epoll.poll(self._wait_seconds()):
            if fd == self._signalled:
                return True
            if fd == self._router.fileno():
                for body in self._router.frames():
                    self._frame(self._decode(body))
            else:
                self._artifacts()
        return False

    def _wait_seconds(self) -> float:
        scheduler = self._scheduler
        if len(scheduler.queue):
            if time.monotonic() >= self._next_stats:
                self._tick()
            return 0.0
        self._ticker.active = False
        now = time.monotonic()
        if now >= self._next_stats:
            self._tick()
            self._router.flush()
        timer = scheduler.next_timer()
        until = self._next_stats if timer is None else min(timer, self._next_stats)
        return max(until - now, 0.0)

    def _tick(self) -> None:
        """Once a second."""
        scheduler, now = self._scheduler, time.monotonic()
        self._next_stats = now + STATS_SECONDS
        self._pulse.leave()
        scheduler.residents.evict_idle(now)
        runnable = len(scheduler.queue)
        resident, anonymous = _memory_bytes(self._memory)
        own = max(anonymous - scheduler.residents.guest_bytes(), 0)
        self._router.send(
            WorkerStats(len(scheduler.residents), runnable, scheduler.suspended, scheduler.finished, resident, own)
        )

    def _frame(self, frame: RouterFrame) -> None:
        match frame:
            case Execute():
                self._execute(frame)
            case HostReply():
                self._scheduler.host_reply(frame.exec_id, frame.call_id, frame.status, frame.data)
            case Load():
                self._agents[frame.handle] = make_agent(frame.handle, frame.spec, self._scratch)
            case Start():
                self._begin(frame.exec_id, frame.handle, "start", frame.incarnation)
            case Cancel():
                execution = self._scheduler.executions.get(frame.exec_id)
                if execution is not None:
                    self._scheduler.stop(execution, Ending("cancelled"))
            case End():
                self._end(frame)
            case Pressure():
                pressure.set(frame.full, frame.node_full)
            case Replay():
                self._replay(frame)
            case Room():
                pressure.set_room(frame.left, frame.away)

    def _execute(self, frame: Execute) -> None:
        self._begin(frame.exec_id, frame.handle, "message", frame.incarnation, frame)

    def _begin(self, exec_id: int, handle: int, kind: str, incarnation: int, execute: Execute | None = None) -> None:
        agent = self._agents.get(handle)
        if agent is None:
            self._router.send(Result(exec_id, "unknown_handle", _NOTHING))
            return
        spec = agent.spec
        timeout = spec.limits.execution_timeout_seconds if kind == "message" else spec.startup_timeout_seconds
        execution = Execution(exec_id, agent, kind, incarnation, timeout)
        if execute is not None:
            execution.message = self._messages.decode(execute.message)
            execution.timer_id = execute.timer_id
            execution.seed = execute.seed
            if spec.record:
                self._record(execution, Border())
        self._scheduler.executions[exec_id] = execution
        self._submit(execution)

    def _record(self, execution: Execution, border: Border) -> None:
        execution.border = border
        if execution.agent.spec.profile is not Profile.DETERMINISTIC:
            execution.source = border

    def _replay(self, frame: Replay) -> None:
        """As `_begin`, with everything as it was; the agent's own instance plays no part."""
        agent = self._agents.get(frame.handle)
        if agent is None:
            self._router.send(Result(frame.exec_id, "unknown_handle", _NOTHING))
            return
        tape = unpack(frame.recording)
        self._scheduler.residents.drop(agent, "discarded")
        timeout = agent.spec.limits.execution_timeout_seconds
        execution = Execution(frame.exec_id, agent, "message", tape.incarnation, timeout, tape.message, tape.timer_id)
        execution.seed = tape.seed
        agent.last_timer_id = tape.last_timer_id
        self._record(execution, Border(tape, with_memory=frame.with_memory))
        self._scheduler.executions[frame.exec_id] = execution
        self._submit(execution)

    def _submit(self, execution: Execution) -> None:
        agent = execution.agent
        if agent.template is None and agent.refused is None and not self._modules.want(agent):
            agent.waiting.append(execution)
            return
        self._scheduler.start(execution)

    def _artifacts(self) -> None:
        for artifact, descriptor in self.control.artifacts():
            for agent in self._modules.arrived(artifact, descriptor):
                waiting, agent.waiting = agent.waiting, []
                for execution in waiting:
                    self._scheduler.start(execution)
                agent.refused = None  # the next execution asks again: the artifact may be there by then

    def _end(self, frame: End) -> None:
        agent = self._agents.get(frame.handle)
        if agent is None:
            return
        agent.forgotten = frame.forget
        scheduler = self._scheduler
        if frame.orderly and agent.persistent and (agent.resident is not None or agent.current is not None):
            execution = Execution(_END_BIT | frame.handle, agent, "end", 0, agent.spec.shutdown_timeout_seconds)
            scheduler.executions[execution.exec_id] = execution
            scheduler.start(execution)
        else:
            for execution in [e for e in scheduler.executions.values() if e.agent is agent]:
                scheduler.stop(execution, Ending("cancelled"))
            scheduler.residents.drop(agent, end_reason(agent))
        if frame.forget:
            self._agents.pop(frame.handle, None)
            self._modules.forget(agent)

    def _close(self) -> None:
        for execution in list(self._scheduler.executions.values()):
            if execution.resident is not None:
                execution.resident.close()
        self._scheduler.residents.close()
        for held in (self.control.socket, self._router.socket):  # a socket left open is described in a warning,
            held.close()  # with its name, which a confined process may not ask for


def _signal_pipe() -> int:
    """A descriptor that is readable after SIGTERM. No handler here may raise: it could hit a callback."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def _memory_bytes(statm: int) -> tuple[int, int]:
    """Resident memory, and the part of it that is backed by no file; `statm` is open on /proc/self/statm."""
    _, resident, shared, *_rest = map(int, os.pread(statm, 256, 0).split())
    page = resource.getpagesize()
    return resident * page, (resident - shared) * page

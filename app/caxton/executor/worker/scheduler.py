"""Runs executions in slices, one at a time, and ends those that used up what they may use.

Owns the run queue, the timers of what sleeps, and the way of an execution from runnable to ended. Must
never read a socket; and nothing here may take longer than a slice, except one bulk operation of a guest.
"""

from __future__ import annotations

import heapq
import time
from typing import Final

from caxton.executor.binding.instance import Instance
from caxton.executor.binding.wipe import wipe
from caxton.executor.guest import OutOfBounds
from caxton.executor.pulse import Pulse
from caxton.executor.settings import WorkerSettings
from caxton.executor.worker.border import Diverged
from caxton.executor.worker.channel import Channel
from caxton.executor.worker.execution import Ask, Ending, Execution, Sleep
from caxton.executor.worker.hostcalls import INVALID, NOT_FOUND, TIMEOUT
from caxton.executor.worker.programs import program_of
from caxton.executor.worker.residents import Residents, end_reason
from caxton.executor.worker.results import build_result, ending_of, gather_output
from caxton.executor.worker.runqueue import RunQueue
from caxton.protocol.errors import Code
from caxton.protocol.execution import Gone, HostCall, Suspended
from caxton.protocol.snapshots import RESTORE

STUCK_GRACE_SECONDS: Final = 1.0
_AT_ONCE: Final = frozenset({"load", "secret"})
"""What the router answers without waiting for anything."""
_BATCH_SECONDS: Final = 0.001


class Scheduler:
    """Executions from `start` to their `Result`."""

    def __init__(self, settings: WorkerSettings, router: Channel, pulse: Pulse) -> None:
        self.router = router
        self.executions: dict[int, Execution] = {}
        self.residents = Residents(settings, router.send)
        self.queue = RunQueue()
        self.suspended = 0
        self.finished = 0
        self._pulse = pulse
        self._timers: list[tuple[float, int, Execution, int]] = []
        self._timer_count = 0

    def start(self, execution: Execution) -> None:
        """Makes a new execution runnable, or lets it wait for the agent's instance."""
        agent = execution.agent
        if execution.ended:
            return
        if agent.refused is not None:
            self.end(execution, Ending("error", Code.INVALID_WASM, agent.refused))
            return
        if agent.persistent or execution.kind == "end":
            if agent.current is not None:
                agent.backlog.append(execution)
                return
            agent.current = execution
        if execution.border is not None:  # its own clock starts now, not when it began to wait for the instance
            execution.border.begin()
            execution.first_timer_id = agent.last_timer_id
        execution.program = program_of(execution)
        self.queue.push(execution)

    def run_batch(self) -> None:
        """Runs what is light, or one slice of what is not; then it is time to look at the sockets again."""
        queue, began = self.queue, time.monotonic()
        first = True
        while (execution := queue.first()) is not None:
            if not first and not execution.fresh:
                break
            queue.pop()
            first = False
            if self._slice(execution) - began > _BATCH_SECONDS:
                break
        self.residents.sweep()

    def next_timer(self) -> float | None:
        """When `fire_timers` is due, by CLOCK_MONOTONIC."""
        return self._timers[0][0] if self._timers else None

    def fire_timers(self) -> None:
        """Wakes what slept enough; ends what may not wait any longer."""
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _when, _count, execution, token = heapq.heappop(self._timers)
            if execution.ended or execution.wait_token != token or execution.waiting is None:
                continue
            waiting = execution.waiting
            if waiting.until is None or waiting.until > now:
                self.stop(execution, Ending("error", Code.EXECUTION_TIMEOUT, _timeout_text(execution)))
            elif isinstance(waiting, Sleep):
                self._wake(execution, waiting.finish())
            else:
                if execution.border is not None:
                    execution.border.answered(waiting, TIMEOUT, b"")
                self._wake(execution, TIMEOUT)

    def host_reply(self, exec_id: int, call_id: int, status: int, data: bytes) -> None:
        """The router's answer; one that nobody waits for any more is dropped."""
        execution = self.executions.get(exec_id)
        waiting = None if execution is None or execution.ended or execution.call_id != call_id else execution.waiting
        if execution is not None and isinstance(waiting, Ask):
            if execution.border is not None and waiting.kind != RESTORE:
                execution.border.answered(waiting, status, data)
            self._wake(execution, _finish(waiting, status, data))
            if waiting.kind != "secret":
                return
        wipe(data)

    def stop(self, execution: Execution, ending: Ending) -> None:
        """Ends an execution from outside: it loses its instance."""
        if not execution.ended:
            if execution.program is not None:
                execution.program.close()
            execution.keep = False
            self.end(execution, ending)

    def end(self, execution: Execution, ending: Ending) -> None:
        """Sends the result, keeps or drops the instance, lets the agent's next one start."""
        execution.ended = True
        self._account_wait(execution)
        execution.measure()
        gather_output(execution)
        agent, resident = execution.agent, execution.resident
        if execution.kind == "end":
            self.residents.drop(agent, end_reason(agent), overdue=ending.code == Code.EXECUTION_TIMEOUT)
        else:
            kept = self.residents.give_back(execution)
            if resident is not None and not kept and agent.persistent:
                self.router.send(Gone(agent.handle, resident.incarnation, "discarded"))
            self.router.send(build_result(execution, ending, resident=kept))
        self.executions.pop(execution.exec_id, None)
        self.finished += 1
        execution.instance = execution.program = execution.resident = None
        if agent.current is execution:
            agent.current = None
            if agent.backlog:
                self.start(agent.backlog.popleft())
        elif agent.backlog and execution in agent.backlog:
            agent.backlog.remove(execution)

    def _slice(self, execution: Execution) -> float:
        """One turn; the monotonic time at its end."""
        began, cpu = time.monotonic(), time.thread_time()
        left = execution.timeout - execution.wall
        self._pulse.enter(execution.exec_id, began, began + max(left, 0.0) + STUCK_GRACE_SECONDS)
        ending: Ending | None
        try:
            ending = _advance(execution)
        except BaseException as problem:
            execution.measure()
            execution.keep = False
            ending = ending_of(execution, problem)
        cpu, now = time.thread_time() - cpu, time.monotonic()
        execution.cpu += cpu
        execution.agent.vtime += cpu
        execution.wall += now - began
        if ending is not None:
            self.end(execution, ending)
        elif not self._over_limit(execution):
            if execution.waiting is not None:
                self._suspend(execution, now)
            else:
                execution.fresh = False
                self.queue.push(execution)
        self._pulse.leave()
        return now

    def _over_limit(self, execution: Execution) -> bool:
        cpu_limit = execution.agent.spec.limits.cpu_time_seconds
        if cpu_limit is not None and execution.cpu > cpu_limit:
            detail = f"used {execution.cpu:.3f} s of CPU; {cpu_limit} s allowed"
            self.stop(execution, Ending("error", Code.CPU_LIMIT, detail))
        elif execution.wall > execution.timeout:
            self.stop(execution, Ending("error", Code.EXECUTION_TIMEOUT, _timeout_text(execution)))
        return execution.ended

    def _suspend(self, execution: Execution, now: float) -> None:
        waiting = execution.waiting
        assert waiting is not None  # the caller looked
        if execution.border is not None and execution.border.replays:
            self._answer_from_tape(execution, waiting)
            return
        execution.suspended_at = now
        execution.wait_token += 1
        self.suspended += 1
        deadline = now + execution.timeout - execution.wall
        until = deadline if waiting.until is None else min(waiting.until, deadline)
        self._timer_count += 1
        heapq.heappush(self._timers, (until, self._timer_count, execution, execution.wait_token))
        if isinstance(waiting, Ask):
            execution.call_id += 1
            self.router.send(
                HostCall(
                    execution.exec_id, execution.call_id, waiting.kind, waiting.key, waiting.message, waiting.data
                )
            )
        if not isinstance(waiting, Ask) or waiting.kind not in _AT_ONCE:
            execution.told_sleeping = True
            self.router.send(Suspended(execution.exec_id, True))

    def _answer_from_tape(self, execution: Execution, waiting: Sleep | Ask) -> None:
        """A replay waits for nobody: what it was answered is there, and time has passed."""
        try:
            if isinstance(waiting, Sleep):
                self._wake(execution, waiting.finish())
            elif waiting.kind == RESTORE:
                self._wake(execution, waiting.finish(NOT_FOUND, b""))
            else:
                self._wake(execution, _finish(waiting, *execution.border.replayed(waiting)))
        except Diverged:
            detail = "the replay ended: the guest asked for something that was not asked when it was recorded"
            self.stop(execution, Ending("error", Code.AGENT_FAILED, detail))

    def _account_wait(self, execution: Execution) -> None:
        if execution.suspended_at is not None:
            execution.wall += time.monotonic() - execution.suspended_at
            execution.suspended_at = None
            self.suspended -= 1
        execution.waiting = None

    def _wake(self, execution: Execution, value: int) -> None:
        """The guest goes on with `value` at its next turn."""
        self._account_wait(execution)
        instance = execution.instance
        assert instance is not None  # it is suspended inside it, or waits with it for a snapshot
        if instance.pending is not None:
            instance.answer(value)
            instance.renew_slice()
        if execution.told_sleeping:
            execution.told_sleeping = False
            self.router.send(Suspended(execution.exec_id, False))
        self.queue.push(execution)


def _advance(execution: Execution) -> Ending | None:
    """Goes on until the program ends (its ending), the slice is over, or the guest waits (None)."""
    program, instance = execution.program, execution.instance
    assert program is not None  # set by `start`
    try:
        if instance is None or not instance.busy or instance.poll():
            next(program)
        while True:  # here a call of the program's has not ended
            instance = execution.instance
            assert instance is not None  # it made the call
            if instance.pending is None or _deferred(execution, instance):
                return None
            if instance.poll():
                next(program)
    except StopIteration as end:
        ending: Ending = end.value
        return ending


def _deferred(execution: Execution, instance: Instance) -> bool:
    """Does the work of a deferred call; whether the guest has to wait for it."""
    pending = instance.pending
    assert pending is not None  # the caller looked
    try:
        answer = pending.function.call(execution, *pending.arguments)
    except BaseException as problem:
        execution.measure()
        instance.close()
        assert execution.program is not None  # it called
        execution.program.throw(problem)  # raises: programs end with an exception of their guest's
        raise
    if isinstance(answer, (Sleep, Ask)):
        execution.waiting = answer
        return True
    instance.answer(answer)
    return False


def _finish(waiting: Ask, status: int, data: bytes) -> int:
    try:
        return waiting.finish(status, data)
    except OutOfBounds:
        return INVALID


def _timeout_text(execution: Execution) -> str:
    return f"ran, slept and waited for {execution.wall:.1f} s; {execution.timeout} s allowed"

"""A worker process without guests: the same loop, channel, frames, message JSON and results.

Owns what answers in place of a guest. Must never skip work that the real worker does outside wasm.
"""

from __future__ import annotations

import time

from caxton.executor.pulse import Pulse
from caxton.executor.settings import WorkerSettings
from caxton.executor.worker import __main__ as program
from caxton.executor.worker import process
from caxton.executor.worker.channel import Channel
from caxton.executor.worker.execution import Ending, Execution, Handed
from caxton.executor.worker.inbox import message_json
from caxton.executor.worker.residents import Residents
from caxton.executor.worker.results import build_result
from caxton.executor.worker.runqueue import RunQueue


class EchoScheduler:
    """Answers every execution at once with the JSON that a guest would have been given."""

    def __init__(self, settings: WorkerSettings, router: Channel, _pulse: Pulse) -> None:
        self._router = router
        self.executions: dict[int, Execution] = {}
        self.residents = Residents(settings, router.send)
        self.queue = RunQueue()
        self.suspended = 0
        self.finished = 0

    def start(self, execution: Execution) -> None:
        """The echo."""
        if execution.message is not None:
            data = message_json(execution.message)
            execution.handed.append(Handed("reply", execution.next_ordinal(), data))
        self._router.send(build_result(execution, Ending(), resident=True))
        self.executions.pop(execution.exec_id, None)
        self.finished += 1

    def next_timer(self) -> float | None:
        """No timers."""
        return None

    def fire_timers(self) -> None:
        """No timers."""
        time.monotonic()


def main(argument: str) -> int:
    """`WorkerSettings` as JSON → exit status, like the real worker's."""
    process.Scheduler = EchoScheduler  # type: ignore[attr-defined,assignment]  # the one part that differs
    return program.main(argument)

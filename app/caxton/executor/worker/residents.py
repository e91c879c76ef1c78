"""Warm instances between messages, least recently used first.

Owns which instances stay. Must never keep one whose guest did not return normally.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from caxton.executor.settings import WorkerSettings
from caxton.executor.worker.agent import Agent, Resident
from caxton.executor.worker.execution import Execution
from caxton.protocol.execution import Gone

_SMALL_BYTES: Final = 4 * 1024 * 1024
_MAX_RETIRED: Final = 16


class Residents:
    """At most `max_resident` warm instances; every one that leaves is reported as `Gone`."""

    def __init__(self, settings: WorkerSettings, send: Callable[[Gone], None]) -> None:
        self._limit = settings.max_resident
        self._idle_seconds = settings.idle_timeout_seconds
        self._send = send
        self._agents: OrderedDict[Agent, None] = OrderedDict()
        self._retired: list[Resident] = []

    def __len__(self) -> int:
        return len(self._agents)

    def guest_bytes(self) -> int:
        """The size of all their memories."""
        found = (agent.resident for agent in self._agents)
        return sum(
            resident.instance.memory.size() * (1 if resident.captured is None else 2)  # captured: it is there twice
            for resident in found
            if resident is not None
        )

    def give_back(self, execution: Execution) -> bool:
        """Takes the instance of an execution that ended, or closes it; whether it stays."""
        agent, resident = execution.agent, execution.resident
        if resident is None:
            return agent.resident is not None
        if not (execution.keep and agent.persistent) or agent.forgotten:
            if agent.resident is resident:
                agent.resident = None
                self._agents.pop(agent, None)
            self._retire(resident, small=execution.keep and execution.peak_memory <= _SMALL_BYTES)
            return False
        if agent.resident is not None and agent.resident is not resident:
            agent.resident.close()  # a second `Start` made a new one
        resident.instance.host = None
        resident.used_at = time.monotonic()
        agent.resident = resident
        self._agents[agent] = None
        self._agents.move_to_end(agent)
        if len(self._agents) > self._limit:
            self._evict_oldest()
        return True

    def sweep(self) -> None:
        """Frees what ended since the last time. Unmapping makes the processor forget where all memory is, so
        that the next few thousand instructions are slow: once for many is cheaper than once for each.
        """
        for resident in self._retired:
            resident.close()
        self._retired.clear()

    def _retire(self, resident: Resident, *, small: bool) -> None:
        if not small or resident.wasi is not None or resident.captured is not None:
            resident.close()
            return
        resident.instance.host = None
        self._retired.append(resident)
        if len(self._retired) >= _MAX_RETIRED:
            self.sweep()

    def drop(self, agent: Agent, reason: str, *, overdue: bool = False) -> None:
        """Closes the agent's instance and says so, also if there was none."""
        resident, agent.resident = agent.resident, None
        self._agents.pop(agent, None)
        if resident is not None:
            resident.close()
        self._send(Gone(agent.handle, resident.incarnation if resident else 0, reason, overdue))

    def evict_idle(self, now: float) -> None:
        """Drops what has been idle for too long."""
        for agent in list(self._agents):
            resident = agent.resident
            if resident is not None and now - resident.used_at < self._idle_seconds:
                return
            if agent.current is None:
                self.drop(agent, "idle")

    def close(self) -> None:
        """Closes everything without a word: the process ends."""
        self.sweep()
        for agent in list(self._agents):
            if agent.resident is not None:
                agent.resident.close()
        self._agents.clear()

    def _evict_oldest(self) -> None:
        for agent in self._agents:
            if agent.current is None:
                self.drop(agent, "crowded")
                return


def end_reason(agent: Agent) -> str:
    """Why an `End` came: the agent goes, or only its memory is wanted back."""
    return "ended" if agent.forgotten else "reclaimed"

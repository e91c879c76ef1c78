"""Warm instances between messages, least recently used first.

Owns which instances stay. Must never keep one whose guest did not return normally.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from caxton.executor.settings import WorkerSettings
from caxton.executor.worker.agent import Agent
from caxton.executor.worker.execution import Execution
from caxton.protocol.execution import Gone


class Residents:
    """At most `max_resident` warm instances; every one that leaves is reported as `Gone`."""

    def __init__(self, settings: WorkerSettings, send: Callable[[Gone], None]) -> None:
        self._limit = settings.max_resident
        self._idle_seconds = settings.idle_timeout_seconds
        self._send = send
        self._agents: OrderedDict[Agent, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._agents)

    def guest_bytes(self) -> int:
        """The size of all their memories."""
        found = (agent.resident for agent in self._agents)
        return sum(resident.instance.memory.size() for resident in found if resident is not None)

    def give_back(self, execution: Execution) -> bool:
        """Takes the instance of an execution that ended, or closes it; whether it stays."""
        agent, resident = execution.agent, execution.resident
        if resident is None:
            return agent.resident is not None
        if not (execution.keep and agent.persistent) or agent.forgotten:
            if agent.resident is resident:
                agent.resident = None
                self._agents.pop(agent, None)
            resident.close()
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

    def drop(self, agent: Agent, reason: str) -> None:
        """Closes the agent's instance and says so, also if there was none."""
        resident, agent.resident = agent.resident, None
        self._agents.pop(agent, None)
        if resident is not None:
            resident.close()
        self._send(Gone(agent.handle, resident.incarnation if resident else 0, reason))

    def evict_idle(self, now: float) -> None:
        """Drops what has been idle for too long."""
        for agent in list(self._agents):
            resident = agent.resident
            if resident is not None and now - resident.used_at < self._idle_seconds:
                return
            if agent.current is None:
                self.drop(agent, "evicted")

    def close(self) -> None:
        """Closes everything without a word: the process ends."""
        for agent in list(self._agents):
            if agent.resident is not None:
                agent.resident.close()
        self._agents.clear()

    def _evict_oldest(self) -> None:
        for agent in self._agents:
            if agent.current is None:
                self.drop(agent, "evicted")
                return

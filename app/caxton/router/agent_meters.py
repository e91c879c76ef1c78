"""What the router counts by agent for /metrics: of the busiest by name, of the others together.

Owns which agents have a name there. No series ever goes down: an agent that gets a name counts from 0 under it, and
what it did before stays with the others; one that loses its name takes its series along, and adds to the others from
then on. Rates and their sums are right throughout. Must never be asked for a decision.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from typing import Any, Final

from caxton.protocol.execution import Usage

NAMED: Final = 100
OTHERS: Final = "(other)"
"""No agent can be called so."""
ELECTION_SECONDS: Final = 60.0
_WATCHED: Final = 1_000
"""Agents without a name whose use is known, at most; what they use is forgotten by half at each election."""
_FORGOTTEN_SECONDS: Final = 1e-6
_CLEARLY: Final = 2.0
"""An agent without a name must use so many times as much as one with a name to take its place."""


@dataclass(slots=True)
class _Account:
    """`recent`: CPU seconds of late, by which agents are ranked. `memory_bytes`: of the last execution."""

    executions: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    fuel: int = 0
    memory_bytes: int = 0
    recent: float = 0.0


class AgentMeters:
    """At most `named` agents by name. `clock` in seconds, monotonic."""

    def __init__(self, named: int = NAMED, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = named
        self._clock = clock
        self._named: dict[str, _Account] = {}
        self._others = _Account()
        self._watched: dict[str, float] = {}
        self._next_election = clock() + ELECTION_SECONDS

    def ended(self, agent: str, status: str, usage: Usage) -> None:
        """An execution of a message ended by itself; on the hot path."""
        account = self._named.get(agent) or self._unnamed(agent, usage.cpu_seconds)
        cpu_seconds = usage.cpu_seconds
        account.executions[status] += 1
        account.seconds += usage.duration_seconds
        account.cpu_seconds += cpu_seconds
        account.recent += cpu_seconds
        account.memory_bytes = usage.peak_memory_bytes
        if usage.fuel:
            account.fuel += usage.fuel

    def lost(self, agent: str, status: str) -> None:
        """One ended with its worker: nobody can say what it used."""
        account = self._named.get(agent) or self._unnamed(agent, 0.0)
        account.executions[status] += 1

    @property
    def names(self) -> list[str]:
        """Agents that have a name now."""
        return list(self._named)

    def figures(self) -> list[dict[str, Any]]:
        """A row for each agent with a name, and one for the others, without memory: theirs is no one number."""
        named = self._named.items()
        rows = [{**_row(name, account), "memory_bytes": account.memory_bytes} for name, account in named]
        return [*rows, _row(OTHERS, self._others)]

    def _unnamed(self, agent: str, cpu_seconds: float) -> _Account:
        if len(self._named) < self._places:
            return self._named.setdefault(agent, _Account())
        if agent in self._watched or len(self._watched) < _WATCHED:
            self._watched[agent] = self._watched.get(agent, 0.0) + cpu_seconds
        if self._clock() >= self._next_election:
            self._elect()
        return self._named.get(agent, self._others)

    def _elect(self) -> None:
        """The busiest without a name take the places of those that did clearly less."""
        self._next_election = self._clock() + ELECTION_SECONDS
        busiest = nlargest(self._places, self._watched.items(), key=lambda item: item[1])
        least = nsmallest(self._places, self._named.items(), key=lambda item: item[1].recent)
        for (newcomer, recent), (name, account) in zip(busiest, least, strict=False):
            if recent <= _CLEARLY * account.recent:
                break
            del self._named[name], self._watched[newcomer]
            self._named[newcomer] = _Account(recent=recent)
        for account in self._named.values():
            account.recent /= 2
        halves = ((name, recent / 2) for name, recent in self._watched.items())
        self._watched = {name: recent for name, recent in halves if recent > _FORGOTTEN_SECONDS}


def _row(name: str, account: _Account) -> dict[str, Any]:
    return {
        "agent": name,
        "executions": dict(account.executions),
        "seconds": account.seconds,
        "cpu_seconds": account.cpu_seconds,
        "fuel": account.fuel,
    }

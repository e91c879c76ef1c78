"""Topics: who subscribed to what.

Owns the subscriptions, in memory and with the commit that changes them. Must never deliver anything.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

from caxton.protocol.errors import CaxtonError, Code
from caxton.router.commits import Commits
from caxton.store.reader import Reader

MAX_PER_AGENT: Final = 1_000


class Topics:
    """Topic → agent → since when (seconds since the epoch)."""

    def __init__(self, commits: Commits, reader: Reader) -> None:
        self._commits = commits
        self._subscribers: dict[str, dict[str, float]] = {}
        self._counts: Counter[str] = Counter()
        for topic, agent, since in reader.talks.subscriptions():
            self._subscribers.setdefault(topic, {})[agent] = since
            self._counts[agent] += 1

    def names(self) -> list[str]:
        """Topics that somebody subscribed to, sorted."""
        return sorted(self._subscribers)

    def subscribers(self, topic: str) -> dict[str, float]:
        """Who gets what is published, and since when."""
        return self._subscribers.get(topic, {})

    def require_room(self, agent: str, topics: Iterable[str]) -> None:
        """Raises `RESOURCE_LIMIT_EXCEEDED` when these would be more than one agent may subscribe to."""
        more = {topic for topic in topics if agent not in self.subscribers(topic)}
        found = self._counts[agent] + len(more)
        if more and found > MAX_PER_AGENT:
            raise CaxtonError(
                Code.RESOURCE_LIMIT_EXCEEDED,
                f"{agent!r} would subscribe to {found} topics; an agent may to {MAX_PER_AGENT}",
                limit="topics",
                found=found,
                maximum=MAX_PER_AGENT,
            )

    def subscribe(self, topic: str, agent: str) -> None:
        """With this turn's commit; subscribing twice is no error. Ask `require_room` first."""
        if agent in self.subscribers(topic):
            return
        self._counts[agent] += 1
        now = time.time()
        self._subscribers.setdefault(topic, {})[agent] = now
        self._commits.changes.subscriptions.append((topic, agent, now))

    def unsubscribe(self, topic: str, agent: str) -> None:
        """With this turn's commit; one that does not subscribe is no error."""
        if agent in self.subscribers(topic):
            self._drop(topic, agent)
            self._commits.changes.subscriptions.append((topic, agent, None))

    def learn(self, topic: str, agent: str, since: float | None) -> None:
        """What the cluster's registry says, which has it written too; None: not subscribed."""
        if agent in self.subscribers(topic):
            self._drop(topic, agent)
        if since is not None:
            self._counts[agent] += 1
            self._subscribers.setdefault(topic, {})[agent] = since

    def forget(self, agent: str) -> None:
        """The agent is gone: whoever gets its name next has subscribed to nothing."""
        if self._counts[agent] and self._commits.failed is None:
            for topic in self.names():
                self.unsubscribe(topic, agent)

    def _drop(self, topic: str, agent: str) -> None:
        del self._subscribers[topic][agent]
        self._counts[agent] -= 1
        if not self._counts[agent]:
            del self._counts[agent]
        if not self._subscribers[topic]:
            del self._subscribers[topic]

"""Topics: who subscribed to what.

Owns the subscriptions, in memory and with the commit that changes them. Must never deliver anything.
"""

from __future__ import annotations

import time

from caxton.router.commits import Commits
from caxton.store.reader import Reader


class Topics:
    """Topic → agent → since when (seconds since the epoch)."""

    def __init__(self, commits: Commits, reader: Reader) -> None:
        self._commits = commits
        self._subscribers: dict[str, dict[str, float]] = {}
        for topic, agent, since in reader.talks.subscriptions():
            self._subscribers.setdefault(topic, {})[agent] = since

    def names(self) -> list[str]:
        """Topics that somebody subscribed to, sorted."""
        return sorted(self._subscribers)

    def subscribers(self, topic: str) -> dict[str, float]:
        """Who gets what is published, and since when."""
        return self._subscribers.get(topic, {})

    def subscribe(self, topic: str, agent: str) -> None:
        """With this turn's commit; subscribing twice is no error."""
        if agent in self.subscribers(topic):
            return
        now = time.time()
        self._subscribers.setdefault(topic, {})[agent] = now
        self._commits.changes.subscriptions.append((topic, agent, now))

    def unsubscribe(self, topic: str, agent: str) -> None:
        """With this turn's commit; one that does not subscribe is no error."""
        if agent in self.subscribers(topic):
            self._drop(topic, agent)
            self._commits.changes.subscriptions.append((topic, agent, None))

    def forget(self, agent: str) -> None:
        """The agent is gone: whoever gets its name next has subscribed to nothing."""
        for topic in self.names():
            if self._commits.failed is None:
                self.unsubscribe(topic, agent)

    def _drop(self, topic: str, agent: str) -> None:
        del self._subscribers[topic][agent]
        if not self._subscribers[topic]:
            del self._subscribers[topic]

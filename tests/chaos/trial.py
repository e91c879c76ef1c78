"""A cluster under load, and what there is to be said about it when it is at rest again.

Owns the agents, the clients, the watch over homes, and the gathering of evidence. Must never break anything.
"""

from __future__ import annotations

import base64
import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any, Final

from caxton.protocol.agents import AgentConfig, Grants, Instance
from caxton.protocol.operations import Deploy, Listing, Named
from chaos.judge import Account, Diary, Evidence, Seen, Sent, problems
from chaos.load import COURIER, SCRIBE, Client, Way
from support.cluster_nodes import LocalCluster
from support.router_modules import wasm
from support.served_node import until

CLIENTS_EACH: Final = 2
REST_SECONDS: Final = 120.0
_WATCH_SECONDS: Final = 0.25
_COURIER: Final = "courier"


class Trial:
    """One for the life of a cluster: what is accepted in each of its `load`s stays accounted for."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.scribes = [cluster.named_for(name, f"scribe-{name}-") for name in cluster.names]
        self.clients: list[Client] = []
        self.seen: list[Seen] = []
        self._numbers = itertools.count(1)
        self._sent: list[Sent] = []
        self._problems: list[str] = []

    def deploy(self) -> None:
        """A scribe at home on each node, a courier on all; returns when every node knows them."""
        ask = self.cluster[self.cluster.names[0]].call
        for scribe in self.scribes:
            ask("agent.deploy", Deploy(AgentConfig(scribe), wasm(SCRIBE), 60.0), 90.0)
        none = Grants(kv=False)
        courier = AgentConfig(_COURIER, instance=Instance.PER_MESSAGE, replicas="all", grants=none)
        ask("agent.deploy", Deploy(courier, wasm(COURIER), 60.0), 90.0)
        for node in self.cluster:
            for name in (*self.scribes, _COURIER):
                until(partial(node.answer, "agent.get", Named(name)), f"{node.name} knows {name}", 60)

    @contextmanager
    def load(self, pause: float = 0.05) -> Iterator[None]:
        """Clients on each node meanwhile; afterwards the cluster is at rest, or that is a problem."""
        ways = [Way(scribe) for scribe in self.scribes] + [Way(scribe, _COURIER) for scribe in self.scribes]
        halt = threading.Event()
        watch = threading.Thread(target=self._watch, args=(halt,), daemon=True)
        self.clients = [
            Client(next(self._numbers), partial(self.cluster.client, name, 5.0), ways, pause)
            for name in self.cluster.names
            for _ in range(CLIENTS_EACH)
        ]
        for thread in (watch, *self.clients):
            thread.start()
        try:
            yield
        finally:
            for client in self.clients:
                client.end(REST_SECONDS)
            self._rest()
            halt.set()
            watch.join()
            self._sent += [one for client in self.clients for one in client.sent]
            self._problems += [client.problem for client in self.clients if client.problem]

    def verdict(self) -> list[str]:
        """What is wrong; empty when nothing is. Only at rest."""
        return [*self._problems, *problems(self.evidence())]

    def evidence(self) -> Evidence:
        """All that is known now."""
        accounts = {node.name: self._account(node.call("ledger")) for node in self.cluster}
        return Evidence(self._sent, {name: self._diary(name) for name in self.scribes}, accounts, self.seen)

    def all_accepted_since(self, moment: float) -> float:
        """How long after a moment (monotonic clock) every client was heard again, seconds; -1: not yet."""
        firsts = [next((at for at in client.accepted_at if at > moment), None) for client in self.clients]
        return -1.0 if None in firsts else max(at for at in firsts if at is not None) - moment

    def _rest(self) -> None:
        try:
            until(self._at_rest, "the cluster is at rest", REST_SECONDS)
        except AssertionError as error:
            self._problems.append(f"{error}: {self._unrest()}")

    def _at_rest(self) -> bool:
        for node in self.cluster:
            node.tend()
        return not self._unrest()

    def _unrest(self) -> list[str]:
        """What is not at rest yet."""
        found = []
        for node in self.cluster:
            status, ready, books = (node.answer(op) for op in ("cluster.status", "ready", "ledger"))
            if status is None or ready is None or books is None:
                return [f"{node.name} does not answer"]
            found += [f"{node.name}: {one['problem']} {one.get('node')}" for one in status["problems"]]
            found += [f"{node.name}: {one}" for one in ready.get("reasons", ())]
            found += [f"{node.name}: {len(status['outbox'])} outboxes"] if status["outbox"] else []
            found += [f"{node.name}: {len(status['handovers'])} handovers"] if status["handovers"] else []
            under_way = books["node"]["pending"] + books["node"]["in_flight"]
            found += [f"{node.name}: {under_way} messages"] if under_way else []
        return found

    def _account(self, books: dict[str, Any]) -> Account:
        """Of scribes only: a courier's message may be taken by two of its replicas, which is no harm."""
        rows, total = [row for row in books["agents"] if row["name"] in self.scribes], books["node"]
        return Account(
            sum(row["accepted"] for row in rows),
            sum(row["forwarded"] for row in rows),
            total["imbalance"],
            total["pending"] + total["in_flight"],
            total["dead"],
        )

    def _diary(self, scribe: str) -> Diary:
        count, effects = 0, dict[str, int]()
        ask, cursor = self.cluster[self.cluster.names[0]].call, None
        while True:
            page = ask("agent.state", Listing(name=scribe, limit=200, cursor=cursor))
            for row in page["items"]:
                if row["key"] == "n":
                    count = _number(row)
                else:
                    effects[json.loads(row["key"])["content"]] = _number(row)
            cursor = page["next_cursor"]
            if cursor is None:
                return Diary(count, effects)

    def _watch(self, halt: threading.Event) -> None:
        """Who has a scribe. Nodes are read in turn, so each twice: one that moves meanwhile is at neither."""
        begun = time.monotonic()
        while not halt.wait(_WATCH_SECONDS):
            before = {node.name: _lives(node.data / "local.db") for node in self.cluster}
            after = {node.name: _lives(node.data / "local.db") for node in self.cluster}
            for scribe in self.scribes:
                nodes = tuple(name for name in before if scribe in before[name] & after[name])
                self.seen.append(Seen(scribe, time.monotonic() - begun, nodes))


def _number(row: dict[str, Any]) -> int:
    value = row["value"]
    return int.from_bytes(base64.b64decode(value) if row["encoding"] == "base64" else value.encode(), "little")


def _lives(database: Any) -> set[str]:
    """Agents that a node has and is not about to give or take, as its disk says."""
    query = "SELECT name FROM agent WHERE name NOT IN (SELECT agent FROM handover)"
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1)) as reader:
        return {name for (name,) in reader.execute(query)}
    return set()

"""Three whole nodes that are one cluster, asked by the sockets of their routers.

Owns what tests of forwarding ask of them. Must never touch a process that it did not start.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import convert

from caxton.cluster.placement import first
from caxton.protocol.agents import AgentConfig
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Deploy, Listing, Named, Nothing
from support.operated_cluster import OperatedCluster
from support.router_client import RouterClient
from support.router_modules import wasm
from support.served_node import ServedNode, until

NAMES = ("n1", "n2", "n3")
PATIENCE = 60.0


class Member:
    """One node of the cluster, by the socket of its router."""

    def __init__(self, name: str, node: ServedNode) -> None:
        self.name = name
        self.node = node
        node.environ["CAXTON_RUN_DIR"] = str(node.directory / "run")
        self._client: RouterClient | None = None

    @property
    def socket(self) -> Path:
        """The router's."""
        return self.node.directory / "run" / "router.sock"

    @property
    def client(self) -> RouterClient:
        """A client of the router; a new one after the router has ended."""
        if self._client is None:
            self._client = until(self._connected, f"the router of {self.name} answers", PATIENCE)
        return self._client

    def _connected(self) -> RouterClient | None:
        with suppress(OSError):
            return RouterClient(self.socket, PATIENCE)
        return None

    def call(self, op: str, args: Any = None) -> Any:
        """Asks this node's router."""
        try:
            return self.client.call(op, args)
        except (OSError, EOFError):
            self.forget()
            raise

    def forget(self) -> None:
        """The connection is over."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def refusal(self, op: str, args: Any = None) -> CaxtonError:
        """The error that this node answers."""
        try:
            answer = self.call(op, args)
        except CaxtonError as error:
            return error
        raise AssertionError(f"{op} was not refused: {answer}")

    def decided(self, op: str, args: Any) -> Any:
        """The answer, or None while nothing may be changed: a busy machine misses a heartbeat now and then."""
        try:
            return self.call(op, args)
        except CaxtonError as error:
            if error.code is Code.CLUSTER_MINORITY:
                return None
            raise

    def router(self) -> int:
        """The router's pid."""
        return next(pid for line, pid in self.node.children().items() if line.startswith("caxton.router"))

    def signal(self, number: signal.Signals) -> None:
        """To the router; it is started again when it ends."""
        os.kill(self.router(), number)

    def ledger(self) -> dict[str, Any]:
        """Its accounts by agent."""
        return {row["name"]: row for row in self.call("ledger")["agents"]}


class Nodes:
    """The cluster. `variables`: of every node."""

    def __init__(self, **variables: str) -> None:
        self._cluster = OperatedCluster(len(NAMES), CAXTON_MESSAGING__LOW_DISK_BYTES="1MB", **variables)
        self.members = {name: Member(name, self._cluster[name]) for name in NAMES}

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    def start(self) -> Nodes:
        """All at once; returns when each sees all of them."""
        for name in NAMES:
            self._cluster.launch(name)
        self.whole()
        return self

    def launch(self, name: str) -> None:
        """Starts one that was lost, and does not wait."""
        self._cluster.launch(name)

    def whole(self) -> None:
        """Returns when every node serves, sees all others, and may change things."""
        for member in self:
            until(partial(self._is_whole, member), f"{member.name} sees the whole cluster", PATIENCE)

    def _is_whole(self, member: Member) -> bool:
        try:
            ready = member.call("ready", Nothing())["ready"]
            seen = member.call("cluster.status", Nothing())
        except (OSError, EOFError, CaxtonError):
            return False
        reached = [one for one in seen["members"] if one["path"] != "none" and one["state"] == "active"]
        return bool(ready and seen["majority"]) and len(reached) == len(NAMES)

    def close(self) -> None:
        """Ends all of them."""
        for member in self:
            member.forget()
        self._cluster.close()

    def logs(self) -> str:
        """What they said last."""
        return "\n".join(f"==== {member.name}\n{member.node.log[-4000:]}" for member in self)

    def deploy(self, through: str, name: str, module: str, **config: Any) -> str:
        """Deploys, by this node, as soon as that may; every node knows the agent then. Gives where it lives."""
        made = Deploy(convert({"name": name, **config}, AgentConfig), wasm(module), PATIENCE)
        view = until(lambda: self[through].decided("agent.deploy", made), f"{name} may be deployed", PATIENCE)
        self.known(name)
        return str(view["agent"]["node"])

    def known(self, *names: str) -> None:
        """Returns when every node knows these agents and can ask them."""
        for member in self:
            for name in names:
                until(partial(_shown, member, name), f"{member.name} knows {name}", PATIENCE)


def named_for(node: str, base: str) -> str:
    """A name of which `node` decides, so that the agent's home is there."""
    return next(f"{base}{number}" for number in range(1_000) if first(f"{base}{number}", NAMES) == node)


def _shown(member: Member, name: str) -> bool:
    try:
        return bool(member.call("agent.get", Named(name)))
    except CaxtonError as error:
        if error.code in (Code.AGENT_NOT_FOUND, Code.NOT_READY):
            return False
        raise


def listed(member: Member, op: str, limit: int, **filters: Any) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = member.call(op, Listing(limit=limit, cursor=cursor, **filters))
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


__all__ = ["NAMES", "Member", "Nodes", "listed", "named_for", "until"]

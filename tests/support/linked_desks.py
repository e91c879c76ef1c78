"""Whole routers in one loop, each over its own database and executor, that reach each other by function calls.

Owns the links between them, which can be cut, and who is a member. What is tested of a cluster here needs no TLS and
no gossip: those have tests of their own.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from caxton.protocol.access import node_caller
from caxton.protocol.agents import AgentConfig, AgentStatus
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import OPERATIONS, Deploy
from caxton.router import boot
from caxton.router.cluster.beats import Beats
from caxton.router.cluster.install import Installing
from caxton.router.cluster.modules import Fetching
from caxton.router.cluster.publishing import publish_all
from caxton.router.cluster.pulling import Pulling
from caxton.router.cluster.reconcile import Reconciler
from caxton.router.connection import Sink
from caxton.router.desk import Desk
from caxton.router.operations.table import make_operations
from caxton.router.process import make_desk
from caxton.store import Store
from support.router_modules import wasm
from support.router_node import Executor, make_config, until

PATIENCE = 20.0


@dataclass(frozen=True)
class Members:
    """As `cluster.membership.Members`, as far as the registry's work asks."""

    node_id: str
    active: tuple[str, ...]
    reachable: frozenset[str]
    majority: bool
    states: Mapping[str, str] = field(default_factory=dict)
    out: Mapping[str, str] = field(default_factory=dict)


class Told:
    """In the place of the heartbeats: the members, and hints that arrive at once."""

    def __init__(self, cluster: Desks, name: str) -> None:
        self._cluster, self._name = cluster, name
        self.digest = ""

    @property
    def members(self) -> Members:
        return self._cluster.members(self._name)

    def tell(self, digest: str) -> None:
        self.digest = digest
        asyncio.get_running_loop().call_soon(self._cluster.beat, self._name)


class Wire:
    """Calls into the other routers' operations."""

    def __init__(self, cluster: Desks, name: str) -> None:
        self._cluster, self._name = cluster, name
        self.calls: list[tuple[str, str]] = []

    async def call(self, node: str, op: str, args: msgspec.Struct, *, timeout: float = 30.0) -> bytes:
        desk = self._cluster.reach(self._name, node)
        self.calls.append((node, op))
        result = await make_operations(desk)[op].handler(_sent(op, args), cast("Sink", None), node_caller(self._name))
        self._cluster.reach(self._name, node)
        return msgspec.json.encode(result)

    async def stream(self, node: str, op: str, args: msgspec.Struct) -> AsyncGenerator[bytes, None]:
        desk = self._cluster.reach(self._name, node)
        self.calls.append((node, op))
        queue: asyncio.Queue[bytes | CaxtonError | None] = asyncio.Queue(2)
        task = asyncio.ensure_future(_into(queue, desk, op, args, self._name))
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, CaxtonError):
                    raise item
                self._cluster.reach(self._name, node)
                yield item
        finally:
            task.cancel()


async def _into(queue: asyncio.Queue[Any], desk: Desk, op: str, args: msgspec.Struct, asker: str) -> None:
    class Queued:
        async def put(self, item: Any) -> None:
            await queue.put(msgspec.json.encode(item))

    try:
        await make_operations(desk)[op].handler(_sent(op, args), cast("Sink", Queued()), node_caller(asker))
        await queue.put(None)
    except CaxtonError as error:
        await queue.put(error)


def _sent(op: str, args: msgspec.Struct) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(args), type=OPERATIONS[op][0])


class Linked:
    """One of the nodes. Up or down; its directory stays."""

    def __init__(self, cluster: Desks, name: str, directory: Path, **settings: Any) -> None:
        self.name = name
        self._cluster = cluster
        directory.mkdir()
        self.config, file = make_config(
            directory,
            coordination__cluster_enabled=True,
            coordination__node_id=name,
            coordination__expected_nodes=len(cluster.names),
            **settings,
        )
        self.executor = Executor(file, directory / "executor.log")
        self.up = False

    async def boot(self) -> None:
        self.store = Store.open(self.config.paths.database)
        self.desk = make_desk(self.config, self.store)
        cluster = self.desk.cluster
        assert cluster is not None
        self.wire = Wire(self._cluster, self.name)
        cluster.beats = cast("Beats", told := Told(self._cluster, self.name))
        cluster.fetching = Fetching(self.desk.modules, self.wire)
        cluster.pulling = Pulling(
            cluster.records, self.desk.core, self.wire, lambda: told.members, len(self._cluster.names), told.tell
        )
        self.reconciler = Reconciler(
            self.desk,
            cluster.records,
            Installing(self.desk, cluster.records, cluster.fetching),
            lambda: told.members,
            cluster.reconciled,
        )
        await self.desk.core.start()
        await boot.resume(self.desk)
        self.up = True
        await until(lambda: not self.desk.core.ready_reasons())
        for work in (
            cluster.pulling.run(),
            publish_all(self.desk, cluster),
            self.reconciler.run(self.pulling.synced),
        ):
            self.desk.spawn(work)
        self._cluster.met()

    @property
    def pulling(self) -> Pulling:
        assert self.desk.cluster is not None
        return self.desk.cluster.pulling

    @property
    def digest(self) -> str:
        return self.pulling.registry.digest()

    async def stop(self) -> None:
        """In order, as on SIGTERM."""
        self.up = False
        self._cluster.met()
        await self.desk.core.stop()
        tasks = list(self.desk.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.desk.readers.shutdown(wait=True)
        await self.desk.audit.close()
        self.store.close()

    async def ask(self, op: str, args: Any) -> Any:
        """An operation, by somebody who may do everything; the result as JSON's plain data."""
        caller = node_caller("test")
        result = await make_operations(self.desk)[op].handler(args, cast("Sink", None), caller)
        return msgspec.json.decode(msgspec.json.encode(result))

    async def deploy(self, name: str, module: str | bytes, **config: Any) -> Any:
        code = wasm(module) if isinstance(module, str) else module
        made = msgspec.convert({"name": name, **config}, AgentConfig)
        return await self.ask("agent.deploy", Deploy(made, code, PATIENCE))

    def status(self, name: str) -> str | None:
        """The agent's here; None: it is not here, or on its way."""
        agent = self.desk.registry.get(name)
        if agent is None or (agent.status is AgentStatus.RUNNING and not self.desk.core.is_open(name)):
            return None
        return agent.status.value


class Desks:
    """The cluster. `cuts`: pairs of nodes that do not reach each other."""

    def __init__(self, directory: Path, count: int) -> None:
        self.names = [f"n{number}" for number in range(1, count + 1)]
        self.cuts: set[frozenset[str]] = set()
        self.nodes = {name: Linked(self, name, directory / name) for name in self.names}

    def __iter__(self) -> Any:
        return iter(self.nodes.values())

    def __getitem__(self, number: int) -> Linked:
        return self.nodes[self.names[number]]

    def reaches(self, one: str, other: str) -> bool:
        nodes = self.nodes
        return one == other or (nodes[one].up and nodes[other].up and frozenset({one, other}) not in self.cuts)

    def members(self, of: str) -> Members:
        reached = tuple(name for name in self.names if self.reaches(of, name))
        states = dict.fromkeys(reached, "active")
        out = {name: "failed" for name in self.names if name not in reached}
        return Members(of, reached, frozenset(reached), 2 * len(reached) > len(self.names), states, out)

    def reach(self, one: str, other: str) -> Desk:
        if other not in self.nodes or not self.reaches(one, other):
            raise CaxtonError(Code.NOT_READY, f"{other} cannot be reached now", node=other)
        return self.nodes[other].desk

    def beat(self, sender: str) -> None:
        """The others hear what the sender's registry is like."""
        for node in self:
            if node.name != sender and node.up and self.reaches(sender, node.name):
                node.pulling.heard(sender, self.nodes[sender].digest)

    def cut(self, one: Linked, *others: Linked) -> None:
        self.cuts |= {frozenset({one.name, other.name}) for other in others}
        self.met()

    def heal(self) -> None:
        self.cuts.clear()
        self.met()

    def met(self) -> None:
        """Who reaches whom has changed."""
        for node in self:
            if node.up:
                node.reconciler.members_changed()
                self.beat(node.name)

    async def equal(self) -> None:
        """Waits until all that are up have the same registry."""
        await until(lambda: len({node.digest for node in self if node.up}) == 1)

    async def all(self, holds: Callable[[Linked], Any]) -> None:
        """Waits until it holds on all that are up."""
        await until(lambda: all(holds(node) for node in self if node.up))


@asynccontextmanager
async def linked_desks(count: int = 3) -> AsyncIterator[Desks]:
    """Nodes that are up, and gone afterwards with all their processes."""
    directory = Path(tempfile.mkdtemp(prefix="cx"))
    cluster = Desks(directory, count)
    try:
        for node in cluster:
            await node.boot()
        yield cluster
        for node in cluster:
            if node.up:
                await asyncio.wait_for(node.stop(), PATIENCE)
    finally:
        for node in cluster:
            node.executor.end()
        shutil.rmtree(directory, ignore_errors=True)


__all__ = ["Desks", "Linked", "linked_desks", "until"]

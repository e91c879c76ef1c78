"""What a memory that is committed costs: per execution, per wake, per agent that only waits."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from bench.measure import Figure, Table, percentile
from caxton.protocol.agents import AgentStatus
from caxton.protocol.execution import Execute, HostCall, HostReply, Result, Start
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery
from caxton.router.agents import Agent
from caxton.router.rows import agent_row
from caxton.router.snapshots.service import hibernates
from caxton.store import Changes
from support.router_node import Node, message, running_node, until
from support.snapshot_agents import COUNTER
from support.worker_harness import Harness

ROUNDS: Final = 5
PER_ROUND: Final = 200
WAKES: Final = 300
RESIDENT: Final = 10_000
HIBERNATED: Final = int(os.environ.get("CAXTON_BENCH_HIBERNATED", "100000"))
_AT_ONCE: Final = 500
_NOT_FOUND: Final = -4
SMALL: Final = COUNTER.replace('"memory") 2)', '"memory") 1)')
FULL: Final = COUNTER.replace(
    '"memory") 2)',
    """"memory") 16)
 (func (export "_initialize") (local $at i32) (local $x i64)
  (local.set $at (i32.const 65536)) (local.set $x (i64.const 88172645463325252))
  (loop $fill
   (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
   (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
   (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
   (i64.store (local.get $at) (local.get $x))
   (br_if $fill (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (i32.const 1048576)))))""",
)
"""1 MiB, every other word of it random: nothing is zero, and it compresses to about a half."""


def run() -> list[Table]:
    """All tables of snapshots."""
    load = "load of the machine: {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())
    return [asyncio.run(_executions([load])), asyncio.run(_wakes()), _residents(), asyncio.run(_hibernated())]


async def _executions(notes: list[str]) -> Table:
    """One durable message at a time: accepted, executed, committed, answered."""
    async with running_node() as node:
        for name, wat in (("small", SMALL), ("full", FULL)):
            await node.deploy(f"{name}-memory", wat)
            await node.deploy(f"{name}-snapshot", wat, state="snapshot")
        names = [f"{name}-{state}" for name in ("small", "full") for state in ("memory", "snapshot")]
        rounds: dict[str, list[_Cost]] = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in names:
                rounds[name].append(await _each(node, name))
    figures = []
    for name, size in (("small", "64 KiB"), ("full", "1 MiB")):
        without, given = rounds[f"{name}-memory"], rounds[f"{name}-snapshot"]
        pairs = list(zip(without, given, strict=True))
        figures += [
            Figure(f'{size}, state = "memory": message → reply', _micros(one.wall for one in without), "µs"),
            Figure(f'{size}, state = "snapshot": message → reply', _micros(one.wall for one in given), "µs"),
            Figure(f"{size}: what it costs, message → reply", _micros(b.wall - a.wall for a, b in pairs), "µs"),
            Figure(f"{size}: what it costs, CPU of the worker", _micros(b.cpu - a.cpu for a, b in pairs), "µs"),
        ]
    return Table("One durable message at a time, through the router; 3 blocks of 4 KiB change", figures, notes)


class _Cost(NamedTuple):
    """Seconds of one execution: from message to reply, and of the worker's CPU; medians."""

    wall: float
    cpu: float


async def _each(node: Node, name: str) -> _Cost:
    walls, ids = [], []
    for _ in range(PER_ROUND):
        began = time.perf_counter()
        ids.append((await node.ask(name, delivery=Delivery.DURABLE)).message_id)
        walls.append(time.perf_counter() - began)
    return _Cost(statistics.median(walls), statistics.median(_cpu_seconds(node, one) for one in ids))


def _cpu_seconds(node: Node, message_id: str) -> float:
    outcome = node.row(message_id).outcome
    assert outcome is not None
    assert outcome.execution is not None
    return outcome.execution.cpu_seconds


def _micros(seconds: Iterable[float]) -> float:
    return statistics.median(seconds) * 1e6


async def _wakes() -> Table:
    """From a message to the reply of an agent that only its snapshot of 1 MiB holds."""
    async with running_node() as node:
        await node.deploy("full", FULL, state="snapshot")
        await node.ask("full")
        box = node.core._boxes.get("full")
        assert box is not None
        seconds, cpu = [], []
        for _ in range(WAKES):
            node.core.end_idle(1 << 62)
            await until(lambda: hibernates(box) and not node.store.reader.snapshots.unfolded())
            began = time.perf_counter()
            woken = await node.ask("full", delivery=Delivery.DURABLE)
            seconds.append(time.perf_counter() - began)
            cpu.append(_cpu_seconds(node, woken.message_id))
        stored = node.store.reader.snapshots.stored_bytes("full")
    figures = [
        Figure("message → reply, p50", percentile(seconds, 0.5) * 1e3, "ms"),
        Figure("message → reply, p99", percentile(seconds, 0.99) * 1e3, "ms", "≤ 10"),
        Figure("CPU of the worker for it", statistics.median(cpu) * 1e3, "ms"),
        Figure("stored", stored / 1024, "KiB"),
    ]
    notes = ["load of the machine: {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())]
    return Table(f"Wake of 1 MiB, {WAKES} times", figures, notes)


def _residents() -> Table:
    """Idle reactors in one worker; the second row has a copy of each memory beside it."""
    figures = []
    for snapshot in (False, True):
        with Harness(max_resident=RESIDENT + 1) as harness:
            handle = harness.load(SMALL, fetch=False, snapshot=snapshot)
            first = next(harness._ids)
            harness.send(Start(first, handle, 1))
            harness.serve_fetch()
            _started(harness, first)
            before = _rss(harness)
            encoded = msgspec.msgpack.encode(message("agent"))
            for _ in range(RESIDENT):
                handle = harness.load(SMALL, fetch=False, snapshot=snapshot)
                exec_id = next(harness._ids)
                harness.send(Execute(exec_id, handle, 1, encoded))
                _started(harness, exec_id)
            each = (_rss(harness) - before) / RESIDENT
        name = "with a snapshot" if snapshot else "without"
        figures.append(Figure(f"resident memory of each, {name}", each / 1024, "KiB", "≤ 64"))
    return Table(f"{RESIDENT:,} idle reactors of 64 KiB in one worker, one message handled by each", figures)


def _started(harness: Harness, exec_id: int) -> None:
    while True:
        frame = harness.wait_for(lambda f: isinstance(f, HostCall | Result) and f.exec_id == exec_id)
        if isinstance(frame, Result):
            assert frame.status == "ok", frame
            return
        harness.send(HostReply(exec_id, frame.call_id, _NOT_FOUND))


def _rss(harness: Harness) -> int:
    return _rss_of(harness.process.pid)


def _rss_of(pid: int | str) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _hibernated() -> Table:
    """Agents that have handled one message and left memory again."""
    async with running_node(runtime__executor_workers=2, runtime__max_agents=HIBERNATED + 10) as node:
        model = await node.deploy("model", SMALL, state="snapshot")
        await node.ask("model")
        router, disk = _rss_of("self"), _bytes_on_disk(node)
        names = [f"agent{index}" for index in range(HIBERNATED)]
        for start in range(0, HIBERNATED, _AT_ONCE):
            await _deploy_many(node, model, names[start : start + _AT_ONCE])
            await asyncio.gather(*(node.ask(name) for name in names[start : start + _AT_ONCE]))
            node.core.end_idle(1 << 62)
        figures_of = node.core.stats
        await until(lambda: figures_of()["meters"]["snapshots"]["hibernated"] >= HIBERNATED, 600)
        await until(lambda: not node.store.reader.snapshots.unfolded(), 600)
        router, disk = _rss_of("self") - router, _bytes_on_disk(node) - disk
        seconds = []
        for index in range(0, HIBERNATED, max(HIBERNATED // 1_000, 1)):
            began = time.perf_counter()
            assert (await node.ask(names[index])).content == msgspec.Raw(b"2")
            seconds.append(time.perf_counter() - began)
    figures = [
        Figure("router's memory for each", router / HIBERNATED / 1024, "KiB"),
        Figure("database for each", disk / HIBERNATED / 1024, "KiB"),
        Figure("wake of any of them, p50", percentile(seconds, 0.5) * 1e3, "ms"),
        Figure("wake of any of them, p99", percentile(seconds, 0.99) * 1e3, "ms"),
    ]
    return Table(f"{HIBERNATED:,} hibernated agents of 64 KiB", figures)


async def _deploy_many(node: Node, model: Agent, names: list[str]) -> None:
    rows: list[Any] = []
    for name in names:
        config = msgspec.structs.replace(model.config, name=name)
        agent = Agent(
            name, new_id(), 1, config, model.module, model.limits, model.shape, model.instance, 1, time.time(),
            AgentStatus.RUNNING,
        )  # fmt: skip
        node.registry.add(agent)
        node.core.attach(agent)
        rows.append(agent_row(agent))
    await node.core.commit(Changes(agents=rows))


def _bytes_on_disk(node: Node) -> int:
    return node.store.reader.sizes().used

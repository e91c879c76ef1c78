"""The numbers of the node, for /metrics, for `caxton doctor` and for people.

Owns the names in the answer of `stats`; app/docs/metrics.md lists what becomes of them. Must never change anything.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from caxton import __version__
from caxton.protocol.agents import AgentStatus
from caxton.protocol.operations import Nothing
from caxton.protocol.views import LedgerRow
from caxton.router import readiness
from caxton.router.agent_meters import NAMED, OTHERS
from caxton.router.cluster.figures import figures as cluster_figures
from caxton.router.desk import Desk
from caxton.router.operations import namespaces as ops_namespaces
from caxton.router.operations import node as ops_node


async def stats(desk: Desk, _: Nothing) -> dict[str, Any]:
    """Plain names, seconds, bytes, counts; numbers in nested objects become gauges by their path."""
    sizes = await desk.read(desk.store.reader.sizes)
    dead_letters = await desk.read(desk.store.reader.dead_letters)
    books = await ops_node.ledger(desk, Nothing())
    core = desk.core.stats()
    meters = core.pop("meters")
    audit, recordings = desk.audit.recorder.meters(), desk.recordings.figures()
    by_status = Counter(agent.status for agent in desk.registry)
    return {
        "node": desk.node,
        "uptime_seconds": time.time() - desk.started_at,
        "ready": readiness.readiness(desk),
        "draining": readiness.is_draining(desk),
        "paused": core["paused"],
        "agents": {status: by_status[status] for status in AgentStatus},
        "jobs_running": len(desk.jobs),
        "rollouts_running": len(desk.rollouts),
        "secrets": desk.core.secrets.figures(),
        "events": {"last_id": desk.events.last_id, "subscribers": desk.events.subscribers},
        "store": sizes,
        "store_low_disk_bytes": desk.config.messaging.low_disk_bytes,
        "queue_limit": desk.config.messaging.queue_size,
        "dead_letters": dead_letters,
        "ledger": books.node,
        "agents_ledger": of_the_busiest(books.agents, desk.core.meters.agents.names),
        "executor": _executor(desk, core["workers"]),
        "performance": _performance(desk),
        "namespaces": ops_namespaces.figures(desk),
        "core": core,
        "spans": desk.exporter.counts,
        "versions": _versions(core["workers"]),
        "audit": desk.audit.recorder.figures(),
        **_cluster(desk),
        "meters": {**meters, "rollouts": dict(desk.rollouts.ended), "recordings": recordings, "audit": audit},
    }


def _cluster(desk: Desk) -> dict[str, Any]:
    return {} if desk.cluster is None else {"cluster": cluster_figures(desk, desk.cluster)}


def _executor(desk: Desk, workers: list[dict[str, Any]]) -> dict[str, float]:
    runtime = desk.config.runtime
    return {
        "workers": len(workers),
        "resident_bytes": sum(worker["rss_bytes"] for worker in workers),
        "resident_instances": sum(worker["resident"] for worker in workers),
        "suspended_executions": sum(worker["suspended"] for worker in workers),
        "memory_limit_bytes": runtime.memory_limit,
        "cpu_quota_cores": runtime.cpu_quota,
    }


def _versions(workers: list[dict[str, Any]]) -> dict[str, str | None]:
    """Of the software that runs in each process; None where nobody is there to say it."""
    executor = next((worker["version"] for worker in workers), None)
    return {"router": __version__, "executor": executor}


def _performance(desk: Desk) -> dict[str, float]:
    """The keys that say how long instances stay, as they are in force."""
    runtime = desk.config.runtime
    return {
        "gc_interval": runtime.gc_interval,
        "memory_pressure_threshold": runtime.memory_pressure_threshold,
        "agent_memory_reclaim": runtime.agent_memory_reclaim,
        "agent_idle_timeout": runtime.agent_idle_timeout,
        "agent_startup_timeout": runtime.agent_startup_timeout,
        "agent_shutdown_timeout": runtime.agent_shutdown_timeout,
    }


def of_the_busiest(rows: list[LedgerRow], named: list[str], places: int = NAMED) -> list[LedgerRow]:
    """The lines of at most `places` agents, those `named` first, then where most waits; and the others' sum."""
    first = frozenset(named)
    ranked = sorted(rows, key=lambda row: (row.name not in first, -row.pending, row.name))
    shown, rest = ranked[:places], ranked[places:]
    return [*shown, ops_node.total(OTHERS, rest)] if rest else shown

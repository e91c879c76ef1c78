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
from caxton.router import readiness
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
    audit = desk.audit.recorder.meters()
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
        "agents_ledger": books.agents,
        "executor": _executor(desk, core["workers"]),
        "namespaces": ops_namespaces.figures(desk),
        "core": core,
        "versions": _versions(core["workers"]),
        "audit": desk.audit.recorder.figures(),
        "recordings": desk.recordings.figures(),
        **_cluster(desk),
        "meters": {
            **meters,
            "commits": _commits(desk),
            "rollouts": dict(desk.rollouts.ended),
            "audit": audit,
            "recordings": desk.recordings.meters(),
        },
        **({"spans": desk.exporter.counts} if desk.config.observability.enable_tracing else {}),
    }


def _cluster(desk: Desk) -> dict[str, Any]:
    return {} if desk.cluster is None else {"cluster": cluster_figures(desk, desk.cluster)}


def _executor(desk: Desk, workers: list[dict[str, Any]]) -> dict[str, float]:
    runtime = desk.config.runtime
    return {
        "workers": len(workers),
        "resident_bytes": sum(worker["rss_bytes"] for worker in workers),
        "memory_limit_bytes": runtime.memory_limit,
        "cpu_quota_cores": runtime.cpu_quota,
    }


def _versions(workers: list[dict[str, Any]]) -> dict[str, str | None]:
    """Of the software that runs in each process; None where nobody is there to say it."""
    executor = next((worker["version"] for worker in workers), None)
    return {"router": __version__, "executor": executor}


def _commits(desk: Desk) -> dict[str, float]:
    return {"count": desk.store.writer.commits, "seconds": desk.store.writer.commit_seconds}

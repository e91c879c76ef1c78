"""Which of the router's numbers are gauges, under which names.

Owns these names (app/docs/metrics.md lists them too). Must never name a number twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, Metric

GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    "uptime_seconds": ("uptime_seconds", "How long the router has run"),
    "draining": ("draining", "Drained by an operator, or about to stop"),
    "paused": ("paused", "No execution is started"),
    "jobs_running": ("jobs_running", "Deployments, updates and asynchronous invocations"),
    "rollouts_running": ("rollouts_running", "Agents with two versions up"),
    "secrets.stored": ("secrets_stored", "Agents' secrets"),
    "secrets.unreadable": ("secrets_unreadable", "Secrets that the node has no key for"),
    "events.last_id": ("events_last_id", "The last event's id"),
    "events.subscribers": ("events_subscribers", "Open streams of events"),
    "store.database": ("store_database_bytes", "The database file"),
    "store.wal": ("store_wal_bytes", "Its write-ahead log"),
    "store.used": ("store_used_bytes", "In use inside the database file"),
    "store.disk_free": ("store_disk_free_bytes", "Free below the data directory"),
    "store_low_disk_bytes": ("store_low_disk_bytes", "Below this nothing new is accepted"),
    "queue_limit": ("queue_limit", "Messages that are held in memory at most"),
    "core.queued": ("queue_messages", "Messages in memory that have not ended"),
    "core.queued_bytes": ("queue_bytes", "Their size"),
    "core.oldest_seconds": ("queue_oldest_seconds", "How long ago the oldest of them was accepted"),
    "core.in_flight": ("executions_in_flight", "Executions under way, sleeping ones included"),
    "core.runnable": ("executions_runnable", "Executions under way that do not sleep"),
    "core.timers": ("timers", "Timers that agents have set"),
    "core.tasks_open": ("tasks_open", "Tasks that have not ended"),
    "core.executor_available": ("executor_available", "The executor is connected and a worker is up"),
    "dead_letters": ("dead_letters", "Dead letters held now"),
    "ledger.imbalance": ("ledger_imbalance", "Accepted messages that are nowhere"),
    "ledger.accepted": ("ledger_accepted", "Messages accepted since the node exists"),
    "ledger.done": ("ledger_done", "Handled"),
    "ledger.dead": ("ledger_dead", "Given up"),
    "ledger.expired": ("ledger_expired", "Not handled in time"),
    "ledger.cancelled": ("ledger_cancelled", "Cancelled"),
    "ledger.forwarded": ("ledger_forwarded", "Handed to another node"),
    "ledger.pending": ("ledger_pending", "Waiting"),
    "ledger.in_flight": ("ledger_in_flight", "Being handled"),
    "executor.workers": ("executor_workers", "Worker processes"),
    "executor.resident_bytes": ("executor_resident_bytes", "Resident memory of the workers"),
    "executor.resident_instances": ("executor_resident_instances", "Instances that are warm in workers"),
    "executor.suspended_executions": ("executor_suspended_executions", "Executions that sleep or wait in workers"),
    "executor.memory_limit_bytes": ("executor_memory_limit_bytes", "What the workers may have together"),
    "executor.cpu_quota_cores": ("executor_cpu_quota_cores", "Processors that the workers may use"),
    "performance.gc_interval": ("gc_interval_seconds", "How often memory pressure is looked at"),
    "performance.memory_pressure_threshold": (
        "memory_pressure_threshold_ratio",
        "Share of the memory limit above which idle instances are ended",
    ),
    "performance.agent_memory_reclaim": ("agent_memory_reclaim", "Whether they are"),
    "performance.agent_idle_timeout": ("agent_idle_timeout_seconds", "How long an idle instance stays"),
    "performance.agent_startup_timeout": ("agent_startup_timeout_seconds", "What an agent may take to start"),
    "performance.agent_shutdown_timeout": ("agent_shutdown_timeout_seconds", "What an agent may take to end"),
    "audit.head_sequence": ("audit_head_sequence", "Number of the audit's last record"),
    "audit.owed": ("audit_owed", "Outcomes that could not be recorded yet"),
    "audit.intact": ("audit_intact", "Nothing of the audit was found damaged or missing"),
}
"""Name and help by the number's path in the answer of `stats`."""


def gauges_of(prefix: str, stats: Mapping[str, Any]) -> Iterator[Metric]:
    """Those that `stats` has: a router that cannot start says less."""
    for path, (name, words) in GAUGES.items():
        value: Any = stats
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            yield GaugeMetricFamily(f"{prefix}_{name}", words, value=float(value))

"""What must become true in one transaction, and how that went.

Owns the unit of work between router and store. Must never decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from caxton.store.rows import (
    Accept,
    AgentRow,
    ApiKeyRow,
    ExecutionRow,
    FailedAttempt,
    JobRow,
    LogRow,
    Settle,
)


@dataclass(slots=True)
class Changes:
    """Everything that must become true in ONE transaction.

    Within one `Changes` the order is: agents, accept, settle, attempts, revive, forget, keys, timers (set,
    then cleared), the rest. Changes that share a commit are applied in the order of their submission.
    """

    accept: list[Accept] = field(default_factory=list)
    """Inserted unless the id exists (then in `CommitResult.duplicates`; the rest still applies)."""
    settle: list[Settle] = field(default_factory=list)
    """Pending messages end; one that is not pending is left alone and reported in `missed`."""
    attempts: list[FailedAttempt] = field(default_factory=list)
    keys: list[tuple[str, str, bytes | None]] = field(default_factory=list)
    """Agent, key, value (None deletes)."""
    timers_set: list[tuple[str, int, float]] = field(default_factory=list)
    """Agent, timer id, due. Also moves the agent's `next_timer_id` past it."""
    timers_cleared: list[tuple[str, int]] = field(default_factory=list)
    unlisted: dict[str, dict[str, int]] = field(default_factory=dict)
    """Counts without rows: agent → {"accepted": n, "done": n, "dead": n, …}."""
    agents: list[AgentRow] = field(default_factory=list)
    agents_removed: list[str] = field(default_factory=list)
    """Takes the agent's keys, timers, logs and executions too; its messages and ledger stay."""
    incarnations: dict[str, int] = field(default_factory=dict)
    jobs: list[JobRow] = field(default_factory=list)
    logs: list[LogRow] = field(default_factory=list)
    executions: list[ExecutionRow] = field(default_factory=list)
    api_keys: list[ApiKeyRow] = field(default_factory=list)
    revive: list[str] = field(default_factory=list)
    """Dead letters become pending again with no attempts; others, and those without content, are missed."""
    forget: list[str] = field(default_factory=list)
    """Dead letters whose rows go for good; the counters stay."""

    def merge(self, other: Changes) -> None:
        """Adds everything of `other` after what is here."""
        for name in _LISTS:
            more = getattr(other, name)
            if more:
                getattr(self, name).extend(more)
        self.incarnations.update(other.incarnations)
        for agent, counts in other.unlisted.items():
            mine = self.unlisted.setdefault(agent, {})
            for state, count in counts.items():
                mine[state] = mine.get(state, 0) + count

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in Changes.__slots__)


_LISTS = tuple(name for name in Changes.__slots__ if name not in ("unlisted", "incarnations"))


@dataclass(slots=True, frozen=True)
class CommitResult:
    """How a submission went. With `error` nothing of it is on disk, and the writer takes nothing more."""

    duplicates: frozenset[str] = frozenset()
    error: Exception | None = None
    missed: frozenset[str] = frozenset()
    """Ids of `settle`, `revive` and `forget` that were not in the state to be changed."""

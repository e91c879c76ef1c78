"""What must become true in one transaction, and how that went.

Owns the unit of work between router and store. Must never decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypedDict, Unpack

from caxton.protocol.handover import HandoverKnown, HandoverPage, HandoverRow, Side
from caxton.protocol.peers import Record, Seen
from caxton.store.namespaces import NamespaceRow
from caxton.store.rows import (
    Accept,
    AgentRow,
    ApiKeyRow,
    ExecutionRow,
    FailedAttempt,
    Held,
    HttpCallRow,
    JobRow,
    LogRow,
    RevokedTokenRow,
    ScheduleMark,
    Settle,
)
from caxton.store.secret_rows import SecretRow
from caxton.store.snapshot_rows import SnapshotFold, SnapshotRow
from caxton.store.talk_rows import BidRow, CapabilityRow, ChoiceRow, ConversationRow, TaskRow
from caxton.store.version_rows import RolloutRow, VersionRow


class Changes:
    """Everything that must become true in ONE transaction: lists (and two dicts), empty until used.

    Within one `Changes` the order is: agents, accept, settle, attempts, revive, forget, keys, timers (set,
    then cleared), the rest. Changes that share a commit are applied in the order of their submission.

    An attribute is made when it is first touched: 16 empty containers for every message would keep the
    garbage collector busy for longer than SQLite takes (17 us a message, measured).
    """

    accept: list[Accept]
    """Inserted unless the id exists (then in `CommitResult.duplicates`; the rest still applies)."""
    settle: list[Settle]
    """Pending messages end; one that is not pending is left alone and reported in `missed`."""
    attempts: list[FailedAttempt]
    keys: list[tuple[str, str, bytes | None]]
    """Agent, key, value (None deletes)."""
    timers_set: list[tuple[str, int, float]]
    """Agent, timer id, due. Also moves the agent's `next_timer_id` past it."""
    timers_cleared: list[tuple[str, int]]
    unlisted: dict[str, dict[str, int]]
    """Counts without rows: agent → {"accepted": n, "done": n, "dead": n, …}; they must balance."""
    agents: list[AgentRow]
    agents_removed: list[str]
    """Takes the agent's keys, timers, versions, logs, executions and snapshot too; its messages and ledger stay."""
    incarnations: dict[str, int]
    jobs: list[JobRow]
    logs: list[LogRow]
    executions: list[ExecutionRow]
    api_keys: list[ApiKeyRow]
    revoked_tokens: list[RevokedTokenRow]
    revive: list[str]
    """Dead letters become pending again with no attempts; others, and those without content, are missed."""
    forget: list[str]
    """Dead letters whose rows go for good; the counters stay."""
    versions: list[VersionRow]
    versions_removed: list[tuple[str, int]]
    """Agent and number."""
    rollouts: list[RolloutRow]
    snapshots: list[SnapshotRow]
    """What executions changed in their agents' memories."""
    snapshot_folds: list[SnapshotFold]
    snapshots_removed: list[str]
    """Agents whose memory is a cache again."""
    holds: list[Held]
    released: list[tuple[str, str]]
    """Agent, conversation: it no longer waits for a dead letter."""
    schedule_marks: list[ScheduleMark]
    http_calls: list[HttpCallRow]
    edits: list[tuple[str, bytes]]
    """Message id, content: of dead letters, before anything is revived."""
    conversations: list[ConversationRow]
    """The newest standing of a conversation replaces the one before."""
    capabilities: list[CapabilityRow]
    """One without providers and strategy is forgotten."""
    choices: list[ChoiceRow]
    subscriptions: list[tuple[str, str, float | None]]
    """Topic, agent, since when (None ends it)."""
    tasks: list[TaskRow]
    bids: list[BidRow]
    namespaces: list[NamespaceRow]
    """One without quotas is forgotten."""
    secrets: list[SecretRow]
    secrets_removed: list[str]
    handovers: list[HandoverRow]
    """Where homes that move stand; one of an agent and side replaces the one before."""
    handovers_ended: list[tuple[str, Side]]
    handover_pages: list[HandoverPage]
    handover_pages_dropped: list[str]
    arriving: list[str]
    """Agents whose home this node becomes: what is left of their state from earlier goes."""
    unpacked: list[tuple[str, int]]
    """Agent and number of a page that becomes state."""
    ended_elsewhere: list[HandoverKnown]
    """Known from now on, and counted where they ended."""
    departed: list[str]
    """Agents that live on another node now: their rows go, their dead letters count as forwarded."""
    registry: list[Record]
    """One that is earlier than what is there is passed over."""
    registry_removed: list[tuple[str, str]]
    """Kind and name: tombstones that nobody needs any more."""
    registry_seen: list[Seen]

    def __init__(self, **given: Unpack[Given]) -> None:
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> Any:
        if name not in Changes.__annotations__:
            raise AttributeError(f"Changes has no {name!r}")
        value: Any = {} if name in _DICTS else []
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in Changes.__annotations__:
            raise AttributeError(f"Changes has no {name!r}")
        self.__dict__[name] = value

    def __bool__(self) -> bool:
        return any(self.__dict__.values())

    def __repr__(self) -> str:
        return f"Changes({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items() if value)})"

    def merge(self, other: Changes) -> None:
        """Adds everything of `other` after what is here."""
        for name, more in vars(other).items():
            if name not in _DICTS:
                getattr(self, name).extend(more)
        if "incarnations" in vars(other):
            self.incarnations.update(other.incarnations)
        for agent, counts in vars(other).get("unlisted", {}).items():
            mine = self.unlisted.setdefault(agent, {})
            for state, count in counts.items():
                mine[state] = mine.get(state, 0) + count


class Given(TypedDict, total=False):
    """What `Changes(…)` may be made with: the same names and types as its attributes."""

    accept: list[Accept]
    settle: list[Settle]
    attempts: list[FailedAttempt]
    keys: list[tuple[str, str, bytes | None]]
    timers_set: list[tuple[str, int, float]]
    timers_cleared: list[tuple[str, int]]
    unlisted: dict[str, dict[str, int]]
    agents: list[AgentRow]
    agents_removed: list[str]
    incarnations: dict[str, int]
    jobs: list[JobRow]
    logs: list[LogRow]
    executions: list[ExecutionRow]
    api_keys: list[ApiKeyRow]
    revoked_tokens: list[RevokedTokenRow]
    revive: list[str]
    forget: list[str]
    versions: list[VersionRow]
    versions_removed: list[tuple[str, int]]
    rollouts: list[RolloutRow]
    snapshots: list[SnapshotRow]
    snapshot_folds: list[SnapshotFold]
    snapshots_removed: list[str]
    holds: list[Held]
    released: list[tuple[str, str]]
    schedule_marks: list[ScheduleMark]
    http_calls: list[HttpCallRow]
    edits: list[tuple[str, bytes]]
    conversations: list[ConversationRow]
    capabilities: list[CapabilityRow]
    choices: list[ChoiceRow]
    subscriptions: list[tuple[str, str, float | None]]
    tasks: list[TaskRow]
    bids: list[BidRow]
    namespaces: list[NamespaceRow]
    secrets: list[SecretRow]
    secrets_removed: list[str]
    handovers: list[HandoverRow]
    handovers_ended: list[tuple[str, Side]]
    handover_pages: list[HandoverPage]
    handover_pages_dropped: list[str]
    arriving: list[str]
    unpacked: list[tuple[str, int]]
    ended_elsewhere: list[HandoverKnown]
    departed: list[str]
    registry: list[Record]
    registry_removed: list[tuple[str, str]]
    registry_seen: list[Seen]


_DICTS: Final = frozenset({"unlisted", "incarnations"})


@dataclass(slots=True, frozen=True)
class CommitResult:
    """How a submission went. With `error` nothing of it is on disk, and the writer takes nothing more."""

    duplicates: frozenset[str] = frozenset()
    error: Exception | None = None
    missed: frozenset[str] = frozenset()
    """Ids of `settle`, `revive` and `forget` that were not in the state to be changed."""

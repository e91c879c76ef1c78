"""What operators see of the cluster: arguments and answers of the `cluster.*` operations.

Owns the names of their fields. Must never compute a value. Ages and times that something takes are in seconds, points
in time RFC 3339; a figure that this node does not know is null.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from caxton.protocol.errors import ErrorBody
from caxton.protocol.views import LedgerRow


class Path(StrEnum):
    """How a node is reached."""

    ITSELF = "self"
    DIRECT = "direct"
    RELAY = "relay"
    NONE = "none"


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as the node that was asked sees it.

    `state`: what it says of itself (`active`, `draining`, `left`), or `failed`. `registry_equal`: it has the same
    records as this node. `clock_offset_seconds`: its clock minus this one's. `homes`: agents with durable state that
    live there; `replicas`: other agents that run there; `outbox`: messages that wait here for it. `relays`: the nodes
    by way of which it can be reached, where `path` is `relay`.
    """

    node_id: str
    address: str = ""
    state: str = "active"
    path: Path = Path.NONE
    last_beat_seconds: float | None = None
    rtt_seconds: float | None = None
    software: str = ""
    link_version: int | None = None
    registry_equal: bool | None = None
    clock_offset_seconds: float | None = None
    homes: int = 0
    replicas: int = 0
    outbox: int = 0
    relays: list[str] = []

    @property
    def reachable(self) -> bool:
        """Whether anything can be asked of it."""
        return self.path is not Path.NONE


class OutboxView(msgspec.Struct, frozen=True):
    """Messages to one agent that wait here for its node (null: nobody knows where it lives)."""

    agent: str
    node: str | None
    messages: int
    oldest_seconds: float


class RegistryView(msgspec.Struct, frozen=True):
    """This node's copy of the registry. `differs_seconds`: since when another's has been a different one."""

    digest: str = ""
    records: int = 0
    tombstones: int = 0
    differs_seconds: float | None = None


class HandoverView(msgspec.Struct, frozen=True):
    """An agent that is being moved. `giver` and `taker` are nodes; `step`: how far (`protocol.handover.Step`)."""

    agent: str
    giver: str
    taker: str
    step: str
    since: str


class ProblemView(msgspec.Struct, frozen=True, omit_defaults=True):
    """What keeps the cluster from being whole: one of the names in app/docs/cluster.md, and about whom."""

    problem: str
    node: str | None = None
    detail: str = ""


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of GET /cluster. `alone`: a node without a cluster, which is one of one.

    `whole`: every expected node is there, reachable and equal, nothing waits for long: what a gate asks before
    another node is taken out. `majority_since`: when it was got or lost last.
    """

    node_id: str
    alone: bool
    whole: bool
    problems: list[ProblemView]
    expected_nodes: int
    majority: bool
    majority_since: str
    partition_mode: str
    members: list[MemberView]
    outbox: list[OutboxView]
    registry: RegistryView
    handovers: list[HandoverView]


class NodeDrain(msgspec.Struct, frozen=True):
    """Drain `node`, or undrain it; what runs has `wait_seconds` to end."""

    node: str
    wait_seconds: float = 60.0


class NodeLedger(msgspec.Struct, frozen=True, omit_defaults=True):
    """The accounts of one node, or why they are not there."""

    node: str
    ledger: LedgerRow | None = None
    error: ErrorBody | None = None


class ClusterLedger(msgspec.Struct, frozen=True):
    """Answer of GET /ledger?cluster=true. Sums over the nodes that answered.

    `distinct` = accepted − forwarded: a message that was handed on is accepted once more there. `balanced`: nobody is
    missing, and no account has an imbalance.
    """

    nodes: list[NodeLedger]
    missing: list[str]
    total: LedgerRow
    distinct: int
    balanced: bool


class HealReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a cut between this node and another one meant. `until` null: it lasts.

    `homes`: agents that live there, which could not be reached from here. `both_sides`: agents without durable state
    that ran here and there meanwhile. `suppressed`: ids of messages that arrived from there although they were known
    here (the first 100), of `suppressed_count`. `minority`: this node had no majority for some of the time.
    `complete`: the other side said what it did.
    """

    node: str
    since: str
    until: str | None = None
    minority: bool = False
    homes: list[str] = []
    both_sides: list[str] = []
    suppressed: list[str] = []
    suppressed_count: int = 0
    complete: bool = False


class Ran(msgspec.Struct, frozen=True):
    """Agents without durable state that ran on a node while the asker could not be reached from there."""

    agents: list[str]

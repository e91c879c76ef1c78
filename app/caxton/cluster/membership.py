"""Who is a member, who can be reached, and whether this side is the majority (spec/cluster.md, "Engine").

Owns these decisions, out of what serf says, which heartbeats were answered, and whom the others miss. Does nothing
and asks nobody: whoever calls brings the time, of a clock that only goes forward. Must never believe what is older
than `detection`: a process that slept knows nothing until it has asked again.

- A peer is *reached* for `detection` after the sending of a heartbeat that it answered; once lost, after two of them.
- This side is the *majority* when it reaches, itself included, more than half of all nodes: of two halves neither is.
  Nodes are those that are expected, and more if more are known. It is lost at once, and gained after `detection`: by
  then, what others believe without having heard of it is forgotten.
- A peer is *missed* by a node that had no sign of life of it for `detection`; heartbeats that it sends are signs too.
  It is out when serf says so; and from when more than half of all nodes missed it at one moment, until `detection`
  after the last such moment. To a minority it is out while that itself misses it. At such a moment the peer was not
  the majority, because whoever it counts on has heard of it, and it takes `detection` to become it: so no majority
  ever holds another one for out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from caxton.cluster.gossip.members import GossipMember, Standing
from caxton.protocol.peers import Beat, NodeState

_NEVER: Final = float("-inf")
_INFINITE: Final = float("inf")


class Out(StrEnum):
    """Why a node is no member now."""

    LEFT = "left"
    FAILED = "failed"
    """serf says so."""
    MISSING = "missing"
    """Its heartbeats are missing."""


@dataclass(frozen=True)
class Rules:
    """`detection`: seconds."""

    expected_nodes: int
    detection: float


@dataclass(frozen=True)
class Members:
    """What this node holds true now; a new one after each change.

    `active`: members that take work, in order of their names. `states` of all that are in, this node included, `out`
    of all others that serf still knows. `nodes`: all that belong to the cluster, there or not, this node included;
    who has left does while fewer are known than expected. `direct`: reached over their own link; `reachable`: also by
    way of another, this node included. `relays`: for each that is reached so only, by whom.
    """

    node_id: str
    active: tuple[str, ...] = ()
    nodes: frozenset[str] = frozenset()
    reachable: frozenset[str] = frozenset()
    direct: frozenset[str] = frozenset()
    majority: bool = False
    states: Mapping[str, NodeState] = field(default_factory=lambda: MappingProxyType({}))
    out: Mapping[str, Out] = field(default_factory=lambda: MappingProxyType({}))
    relays: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(slots=True)
class _Peer:
    """`answered`: when the newest heartbeat of ours that it answered was sent; `heard`: when it last sent one.

    `missed`: since when this node misses it; `condemned`: the last moment at which more than half of all did.
    `missing`: whom it misses, and since when we know.
    """

    known: float
    answered: float = _NEVER
    heard: float = _NEVER
    streak: int = 0
    reached: bool = False
    was_reached: bool = False
    missed: float | None = None
    condemned: float = _NEVER
    missing: Mapping[str, float] = field(default_factory=dict)
    state: NodeState | None = None


class Membership:
    """One node's. Times in seconds of one monotonic clock."""

    def __init__(self, node_id: str, rules: Rules, now: float) -> None:
        self.node_id = node_id
        self.state = NodeState.ACTIVE
        """What this node says of itself."""
        self._rules = rules
        self._peers: dict[str, _Peer] = {}
        self._sightings: Mapping[str, GossipMember] = {}
        self._looked = self.awake = now
        self.holds_until = _INFINITE
        """When what `look` found may be true no longer, if nothing new happens."""
        self._majority = False
        self._enough_since: float | None = None

    def expect(self, nodes: int) -> None:
        """So many nodes are expected from now on."""
        self._rules = replace(self._rules, expected_nodes=nodes)

    # ---- what happened -----------------------------------------------------------------------------

    def sighted(self, sightings: Mapping[str, GossipMember], now: float) -> None:
        """serf's members changed."""
        self._sightings = sightings
        others = sightings.keys() - {self.node_id}
        for node in self._peers.keys() - others:
            del self._peers[node]
        for node in others - self._peers.keys():
            self._peers[node] = _Peer(known=now)

    def answered(self, beat: Beat, sent: float, now: float) -> None:
        """A peer has answered the heartbeat that was sent at `sent`."""
        peer = self._peers.get(beat.node_id)
        if peer is None or sent < peer.answered:
            return
        if now - sent > self._rules.detection:
            peer.streak = 0  # it says nothing about now
            return
        peer.answered, peer.streak, peer.state = sent, peer.streak + 1, beat.state
        peer.missing = {node: peer.missing.get(node, now) for node in beat.missing}

    def heard(self, beat: Beat, now: float) -> None:
        """A peer has sent a heartbeat of its own."""
        peer = self._peers.get(beat.node_id)
        if peer is not None:
            peer.heard, peer.state = now, beat.state

    # ---- what follows ------------------------------------------------------------------------------

    def look(self, now: float) -> Members:
        """What holds now. To be called at least twice within `detection`: who does not has slept."""
        if now - self._looked > self._rules.detection / 2:
            self.awake = now
        self._looked = now
        nodes = {node for node, seen in self._sightings.items() if seen.standing is not Standing.LEFT} | {
            self.node_id
        }
        for peer in self._peers.values():
            self._reach(peer, now)
            self._miss(peer, now)
        direct = frozenset(node for node, peer in self._peers.items() if peer.reached and node in nodes)
        total = max(self._rules.expected_nodes, len(nodes))
        self._count(2 * (1 + len(direct)) > total, now)
        answered = [self._peers[node].answered for node in direct]
        self.holds_until = min(answered, default=_INFINITE) + self._rules.detection
        self._vote(direct, total, now)
        out = {node: why for node in self._peers if (why := self._why_out(node, now))}
        return self._members(direct, out, now)

    @property
    def missing(self) -> tuple[str, ...]:
        """The nodes that this one misses, as its heartbeats tell it to others."""
        return tuple(sorted(node for node, peer in self._peers.items() if peer.missed is not None))

    def _miss(self, peer: _Peer, now: float) -> None:
        if max(peer.answered, peer.heard, peer.known, self.awake) < now - self._rules.detection:
            peer.missed = now if peer.missed is None else peer.missed
        else:
            peer.missed = None

    def _vote(self, direct: frozenset[str], total: int, now: float) -> None:
        """Finds the last moment at which more than half of all nodes missed a peer, for each that somebody misses."""
        votes: dict[str, list[tuple[float, float]]] = {}
        for node, peer in self._peers.items():
            if peer.missed is not None:
                votes.setdefault(node, []).append((peer.missed, now))
        for voter in direct:
            peer = self._peers[voter]
            for node, since in peer.missing.items():
                votes.setdefault(node, []).append((since, peer.answered))
        for node, spans in votes.items():
            if node in self._peers:
                self._peers[node].condemned = max(self._peers[node].condemned, _common(spans, total))

    def _reach(self, peer: _Peer, now: float) -> None:
        fresh = now - peer.answered <= self._rules.detection
        if not fresh:
            peer.reached, peer.streak = False, 0
        elif not peer.reached:
            peer.reached = peer.streak >= (2 if peer.was_reached else 1)
            peer.was_reached = peer.was_reached or peer.reached

    def _count(self, enough: bool, now: float) -> None:
        if not enough:
            self._majority, self._enough_since = False, None
            return
        if self._enough_since is None:
            self._enough_since = now
        self._majority = self._majority or now - self._enough_since >= self._rules.detection or self._is_alone

    @property
    def _is_alone(self) -> bool:
        return self._rules.expected_nodes == 1 and not self._peers

    def _why_out(self, node: str, now: float) -> Out | None:
        standing = self._sightings[node].standing
        if standing is not Standing.ALIVE:
            return Out.LEFT if standing is Standing.LEFT else Out.FAILED
        peer = self._peers[node]
        condemned = peer.condemned >= now - self._rules.detection
        return Out.MISSING if (condemned if self._majority else peer.missed is not None) else None

    def _members(self, direct: frozenset[str], out: Mapping[str, Out], now: float) -> Members:
        states = {
            node: self._state_of(node, now) for node in sorted(self._peers.keys() - out.keys() | {self.node_id})
        }
        relays = {
            node: between
            for node in states
            if node not in direct and node != self.node_id and (between := self._relays(node, direct))
        }
        return Members(
            node_id=self.node_id,
            active=tuple(node for node, state in states.items() if state is NodeState.ACTIVE),
            nodes=self._nodes(out),
            reachable=direct.union(relays, (self.node_id,)),
            direct=direct,
            majority=self._majority,
            states=MappingProxyType(states),
            out=MappingProxyType(dict(sorted(out.items()))),
            relays=MappingProxyType(relays),
        )

    def _nodes(self, out: Mapping[str, Out]) -> frozenset[str]:
        known = {node for node in self._peers if out.get(node) is not Out.LEFT} | {self.node_id}
        # A drained node that was stopped has left, as one that was removed: the expected number tells them apart.
        return frozenset(known if len(known) >= self._rules.expected_nodes else {*known, *out})

    def _state_of(self, node: str, now: float) -> NodeState:
        """What it said last: its heartbeats are faster than serf, while they come."""
        if node == self.node_id:
            return self.state
        peer = self._peers[node]
        beating = max(peer.answered, peer.heard) >= now - self._rules.detection
        return peer.state if beating and peer.state is not None else self._sightings[node].state

    def _relays(self, node: str, direct: frozenset[str]) -> tuple[str, ...]:
        return tuple(sorted(peer for peer in direct if node not in self._peers[peer].missing))


def _common(spans: list[tuple[float, float]], total: int) -> float:
    """The last moment that lies within the spans of more than half of `total`."""
    ends = sorted((end for _, end in spans), reverse=True)
    for end in ends:
        if 2 * sum(begin <= end <= until for begin, until in spans) > total:
            return end
    return _NEVER


def changes(before: Members, after: Members) -> list[tuple[str, dict[str, Any]]]:
    """What happened between the two, as events: name and data."""
    found: list[tuple[str, dict[str, Any]]] = []
    for node in sorted(after.states.keys() - before.states.keys()):
        if node != after.node_id:
            found.append(("node.joined", {"node": node}))
    for node in sorted(before.states.keys() - after.states.keys()):
        why = after.out.get(node, Out.LEFT)
        if why is Out.LEFT:
            found.append(("node.left", {"node": node}))
        else:
            found.append(("node.lost", {"node": node, "reason": why.value}))
    if before.majority != after.majority:
        name = "node.majority_regained" if after.majority else "node.majority_lost"
        reached = sorted(after.direct | {after.node_id})
        found.append((name, {"node": after.node_id, "reaches": reached}))
    return found

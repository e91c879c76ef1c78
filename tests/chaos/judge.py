"""Whether everything that was accepted took effect once, in order, and at one place: plain data in, a verdict out.

Owns the verdict. Must never ask a node.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sent:
    """A message that a node accepted: its words are unique; `turn` is its place in its conversation."""

    words: str
    agent: str
    conversation: str
    turn: int


@dataclass(frozen=True)
class Diary:
    """What an agent has in its keys at the end: its count of effects, and at which count each words took effect."""

    count: int
    effects: Mapping[str, int]


@dataclass(frozen=True)
class Account:
    """One node's row of the ledger."""

    accepted: int
    forwarded: int
    imbalance: int
    open: int = 0
    dead: int = 0


@dataclass(frozen=True)
class Seen:
    """Who was seen running an agent at one moment: node names."""

    agent: str
    at: float
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """All that is known when a run is over and the cluster is at rest."""

    sent: Sequence[Sent]
    diaries: Mapping[str, Diary]
    accounts: Mapping[str, Account]
    seen: Sequence[Seen] = field(default_factory=tuple)


def problems(evidence: Evidence) -> list[str]:
    """What is wrong, one line each; empty when nothing is."""
    if not evidence.sent:
        return ["nothing was accepted, so nothing was shown"]
    return [*_effects(evidence), *_order(evidence), *_ledger(evidence), *_homes(evidence)]


def _effects(evidence: Evidence) -> list[str]:
    found: list[str] = []
    per_agent: dict[str, list[str]] = {}
    for one in evidence.sent:
        per_agent.setdefault(one.agent, []).append(one.words)
    for agent, words in per_agent.items():
        diary = evidence.diaries.get(agent)
        if diary is None:
            found.append(f"{agent} is gone, and with it {len(words)} accepted messages")
            continue
        lost = [one for one in words if one not in diary.effects]
        if lost:
            found.append(f"{agent}: {len(lost)} accepted messages took no effect, such as {lost[0]}")
        if diary.count != len(diary.effects):
            found.append(f"{agent}: {diary.count} effects of {len(diary.effects)} messages: some took effect twice")
    return found


def _order(evidence: Evidence) -> list[str]:
    found: list[str] = []
    talks: dict[tuple[str, str], list[Sent]] = {}
    for one in evidence.sent:
        talks.setdefault((one.agent, one.conversation), []).append(one)
    for (agent, conversation), messages in talks.items():
        effects = evidence.diaries[agent].effects if agent in evidence.diaries else {}
        in_turn = [one for one in sorted(messages, key=lambda one: one.turn) if one.words in effects]
        for before, after in itertools.pairwise(in_turn):
            if effects[before.words] > effects[after.words]:
                found.append(f"{agent}, {conversation}: {after.words} took effect before {before.words}")
                break
    return found


def _ledger(evidence: Evidence) -> list[str]:
    found = [
        f"{node}: the ledger is off by {one.imbalance}" for node, one in evidence.accounts.items() if one.imbalance
    ]
    found += [
        f"{node}: {one.open} messages are still under way" for node, one in evidence.accounts.items() if one.open
    ]
    found += [f"{node}: {one.dead} messages died" for node, one in evidence.accounts.items() if one.dead]
    distinct = sum(one.accepted - one.forwarded for one in evidence.accounts.values())
    if distinct != len(evidence.sent):
        found.append(f"{len(evidence.sent)} messages were accepted, the cluster's ledgers have {distinct}")
    return found


def _homes(evidence: Evidence) -> list[str]:
    twice = Counter(one.agent for one in evidence.seen if len(one.nodes) > 1)
    first = {one.agent: one for one in reversed(evidence.seen) if len(one.nodes) > 1}
    return [
        f"{agent} was on {' and '.join(first[agent].nodes)} at once, {count} times, first at {first[agent].at:.1f} s"
        for agent, count in twice.items()
    ]

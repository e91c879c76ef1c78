"""Capabilities: who offers what, and who of them gets the next message.

Owns the choice of one agent for `capability:NAME`. It is made once, when the message is accepted, and holds for the
rest of the conversation. Must never accept a message: intake does.
"""

from __future__ import annotations

import difflib
import time
from functools import partial
from typing import Final, NamedTuple

import msgspec

from caxton.protocol.access import namespace_of
from caxton.protocol.agents import AgentStatus
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Message
from caxton.protocol.names import CAPABILITY_PREFIX
from caxton.protocol.talks import Strategy
from caxton.router.aftermath import Aftermath
from caxton.router.boxes import Box, Boxes
from caxton.router.commits import Commits
from caxton.store import CapabilityRow, ChoiceRow
from caxton.store.reader import Reader

DEPLOYMENT: Final = "deployment"
REGISTERED: Final = "registered"
DEFAULT_PRIORITY: Final = 5
_NEAR: Final = 3


class Offer(NamedTuple):
    """One agent that offers a capability; it need not be deployed, or take messages now."""

    agent: str
    source: str
    priority: int


class Capabilities:
    """Offers of deployments and of the operator, in memory; choices on disk."""

    def __init__(self, boxes: Boxes, commits: Commits, aftermath: Aftermath, reader: Reader) -> None:
        self._boxes = boxes
        self._commits = commits
        self._aftermath = aftermath
        self._reader = reader
        self._registered = {row.name: row for row in reader.talks.capabilities()}
        self._index: dict[str, list[Offer]] | None = None
        self._generation = 0
        """Of the boxes that the index was made of."""
        self._fresh: dict[tuple[str, str], str] = {}
        """Choices that are not durable yet."""
        self._turn = 0
        self._last_turn: dict[str, int] = {}

    def changed(self) -> None:
        """An agent that was here offers something else now."""
        self._index = None

    # ---- what is offered ---------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every capability that somebody offers or that is registered, sorted."""
        return sorted(self._offers())

    def offers(self, name: str) -> list[Offer]:
        """Who offers it, by name."""
        return self._offers().get(name, [])

    def strategy(self, name: str) -> Strategy:
        """How one of them is chosen."""
        row = self._registered.get(name)
        return Strategy(row.strategy) if row is not None and row.strategy else Strategy.LEAST_LOAD

    def registered(self, name: str) -> CapabilityRow | None:
        """What the operator registered."""
        return self._registered.get(name)

    def register(self, row: CapabilityRow) -> None:
        """Replaces what is registered, with this turn's commit; an empty row forgets it."""
        self._commits.changes.capabilities.append(row)
        self.learn(row)

    def learn(self, row: CapabilityRow) -> None:
        """What is registered from now on; whoever says so has it written."""
        if row.strategy or row.providers:
            self._registered[row.name] = row
        else:
            self._registered.pop(row.name, None)
        self._index = None

    def taking(self, name: str, sender: str = "") -> list[tuple[Offer, int]]:
        """Offers of agents that take messages now, with their loads; the sender's own only when there is no other."""
        found = [(offer, load) for offer in self.offers(name) if (load := self._load(offer.agent)) is not None]
        others = [one for one in found if one[0].agent != sender]
        return others or found

    # ---- choosing ----------------------------------------------------------------------------------

    def resolve(self, message: Message) -> Message:
        """The message with an agent as its receiver; raises `AGENT_NOT_FOUND` with the names that are near.

        Nothing is kept until `keep`: a message that is then refused leaves no choice behind.
        """
        name = message.receiver.removeprefix(CAPABILITY_PREFIX)
        key = (message.conversation_id, name)
        chosen = self._fresh.get(key) or self._reader.talks.choice(*key)
        if chosen is None or not (self._holds(chosen, name) or self._known(message.message_id)):
            chosen = self._choose(name, message.sender)
        return msgspec.structs.replace(message, receiver=chosen)

    def keep(self, addressed: Message, accepted: Message) -> None:
        """The choice becomes durable with the commit that accepts the message."""
        name = addressed.receiver.removeprefix(CAPABILITY_PREFIX)
        key = (accepted.conversation_id, name)
        if self._fresh.get(key) == accepted.receiver:
            return
        self._fresh[key] = accepted.receiver
        self._commits.changes.choices.append(ChoiceRow(*key, accepted.receiver, time.time()))
        self._aftermath.call(partial(self._durable, key, accepted.receiver))

    def near(self, name: str) -> list[str]:
        """Names of the same namespace that may have been meant, the nearest first: no hint crosses a border."""
        known = [one for one in self.names() if namespace_of(one) == namespace_of(name) and one != name]
        return difflib.get_close_matches(name, known, _NEAR)

    def nobody(self, name: str) -> CaxtonError:
        """The refusal when no agent that offers this takes messages."""
        near = self.near(name)
        exists = bool(self.offers(name))
        why = "no agent that offers it takes messages now" if exists else "no agent offers it"
        hint = f"; near: {', '.join(near)}" if near else ""
        return CaxtonError(
            Code.AGENT_NOT_FOUND, f"capability {name[:128]!r}: {why}{hint}", capability=name[:128], near=near
        )

    def _choose(self, name: str, sender: str) -> str:
        found = self.taking(name, sender)
        if not found:
            raise self.nobody(name)
        size = self._boxes.config.messaging.mailbox_size
        found = [one for one in found if one[1] < size] or found
        strategy = self.strategy(name)
        if strategy is Strategy.PRIORITY:
            highest = max(offer.priority for offer, _ in found)
            found = [one for one in found if one[0].priority == highest]
        if strategy is Strategy.ROUND_ROBIN:
            offer, _ = min(found, key=lambda one: self._turn_of(name, one[0].agent))
        else:
            offer, _ = min(found, key=lambda one: (one[1], self._turn_of(name, one[0].agent)))
        self._turn += 1
        self._last_turn[f"{name} {offer.agent}"] = self._turn
        return offer.agent

    def _turn_of(self, name: str, agent: str) -> int:
        return self._last_turn.get(f"{name} {agent}", 0)

    def _holds(self, agent: str, name: str) -> bool:
        return self._load(agent) is not None and any(offer.agent == agent for offer in self.offers(name))

    def _known(self, message_id: str) -> bool:
        """Whether this is a duplicate: its first choice stands, whatever became of that agent."""
        return message_id in self._boxes.live or bool(self._reader.known([message_id]))

    def _durable(self, key: tuple[str, str], agent: str) -> None:
        if self._fresh.get(key) == agent:
            del self._fresh[key]

    def _open_box(self, agent: str) -> Box | None:
        box = self._boxes.get(agent)
        if box is None or not box.open or box.agent.status is not AgentStatus.RUNNING:
            return None
        return box if box.gate is None or box.gate.is_open else None

    def _load(self, agent: str) -> int | None:
        """Messages before a new one, as far as is known here; None: it takes none now."""
        box = self._open_box(agent)
        if box is not None:
            return box.load
        elsewhere = self._boxes.elsewhere
        return None if elsewhere is None or self._boxes.get(agent) is not None else elsewhere.load(agent)

    def _offers(self) -> dict[str, list[Offer]]:
        if self._index is None or self._generation != self._boxes.generation:
            self._generation = self._boxes.generation
            self._index = self._made_index()
        return self._index

    def _made_index(self) -> dict[str, list[Offer]]:
        found: dict[str, dict[str, Offer]] = {name: {} for name in self._registered}
        for box in self._boxes:
            for name in box.agent.capabilities:
                offer = Offer(box.agent.name, DEPLOYMENT, DEFAULT_PRIORITY)
                found.setdefault(name, {})[offer.agent] = offer
        for agent, offered in self._boxes.elsewhere.offered() if self._boxes.elsewhere is not None else ():
            for name in offered:
                found.setdefault(name, {}).setdefault(agent, Offer(agent, DEPLOYMENT, DEFAULT_PRIORITY))
        for name, row in self._registered.items():
            for provider in row.providers:
                found[name][provider.agent] = Offer(provider.agent, REGISTERED, provider.priority)
        self._last_turn = {key: turn for key, turn in self._last_turn.items() if key.partition(" ")[0] in found}
        return {name: [offers[agent] for agent in sorted(offers)] for name, offers in found.items()}

"""Receivers that are not one agent: a capability, a topic, everybody who offers something.

Owns how one message becomes one for each of many, in one transaction. Must never choose among the agents of a
capability (`capabilities`), nor look into a message.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from caxton.protocol.access import namespace_of
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import derived_id
from caxton.protocol.messages import Message, Outcome, Performative, State
from caxton.protocol.names import CAPABILITY_PREFIX, TOPIC_PREFIX
from caxton.protocol.views import Deliveries, Refused
from caxton.router.commits import Commits
from caxton.router.intake import DURABLE, Intake, digest_of
from caxton.router.talks.capabilities import Capabilities
from caxton.router.talks.topics import Topics
from caxton.store import Accept
from caxton.store.reader import Reader

SHOWN: Final = 100
"""Receivers that did not get a published message and are named; all of them are counted."""
_COPY: Final = 0  # the ordinal of a subscriber's copy: its id is derived from the subscriber's name


class Publication(msgspec.Struct, frozen=True):
    """What became of a published message. `deliveries` None: it was published before."""

    message_id: str
    digest: bytes
    deliveries: Deliveries | None


class Addressing:
    """Publishes; every copy is a message of its own, accepted or refused on its own."""

    def __init__(
        self, commits: Commits, intake: Intake, capabilities: Capabilities, topics: Topics, reader: Reader
    ) -> None:
        self._commits = commits
        self._intake = intake
        self._reader = reader
        self.capabilities = capabilities
        self.topics = topics

    def count(self, receiver: str) -> int:
        """How many agents a message to this topic, or to all of this capability, is for now."""
        return len(self._names(receiver, ""))

    def publish(self, message: Message) -> Publication:
        """To all subscribers, or to all that offer the capability; never back to the sender.

        The message itself is done at once, in the transaction of its copies: so the same id publishes once.
        """
        digest = digest_of(message)
        if self._reader.known([message.message_id]):
            return Publication(message.message_id, digest, None)
        self._intake.require_queue()
        names = self._names(message.receiver, message.sender)
        if not names:  # no row: whoever makes names up must not fill the ledger
            return Publication(message.message_id, digest, Deliveries(0))
        accepted = more = 0
        refused: list[Refused] = []
        for name in names:
            copy_id = derived_id(message.message_id, _COPY, name.encode())
            try:
                self._intake.offer(msgspec.structs.replace(message, message_id=copy_id, receiver=name), DURABLE)
                accepted += 1
            except CaxtonError as error:
                more += 1
                if len(refused) < SHOWN and _may_be_named(name, message.receiver):
                    refused.append(Refused(name, error.code, error.message))
        deliveries = Deliveries(accepted, more, refused)
        now = time.time()
        outcome = Outcome(State.DONE, Performative.INFORM, msgspec.json.encode(deliveries))
        self._commits.changes.accept.append(Accept(message, now, digest, DURABLE, State.DONE, outcome, 0, now))
        return Publication(message.message_id, digest, deliveries)

    def _names(self, receiver: str, sender: str) -> list[str]:
        if receiver.startswith(TOPIC_PREFIX):
            names = sorted(self.topics.subscribers(receiver.removeprefix(TOPIC_PREFIX)))
        else:
            taking = self.capabilities.taking(receiver.removeprefix(CAPABILITY_PREFIX), sender)
            names = [offer.agent for offer, _ in taking]
        return [name for name in names if name != sender]


def _may_be_named(agent: str, receiver: str) -> bool:
    """Whether whoever publishes learns who did not get it: what is published in a namespace names its own agents."""
    team = namespace_of(receiver.partition(":")[2])
    return team is None or team == namespace_of(agent)


def not_delivered(message: Message, deliveries: Deliveries) -> CaxtonError:
    """What the agent that published is told of those who did not get it."""
    first = deliveries.refused[0] if deliveries.refused else Refused("", Code.AGENT_NOT_FOUND, "of another namespace")
    return CaxtonError(
        Code(first.code),
        f"{deliveries.refused_count} did not get what was sent to {message.receiver}; the first: {first.message}",
        refused=msgspec.to_builtins(deliveries.refused),
    )

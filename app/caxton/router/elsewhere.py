"""The place of messages that another node handles, as the hot half sees it.

Owns this shape. Must never know of nodes or links.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from caxton.protocol.messages import Message
from caxton.router.mailbox import Entry
from caxton.store import MessageRow


class Elsewhere(Protocol):
    """Messages for agents that live on other nodes; `router.cluster.outbox.Outboxes` is it."""

    def takes(self, message: Message) -> bool:
        """Whether the message is for another node to handle."""

    def claims(self, message: Message) -> bool:
        """Whether a pending message of an agent that is here is another node's all the same."""

    def take_over(self, entry: Entry) -> None:
        """A message that has left a mailbox here, because its agent lives elsewhere now."""

    def offer(self, message: Message, delivery: str) -> Entry:
        """Accepts one; raises the refusal."""

    def enter(self, message: Message, delivery: str, attempts: int = 0, *, handed: bool = False) -> Entry:
        """The same without any check. `handed`: by the agent's old home."""

    def take_up(self, row: MessageRow) -> None:
        """A pending message of which only the row is left."""

    def recover(self, receiver: str | None = None) -> None:
        """Takes up pending messages (of one receiver) that no agent here handles."""

    def let_go(self, receiver: str) -> None:
        """The agent lives here from now on."""

    def is_leaving(self, entry: Entry) -> bool:
        """Whether another node has the message, or may have it."""

    def cancel(self, entry: Entry) -> None:
        """Ends a message that no other node can have; any other stays."""

    def load(self, receiver: str) -> int | None:
        """How many messages wait here for an agent elsewhere; None: it takes none, or is unknown."""

    def offered(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Agents elsewhere, and the capabilities that they offer."""

    def follow(self, message: Message) -> None:
        """Whoever waits here for a message that another node has gets its outcome from there."""

    def is_home(self, receiver: str) -> bool:
        """Whether the agent has durable state, and this node is where it lives."""

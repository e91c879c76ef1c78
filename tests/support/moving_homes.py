"""Agents with durable state on whole nodes, load on them, and what must hold of it afterwards.

Owns what is sent and what is expected of it. Must never touch a node's processes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from caxton.cluster.placement import rank
from caxton.protocol.errors import CaxtonError
from caxton.protocol.messages import Delivery
from caxton.protocol.operations import Drain, Invoke, Listing, Named, Nothing, Submit
from support import router_agents as agents
from support.desk_node import message
from support.forwarding_nodes import NAMES, Member, Nodes, until
from support.router_client import RouterClient

KEEPS = {"instance": "persistent", "grants": {"kv": True, "send": ["*"]}}
PATIENCE = 60.0
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def token(number: int) -> str:
    """Two characters for each number below 3,844."""
    return _DIGITS[number // 62] + _DIGITS[number % 62]


def ranked_for(base: str, *order: str) -> str:
    """A name that these nodes take in this order."""
    return next(name for n in range(10_000) if rank(name := f"{base}{n}", NAMES)[: len(order)] == list(order))


def recorder(nodes: Nodes, base: str, *order: str, **config: Any) -> str:
    """An agent that keeps, in order, the token of every message that it handles; its name.

    It lives on the first of `order`, and goes to the next when it may not.
    """
    nodes.whole()  # also those that were drained before
    name = ranked_for(base, *order)
    module = agents.recorder(agents.content_offset(name) + 1)
    assert nodes.deploy("n3", name, module, **{**KEEPS, **config}) == order[0]
    return name


def handled(nodes: Nodes, name: str) -> list[str]:
    """The tokens in the order in which they were handled."""
    text = ""
    for member in nodes:
        with suppress(CaxtonError, OSError, EOFError):
            page = member.call("agent.state", Listing(name=name))["items"]
            text = page[0]["value"] if page else ""
            break
    return [text[at : at + 2] for at in range(0, len(text), 2)]


def home(member: Member, name: str) -> str | None:
    """The node on which the agent lives, as this one says; None: nobody can say now."""
    with suppress(CaxtonError, OSError, EOFError):
        return str(member.call("agent.get", Named(name))["node"])
    return None


def _lives(member: Member, name: str, node: str) -> bool:
    return home(member, name) == node


def lives_on(nodes: Nodes, name: str, node: str) -> None:
    """Returns when every node says so."""
    for member in nodes:
        until(partial(_lives, member, name, node), f"{member.name} says that {name} lives on {node}", PATIENCE)


def send(member: Member, name: str, *tokens: str, conversation_id: str = "talk") -> list[str]:
    """Durable messages; their ids."""
    batch = [message(name, f'"{one}"'.encode(), conversation_id=conversation_id) for one in tokens]
    items = member.call("submit", Submit(batch))
    assert all("error" not in item for item in items), items
    return [item["message_id"] for item in items]


class Sender(threading.Thread):
    """Sends one message after the other to an agent through one node, in one conversation; `failed` are refusals."""

    def __init__(self, member: Member, name: str, first: int, step: int, *, invoke: bool) -> None:
        super().__init__()
        self.member, self.agent, self.invoke = member, name, invoke
        self.numbers = range(first, 3_844, step)
        self.sent: list[str] = []
        self.failed: list[str] = []
        self.ending = threading.Event()

    def run(self) -> None:
        with RouterClient(self.member.socket, PATIENCE) as client:
            for number in self.numbers:
                if self.ending.is_set():
                    return
                self._one(client, token(number))
                self.ending.wait(0.02)

    def _one(self, client: RouterClient, one: str) -> None:
        content = f'"{one}"'.encode()
        made = message(self.agent, content, conversation_id=f"talk of {self.member.name} {self.invoke}")
        try:
            if self.invoke:
                client.call("invoke", Invoke(made, PATIENCE / 2, Delivery.EPHEMERAL))
            else:
                (item,) = client.call("submit", Submit([made]))
                assert "error" not in item, item
        except (CaxtonError, AssertionError) as error:
            self.failed.append(f"{one}: {error}")
        else:
            self.sent.append(one)


@contextmanager
def load(nodes: Nodes, name: str, through: tuple[str, ...] = NAMES) -> Iterator[list[Sender]]:
    """Invocations and messages by way of these nodes, while the block runs."""
    kinds = [(node, invoke) for node in through for invoke in (True, False)]
    senders = [
        Sender(nodes[node], name, number, len(kinds), invoke=invoke) for number, (node, invoke) in enumerate(kinds)
    ]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        for sender in senders:
            sender.ending.set()
        for sender in senders:
            sender.join(PATIENCE)


def settled(nodes: Nodes, name: str, senders: list[Sender]) -> list[str]:
    """Everything that was accepted has been handled, once, and in each sender's order; all that was handled."""
    sent = {one for sender in senders for one in sender.sent}
    until(lambda: sent <= set(handled(nodes, name)), f"{name} has handled all of {len(sent)} messages", PATIENCE)
    found = handled(nodes, name)
    assert len(found) == len(set(found)), "handled twice"
    for sender in senders:
        mine = [one for one in found if one in set(sender.sent)]
        assert mine == sender.sent, f"order of {sender.member.name}, invoke {sender.invoke}"
    return found


def balanced(nodes: Nodes, name: str) -> dict[str, Any]:
    """The agent's accounts on all nodes balance, and nothing waits; their sums."""

    def accounts() -> list[dict[str, Any]]:
        return [row for member in nodes if (row := member.ledger().get(name)) is not None]

    until(lambda: all(row["pending"] + row["in_flight"] == 0 for row in accounts()), "nothing waits", PATIENCE)
    rows = accounts()
    assert all(row["imbalance"] == 0 for row in rows), rows
    return {key: sum(row[key] for row in rows) for key in ("accepted", "done", "forwarded", "dead", "expired")}


def drained(member: Member) -> Any:
    """The node hands everything over; what it says of that."""
    return member.call("node.drain", Drain(20.0))


def undrained(member: Member) -> None:
    """It takes work again."""
    member.call("node.undrain", Nothing())

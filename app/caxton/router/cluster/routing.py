"""Where each operation is answered: one table over all of them.

Owns the table, and the name that an operation is about. Must never answer or pass on one: `forwarding` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from caxton.protocol.errors import Code


class Where(StrEnum):
    """Who answers."""

    HERE = "here"
    """The node that is asked: it is about itself, or about what every node knows."""
    MESSAGES = "messages"
    """Each message where its receiver is, or into the outbox."""
    AGENT = "agent"
    """A node on which the agent lives."""
    DECIDER = "decider"
    """The one node that makes changes to what has this name."""
    FIND = "find"
    """This node if it knows the thing, else the first other that does."""
    GATHER = "gather"
    """All nodes, their lists merged in order."""
    EVERYWHERE = "everywhere"
    """All nodes, each for its own part; their counts are added up."""


@dataclass(frozen=True, slots=True)
class Route:
    """`about`: the name in the arguments that decides, and `pin`: the node that they ask for.

    `changes`: refused in the minority. `unknown`: the refusals by which a node says that it does not know the thing.
    """

    where: Where
    about: Callable[[Any], str | None] = lambda args: args.name
    pin: Callable[[Any], str | None] = lambda _: None
    changes: bool = False
    unknown: frozenset[Code] = frozenset()
    follows: bool = False


def _nothing(_: Any) -> None:
    return None


def _config_name(args: Any) -> str:
    return str(args.config.name)


def _config_node(args: Any) -> str | None:
    found = getattr(args.config, "node", None)
    return found if isinstance(found, str) else None


def _found(*unknown: Code, follows: bool = False) -> Route:
    return Route(Where.FIND, _nothing, unknown=frozenset(unknown), follows=follows)


_HERE: Final = Route(Where.HERE, _nothing)
_SHARED: Final = Route(Where.HERE, _nothing, changes=True)
_MESSAGES: Final = Route(Where.MESSAGES, _nothing)
_AGENT: Final = Route(Where.AGENT)
_DECIDER: Final = Route(Where.DECIDER, changes=True)
_GATHER: Final = Route(Where.GATHER, _nothing)
_COUNTED: Final = Route(
    Where.EVERYWHERE, _nothing, unknown=frozenset({Code.AGENT_NOT_FOUND, Code.INVALID_REQUEST}), follows=True
)

ROUTES: Final[dict[str, Route]] = {
    "submit": _MESSAGES,
    "invoke": _MESSAGES,
    "message.get": _found(Code.MESSAGE_NOT_FOUND),
    "message.list": _GATHER,
    "message.cancel": _found(Code.MESSAGE_NOT_FOUND),
    "agent.deploy": Route(Where.DECIDER, _config_name, _config_node, changes=True),
    "agent.get": _AGENT,
    "agent.list": _GATHER,
    "agent.stop": _DECIDER,
    "agent.start": _DECIDER,
    "agent.remove": _DECIDER,
    "agent.update": _DECIDER,
    "agent.rollback": _DECIDER,
    "agent.rollout": _AGENT,
    "agent.steer": _DECIDER,
    "agent.versions": _AGENT,
    "agent.state": _AGENT,
    "agent.executions": _AGENT,
    "agent.recordings": _AGENT,
    "agent.history": _found(Code.AGENT_NOT_FOUND),
    "recording.get": _found(Code.NOT_FOUND),
    "agent.logs": _AGENT,
    "agent.schedules": _AGENT,
    "agent.http_calls": _AGENT,
    "job.get": _found(Code.JOB_NOT_FOUND),
    "dead.list": _GATHER,
    "dead.get": _found(Code.MESSAGE_NOT_FOUND),
    "dead.replay": _COUNTED,
    "dead.purge": _COUNTED,
    "dead.replay_one": _found(Code.MESSAGE_NOT_FOUND, follows=True),
    "dead.skip": _found(Code.CONFLICT, follows=True),
    "ledger": _HERE,
    "ready": _HERE,
    "stats": _HERE,
    "node.show": _HERE,
    "node.facts": _AGENT,
    "events": _HERE,
    "key.create": _SHARED,
    "key.list": _HERE,
    "key.revoke": _SHARED,
    "key.rotate": _SHARED,
    "key.bootstrap": _HERE,
    "key.lookup": _HERE,
    "token.revoke": _SHARED,
    "token.list": _HERE,
    "token.lookup": _HERE,
    "node.pause": _HERE,
    "node.resume": _HERE,
    "node.drain": _HERE,
    "node.undrain": _HERE,
    "node.probe": _HERE,
    "node.log_level": _HERE,
    "node.gc": _HERE,
    "conversation.list": _GATHER,
    "conversation.get": _found(Code.NOT_FOUND),
    "capability.list": _HERE,
    "capability.get": _HERE,
    "capability.set": _DECIDER,
    "capability.remove": _DECIDER,
    "topic.list": _HERE,
    "topic.get": _HERE,
    "topic.subscribe": Route(Where.DECIDER, lambda args: args.agent, changes=True),
    "task.create": _HERE,
    "task.get": _found(Code.NOT_FOUND),
    "task.list": _GATHER,
    "task.cancel": _found(Code.NOT_FOUND),
    "namespace.list": _HERE,
    "namespace.get": _HERE,
    "namespace.set": _SHARED,
    "namespace.remove": _SHARED,
    "secret.set": _SHARED,
    "secret.list": _HERE,
    "secret.remove": _SHARED,
    "secret.rekey": _HERE,
    "audit.list": _HERE,
    "audit.note": _HERE,
    "cluster.status": _HERE,
    "cluster.nodes": _HERE,
    "cluster.report": _HERE,
    "cluster.ledger": _HERE,
    "cluster.drain": _HERE,
    "cluster.undrain": _HERE,
    "cluster.plan": _HERE,
    "cluster.adopt": _HERE,
    "cluster.forget": _HERE,
}


def route_of(op: str) -> Route:
    """Where the operation is answered; what nodes ask of each other is answered by the one that is asked."""
    return _HERE if op.startswith("peer.") else ROUTES[op]

"""The rule of every operation: what a caller who does not reach everything may ask, and of what.

Owns the one table. A rule stands in front of its operation; where what is asked for is in reach, it has the operation
answered, within the caller's reach where that matters. Must never be asked about a caller who reaches everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError
from caxton.protocol.messages import Message
from caxton.protocol.operations import Deploy, Invoke, Named, Submit
from caxton.protocol.secrets import SecretSet
from caxton.protocol.views import ItemView
from caxton.router.access.accounts import unknown_namespace
from caxton.router.access.bounds import bounded
from caxton.router.access.reach import Reach
from caxton.router.secrets import unknown_secret

Go = Callable[..., Awaitable[Any]]
"""`go(args)`, or `go(args, reach)` where the operation's function takes that: has it answered."""
Guard = Callable[[Any, Reach, Go], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`clients`: an `agent-client` may ask this too; its reach is what it sent, and the agents that it is given."""

    guard: Guard
    clients: bool = False

    async def __call__(self, args: Any, reach: Reach, go: Go) -> Any:
        """The operation's answer, or the refusal."""
        if reach.own_only and not self.clients:
            reach.forbid("this")
        return await self.guard(args, reach, go)


async def _anybody(args: Any, _: Reach, go: Go) -> Any:
    """It says nothing about anything that belongs to somebody."""
    return await go(args)


async def _node(_: Any, reach: Reach, __: Go) -> Any:
    """The node is everybody's: no part of it belongs to a namespace."""
    reach.forbid("the node")


async def _agent(args: Any, reach: Reach, go: Go) -> Any:
    """About one agent, by its name."""
    reach.require_agent(args.name or "")
    return await go(args)


async def _version(args: Any, reach: Reach, go: Go) -> Any:
    """About one agent by its name, and about what its versions may do."""
    reach.require_agent(args.name)
    return await go(args, reach)


async def _within(args: Any, reach: Reach, go: Go) -> Any:
    """The operation itself leaves out what is out of reach."""
    return await go(args, reach)


async def _deploy(args: Deploy, reach: Reach, go: Go) -> Any:
    """A new agent: in the namespace, and with no more than its deployer may give."""
    return await go(msgspec.structs.replace(args, config=bounded(args.config, reach.namespace)))


async def _invoke(args: Invoke, reach: Reach, go: Go) -> Any:
    return await go(addressed(args, reach))


async def _submit(args: Submit, reach: Reach, go: Go) -> Any:
    """Each message on its own: those out of reach are refused, the others go their way."""
    answers: list[ItemView | None] = [_refused(message, reach) for message in args.messages]
    mine = [_own(one, reach) for one, refused in zip(args.messages, answers, strict=True) if refused is None]
    rest = iter(await go(Submit(mine, args.fresh)) if mine else [])
    return [refused or next(rest) for refused in answers]


def addressed(args: Invoke, reach: Reach) -> Invoke:
    """The invocation as the caller may make it; raises the refusal."""
    reach.require_receiver(args.message.receiver)
    return msgspec.structs.replace(args, message=_own(args.message, reach))


def _own(message: Message, reach: Reach) -> Message:
    """The message in the caller's name, whatever it says."""
    return message if message.sender == reach.sender else msgspec.structs.replace(message, sender=reach.sender)


def _refused(message: Message, reach: Reach) -> ItemView | None:
    try:
        reach.require_receiver(message.receiver)
    except CaxtonError as refusal:
        return ItemView(message.message_id, error=refusal.body())
    return None


async def _namespace(args: Any, reach: Reach, go: Go) -> Any:
    """About one namespace: the caller's own."""
    if args.name != reach.namespace:
        raise unknown_namespace(args.name)
    return await go(args)


async def _secret_set(args: SecretSet, reach: Reach, go: Go) -> Any:
    if not reach.inside(args.name):
        reach.forbid(f"the secret {args.name[:64]!r}", path="name")
    return await go(args)


async def _secret_removed(args: Named, reach: Reach, go: Go) -> Any:
    if not reach.inside(args.name):
        raise unknown_secret(args.name)
    return await go(args)


RULES: Final[dict[str, Rule]] = {
    "submit": Rule(_submit, clients=True),
    "invoke": Rule(_invoke, clients=True),
    "message.get": Rule(_within, clients=True),
    "message.list": Rule(_within, clients=True),
    "message.cancel": Rule(_within, clients=True),
    "job.get": Rule(_within, clients=True),
    "task.create": Rule(_within, clients=True),
    "task.get": Rule(_within, clients=True),
    "task.cancel": Rule(_within, clients=True),
    "ready": Rule(_anybody, clients=True),
    "agent.deploy": Rule(_deploy),
    "agent.get": Rule(_agent),
    "agent.list": Rule(_within),
    "agent.stop": Rule(_agent),
    "agent.start": Rule(_agent),
    "agent.remove": Rule(_agent),
    "agent.update": Rule(_version),
    "agent.rollback": Rule(_version),
    "agent.rollout": Rule(_agent),
    "agent.steer": Rule(_version),
    "agent.versions": Rule(_agent),
    "agent.state": Rule(_agent),
    "agent.executions": Rule(_agent),
    "agent.recordings": Rule(_agent),
    "agent.history": Rule(_agent),
    "recording.get": Rule(_within),
    "agent.logs": Rule(_agent),
    "agent.schedules": Rule(_agent),
    "agent.http_calls": Rule(_agent),
    "dead.list": Rule(_within),
    "dead.get": Rule(_within),
    "dead.replay": Rule(_within),
    "dead.purge": Rule(_within),
    "dead.replay_one": Rule(_within),
    "dead.skip": Rule(_within),
    "conversation.list": Rule(_within),
    "conversation.get": Rule(_within),
    "capability.list": Rule(_within),
    "capability.get": Rule(_within),
    "capability.set": Rule(_within),
    "capability.remove": Rule(_within),
    "topic.list": Rule(_within),
    "topic.get": Rule(_within),
    "topic.subscribe": Rule(_within),
    "task.list": Rule(_within),
    "ledger": Rule(_within),
    "events": Rule(_within),
    "namespace.list": Rule(_within),
    "namespace.get": Rule(_namespace),
    "namespace.set": Rule(_node),
    "namespace.remove": Rule(_node),
    "stats": Rule(_node),
    "node.show": Rule(_node),
    "node.facts": Rule(_node),
    "key.create": Rule(_node),
    "key.list": Rule(_node),
    "key.bootstrap": Rule(_node),
    "key.rotate": Rule(_node),
    "key.revoke": Rule(_node),
    "key.lookup": Rule(_node),
    "token.revoke": Rule(_node),
    "token.list": Rule(_node),
    "token.lookup": Rule(_node),
    "secret.set": Rule(_secret_set),
    "secret.list": Rule(_within),
    "secret.remove": Rule(_secret_removed),
    "secret.rekey": Rule(_node),
    "audit.list": Rule(_node),
    "audit.note": Rule(_node),
    "cluster.status": Rule(_node),
    "cluster.nodes": Rule(_node),
    "cluster.report": Rule(_node),
    "cluster.ledger": Rule(_anybody),  # each node applies the caller's reach to its own
    "cluster.plan": Rule(_node),
    "cluster.adopt": Rule(_node),
    "cluster.drain": Rule(_node),
    "cluster.undrain": Rule(_node),
    "cluster.forget": Rule(_node),
    "peer.ran": Rule(_node),
    "node.pause": Rule(_node),
    "node.resume": Rule(_node),
    "node.drain": Rule(_node),
    "node.undrain": Rule(_node),
    "node.probe": Rule(_node),
    "node.log_level": Rule(_node),
    "node.gc": Rule(_node),
    "peer.forward": Rule(_node),
    "peer.deliver": Rule(_node),
    "peer.outcome": Rule(_node),
    "peer.open": Rule(_node),
    "peer.beat": Rule(_node),
    "peer.relay": Rule(_node),
    "peer.pull": Rule(_node),
    "peer.module": Rule(_node),
    "peer.handover_begin": Rule(_node),
    "peer.handover_page": Rule(_node),
    "peer.handover_known": Rule(_node),
    "peer.handover_finish": Rule(_node),
    "peer.handover_commit": Rule(_node),
    "peer.handover_abort": Rule(_node),
    "peer.handover_emptied": Rule(_node),
    "peer.handover_adopted": Rule(_node),
}

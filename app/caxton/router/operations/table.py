"""The table of operations: which function answers what.

Owns the pairing of protocol/operations.py with handlers. Must never hold logic.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec

from caxton.protocol.access import Caller
from caxton.protocol.operations import OPERATIONS, Named
from caxton.protocol.views import AgentView
from caxton.router import deployments, lifecycle
from caxton.router.access.reach import reach_of
from caxton.router.access.rules import RULES, Go, addressed
from caxton.router.auditing.actions import AUDITED
from caxton.router.auditing.wrap import recorded
from caxton.router.connection import Answered, Begin, Cancellable, Handler, Operation, Operations, Sink
from caxton.router.desk import Desk
from caxton.router.operations import agents as ops_agents
from caxton.router.operations import audit as ops_audit
from caxton.router.operations import capabilities as ops_capabilities
from caxton.router.operations import cluster as ops_cluster
from caxton.router.operations import conversations as ops_conversations
from caxton.router.operations import deadletters as ops_deadletters
from caxton.router.operations import debugging as ops_debugging
from caxton.router.operations import forwarded as ops_forwarded
from caxton.router.operations import gate as ops_gate
from caxton.router.operations import homes as ops_homes
from caxton.router.operations import keys as ops_keys
from caxton.router.operations import messages as ops_messages
from caxton.router.operations import namespaces as ops_namespaces
from caxton.router.operations import node as ops_node
from caxton.router.operations import overview as ops_overview
from caxton.router.operations import peers as ops_peers
from caxton.router.operations import recordings as ops_recordings
from caxton.router.operations import registry as ops_registry
from caxton.router.operations import secrets as ops_secrets
from caxton.router.operations import stats as ops_stats
from caxton.router.operations import supervision as ops_supervision
from caxton.router.operations import tasks as ops_tasks
from caxton.router.operations import tokens as ops_tokens
from caxton.router.operations import topics as ops_topics
from caxton.router.versions import rollouts, updates

Answer = Callable[..., Awaitable[Any]]
"""Of desk and arguments, and (where its rule says so) of the caller's reach."""
ForCaller = Callable[[Desk, Any, Caller], Awaitable[Any]]
Wrap = Callable[[str, Go, Caller, Sink], Go]
"""What stands between an operation's rule and its answer."""
Stream = Callable[..., Awaitable[Any]]
"""The same, with the sink behind the arguments."""


async def _start(desk: Desk, args: Named) -> AgentView:
    return await lifecycle.start(desk, args.name)


ANSWERS: Final[dict[str, Answer]] = {
    "submit": ops_messages.submit,
    "invoke": ops_messages.invoke,
    "message.get": ops_messages.get,
    "message.list": ops_messages.list_messages,
    "message.cancel": ops_messages.cancel,
    "agent.deploy": deployments.deploy,
    "agent.get": ops_agents.get,
    "agent.list": ops_agents.list_agents,
    "agent.stop": lifecycle.stop,
    "agent.start": _start,
    "agent.remove": lifecycle.remove,
    "agent.update": updates.update,
    "agent.rollback": updates.rollback,
    "agent.rollout": rollouts.show,
    "agent.steer": rollouts.steer,
    "agent.versions": ops_agents.versions,
    "agent.state": ops_agents.state,
    "agent.executions": ops_agents.executions,
    "agent.recordings": ops_recordings.names,
    "agent.history": ops_debugging.history,
    "recording.get": ops_recordings.get,
    "job.get": ops_node.job,
    "dead.list": ops_deadletters.list_dead,
    "dead.get": ops_deadletters.get,
    "dead.replay": ops_deadletters.replay,
    "dead.purge": ops_deadletters.purge,
    "agent.schedules": ops_supervision.schedules,
    "agent.http_calls": ops_supervision.http_calls,
    "dead.replay_one": ops_deadletters.replay_one,
    "dead.skip": ops_deadletters.skip,
    "ledger": ops_node.ledger,
    "ready": ops_node.ready,
    "node.facts": ops_debugging.facts,
    "stats": ops_stats.stats,
    "node.show": ops_overview.show,
    "key.create": ops_keys.create,
    "key.list": ops_keys.list_keys,
    "key.revoke": ops_keys.revoke,
    "key.rotate": ops_keys.rotate,
    "key.bootstrap": ops_keys.bootstrap,
    "key.lookup": ops_keys.lookup,
    "token.revoke": ops_tokens.revoke,
    "token.list": ops_tokens.list_tokens,
    "token.lookup": ops_tokens.lookup,
    "node.pause": ops_gate.pause,
    "node.resume": ops_gate.resume,
    "node.drain": ops_gate.drain,
    "node.undrain": ops_gate.undrain,
    "node.probe": ops_gate.probe,
    "node.log_level": ops_node.log_level,
    "node.gc": ops_node.gc,
    "conversation.list": ops_conversations.list_conversations,
    "conversation.get": ops_conversations.get,
    "capability.list": ops_capabilities.list_capabilities,
    "capability.get": ops_capabilities.get,
    "capability.set": ops_capabilities.register,
    "capability.remove": ops_capabilities.forget,
    "topic.list": ops_topics.list_topics,
    "topic.get": ops_topics.get,
    "topic.subscribe": ops_topics.subscribe,
    "task.create": ops_tasks.create,
    "task.get": ops_tasks.get,
    "task.list": ops_tasks.list_tasks,
    "task.cancel": ops_tasks.cancel,
    "namespace.list": ops_namespaces.list_namespaces,
    "namespace.get": ops_namespaces.get,
    "namespace.set": ops_namespaces.put,
    "namespace.remove": ops_namespaces.remove,
    "secret.set": ops_secrets.set_secret,
    "secret.list": ops_secrets.list_secrets,
    "secret.remove": ops_secrets.remove,
    "secret.rekey": ops_secrets.rekey,
    "audit.list": ops_audit.list_records,
    "peer.handover_page": ops_homes.page,
    "peer.handover_known": ops_homes.known,
    "peer.handover_adopted": ops_homes.adopted,
    "cluster.adopt": ops_homes.adopt,
    "cluster.status": ops_cluster.status,
    "peer.pull": ops_registry.pull,
    "cluster.nodes": ops_cluster.nodes,
    "cluster.report": ops_cluster.report,
    "cluster.forget": ops_cluster.forget,
    "peer.ran": ops_cluster.ran,
}
FOR_CALLER: Final[dict[str, ForCaller]] = {
    "audit.note": ops_audit.note,
    "peer.deliver": ops_forwarded.deliver,
    "peer.outcome": ops_forwarded.outcome,
    "cluster.ledger": ops_cluster.ledger,
    "cluster.drain": ops_cluster.drain,
    "cluster.undrain": ops_cluster.undrain,
    "cluster.plan": ops_homes.plan,
    "peer.handover_begin": ops_homes.begin,
    "peer.handover_finish": ops_homes.finish,
    "peer.handover_commit": ops_homes.commit,
    "peer.handover_abort": ops_homes.abort,
    "peer.handover_emptied": ops_homes.emptied,
    "peer.beat": ops_peers.beat,
    "peer.relay": ops_peers.relay,
}
"""Answers that depend on who asks."""
BEGINS: Final[dict[str, Callable[[Desk, Any, Answered], Cancellable | None]]] = {"invoke": ops_messages.begin_invoke}
STREAMS: Final[dict[str, Stream]] = {
    "agent.logs": ops_agents.logs,
    "peer.forward": ops_forwarded.forward,
    "peer.open": ops_peers.open_link,
    "peer.module": ops_registry.module,
}
STREAMS_FOR_CALLER: Final[dict[str, Stream]] = {"events": ops_node.events}
"""With the caller behind the sink."""


def make_operations(desk: Desk) -> Operations:
    """Every operation of the protocol, bound to `desk`, behind the rule of how far its caller must reach.

    In a cluster other nodes answer some of them; what those pass on to this one is answered by a table of its own.
    """
    if desk.cluster is None:
        return _table(desk, _as_it_is)
    forwarding = desk.cluster.forwarding
    forwarding.arrived = _table(desk, forwarding.arriving)
    return _table(desk, forwarding.entering)


def _table(desk: Desk, wrap: Wrap) -> dict[str, Operation]:
    table: dict[str, Operation] = {}
    for name, (arguments, _result) in OPERATIONS.items():
        decode = msgspec.msgpack.Decoder(arguments).decode
        if name in STREAMS or name in STREAMS_FOR_CALLER:
            table[name] = Operation(decode, _streaming(name, desk, wrap))
        else:
            begin = _beginning(BEGINS[name], desk) if name in BEGINS else None
            table[name] = Operation(decode, _handler(name, desk, wrap), begin)
    return table


def _as_it_is(_op: str, go: Go, _caller: Caller, _sink: Sink) -> Go:
    return go


def _beginning(begin: Callable[[Desk, Any, Answered], Cancellable | None], desk: Desk) -> Begin:
    def begun(args: Any, answered: Answered, caller: Caller) -> Cancellable | None:
        reach = reach_of(caller)
        return begin(desk, args if reach is None else addressed(args, reach), answered)

    return begun


def _handler(name: str, desk: Desk, wrap: Wrap) -> Handler:
    go = _for_caller(FOR_CALLER[name], desk) if name in FOR_CALLER else _for_all(partial(ANSWERS[name], desk))
    if name not in AUDITED:
        return _ruled(name, lambda sink, caller: wrap(name, go(caller), caller, sink))

    def make(sink: Sink, caller: Caller) -> Go:
        """What the rule lets through is in the audit before it happens."""
        return wrap(name, recorded(AUDITED[name], go(caller), desk.audit, caller), caller, sink)

    return _ruled(name, make)


def _for_caller(asked: ForCaller, desk: Desk) -> Callable[[Caller], Go]:
    return lambda caller: lambda args: asked(desk, args, caller)


def _for_all(answer: Answer) -> Callable[[Caller], Go]:
    return lambda _caller: answer


def _streaming(name: str, desk: Desk, wrap: Wrap) -> Handler:
    def make(sink: Sink, caller: Caller) -> Go:
        if name in STREAMS:
            return wrap(name, lambda args, *more: STREAMS[name](desk, args, sink, *more), caller, sink)
        return wrap(name, lambda args, *more: STREAMS_FOR_CALLER[name](desk, args, sink, caller, *more), caller, sink)

    return _ruled(name, make)


def _ruled(name: str, make: Callable[[Sink, Caller], Go]) -> Handler:
    """What `make` gives answers, behind the operation's rule where the caller does not reach everything."""
    rule = RULES[name]

    def handle(args: Any, sink: Sink, caller: Caller) -> Awaitable[Any]:
        go, reach = make(sink, caller), reach_of(caller)
        return go(args) if reach is None else rule(args, reach, go)

    return handle

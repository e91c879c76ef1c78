"""Which operations the audit records, and as what; and which it does not, with the reason.

Owns both tables: every operation of the protocol is in one of them. Must never put a secret, or the content of a
message, into a record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from caxton.protocol.agents import AgentConfig, Grants
from caxton.protocol.operations import DeadPurge, DeadReplay, Deploy, Deployed
from caxton.protocol.versions import ConfigChange, Update

Details = dict[str, Any]
_SHOWN_IDS: Final = 20


def _nothing(_: Any) -> Details:
    return {}


def _name(args: Any) -> str:
    return str(args.name)


def _node(_: Any) -> str:
    return ""


def _count(answer: Any) -> Details:
    return {"count": answer.count}


def picked(*names: str) -> Callable[[Any], Details]:
    """The named fields of a struct, where they are set."""
    return lambda one: {name: value for name in names if (value := getattr(one, name, None)) not in (None, [], "")}


@dataclass(frozen=True, slots=True)
class Action:
    """How an operation is recorded. `details` of its arguments, `result` of its answer; neither may be large."""

    name: str
    target: Callable[[Any], str] = _name
    details: Callable[[Any], Details] = _nothing
    result: Callable[[Any], Details] = _nothing


def _deploy(args: Deploy) -> Details:
    return {**_module(args.module), "signed": args.signature is not None, **_configured(args.config)}


def _update(args: Update) -> Details:
    module = {} if args.module is None else _module(args.module)
    return {
        **module,
        "signed": args.signature is not None,
        "strategy": args.strategy.value,
        **_configured(args.change),
    }


def _module(module: bytes) -> Details:
    return {"module_sha256": hashlib.sha256(module).hexdigest(), "module_bytes": len(module)}


def _configured(config: AgentConfig | ConfigChange) -> Details:
    """What is granted, in full; of everything else the names: values may be secrets of whoever deploys."""
    given = {
        name
        for field in msgspec.structs.fields(config)
        if (name := field.name) != "name" and getattr(config, name) != _default(field)
    }
    details: Details = {"configured": sorted(given)}
    if isinstance(config.grants, Grants):
        details["grants"] = msgspec.to_builtins(config.grants)
    if isinstance(config.env, dict):
        details["env"] = sorted(config.env)
    return details


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _deployed(answer: Deployed) -> Details:
    if answer.job is not None:
        return {"job_id": answer.job.job_id}
    return {} if answer.agent is None else _agent(answer.agent)


_agent: Final = picked("version", "module_sha256")
_key: Final = picked("key_id", "subject", "expires_at", "revoked_at")


def _letters(args: DeadReplay | DeadPurge) -> Details:
    chosen = picked("agent", "to", "version", "everything")(args)
    ids = {"message_ids": args.message_ids[:_SHOWN_IDS], "ids": len(args.message_ids)} if args.message_ids else {}
    return chosen | ids


AUDITED: Final[dict[str, Action]] = {
    "agent.deploy": Action("agent.deploy", lambda args: str(args.config.name), _deploy, _deployed),
    "agent.update": Action("agent.update", details=_update, result=_deployed),
    "agent.rollback": Action("agent.rollback", details=picked("version"), result=_agent),
    "agent.steer": Action("agent.steer", details=picked("action"), result=_agent),
    "agent.stop": Action("agent.stop", details=picked("grace_period_seconds")),
    "agent.start": Action("agent.start", result=_agent),
    "agent.remove": Action("agent.remove", details=picked("purge"), result=_count),
    "message.cancel": Action("message.cancel"),
    "task.cancel": Action("task.cancel"),
    "dead.replay": Action("dead.replay", lambda args: args.agent or "", _letters, _count),
    "dead.replay_one": Action(
        "dead.replay",
        lambda args: str(args.message_id),
        lambda args: {**picked("to")(args), "edited": args.content is not None},
        _count,
    ),
    "dead.purge": Action("dead.purge", lambda args: args.agent or "", _letters, _count),
    "dead.skip": Action("dead.skip", result=_count),
    "capability.set": Action("capability.set"),
    "capability.remove": Action("capability.remove", result=_count),
    "topic.subscribe": Action(
        "topic.subscribe", lambda args: str(args.topic), lambda args: {"agent": args.agent, "on": args.on}
    ),
    "key.create": Action(
        "key.create",
        lambda args: str(args.subject),
        lambda args: {**picked("ttl_seconds")(args), **msgspec.to_builtins(args.scope)},
        _key,
    ),
    "key.rotate": Action(
        "key.rotate",
        lambda args: str(args.key_id),
        picked("overlap_seconds", "ttl_seconds"),
        lambda answer: {"made": _key(answer.made), "ends": _key(answer.ends)},
    ),
    "key.revoke": Action("key.revoke", result=_key),
    "key.bootstrap": Action("key.bootstrap", _node, result=_key),
    "token.revoke": Action("token.revoke", lambda args: str(args.jti), picked("expires_at")),
    "namespace.set": Action("namespace.set", details=lambda args: {"quota": msgspec.to_builtins(args.quota)}),
    "namespace.remove": Action("namespace.remove", result=_count),
    "secret.set": Action("secret.set", result=picked("version", "key_id")),
    "secret.remove": Action("secret.remove", result=_count),
    "secret.rekey": Action("secret.rekey", _node, result=picked("count", "key_id", "unreadable")),
    "node.pause": Action("node.pause", _node),
    "node.resume": Action("node.resume", _node),
    "node.drain": Action("node.drain", _node, picked("wait_seconds"), lambda answer: {"drained": answer.drained}),
    "node.undrain": Action("node.undrain", _node),
    "cluster.drain": Action(
        "cluster.drain",
        lambda args: str(args.node),
        picked("wait_seconds"),
        lambda answer: {"drained": answer.drained},
    ),
    "cluster.undrain": Action("cluster.undrain"),
    "cluster.forget": Action("cluster.forget"),
    "cluster.adopt": Action(
        "cluster.adopt", lambda args: str(args.agent), picked("source", "clean"), picked("node", "epoch")
    ),
    "node.log_level": Action("node.log_level", _node, picked("level")),
    "node.gc": Action("node.gc", _node, result=_count),
}

_MESSAGE: Final = "the path of messages: the ledger accounts for every one"
_READ: Final = "reads only"
_NODES: Final = "between nodes; what is asked on somebody's behalf is recorded where it is done"
NOT_AUDITED: Final[dict[str, str]] = {
    "submit": _MESSAGE,
    "invoke": _MESSAGE,
    "task.create": _MESSAGE,
    "message.get": _READ,
    "message.list": _READ,
    "agent.get": _READ,
    "agent.list": _READ,
    "agent.rollout": _READ,
    "agent.versions": _READ,
    "agent.state": _READ,
    "agent.executions": _READ,
    "agent.recordings": _READ,
    "agent.history": _READ,
    "recording.get": _READ,
    "agent.logs": _READ,
    "agent.schedules": _READ,
    "agent.http_calls": _READ,
    "job.get": _READ,
    "dead.list": _READ,
    "dead.get": _READ,
    "ledger": _READ,
    "ready": _READ,
    "stats": _READ,
    "node.show": _READ,
    "node.facts": _READ,
    "events": _READ,
    "key.list": _READ,
    "key.lookup": "asked by API workers for every key that they see; those refused are noted",
    "token.list": _READ,
    "token.lookup": "asked by API workers for every token that they see; those refused are noted",
    "namespace.list": _READ,
    "namespace.get": _READ,
    "secret.list": _READ,
    "conversation.list": _READ,
    "conversation.get": _READ,
    "capability.list": _READ,
    "capability.get": _READ,
    "topic.list": _READ,
    "topic.get": _READ,
    "task.get": _READ,
    "task.list": _READ,
    "node.probe": "executes a module of the node's own, changes nothing",
    "audit.list": _READ,
    "audit.note": "is a record itself",
    "peer.forward": "what is asked on somebody's behalf is recorded as that",
    "peer.deliver": _MESSAGE,
    "peer.outcome": _MESSAGE,
    "peer.open": _NODES,
    "peer.beat": _NODES,
    "peer.relay": _NODES,
    "peer.pull": _NODES,
    "peer.module": _NODES,
    "peer.handover_begin": _NODES,
    "peer.handover_page": _NODES,
    "peer.handover_known": _NODES,
    "peer.handover_finish": _NODES,
    "peer.handover_commit": _NODES,
    "peer.handover_abort": _NODES,
    "peer.handover_emptied": _NODES,
    "peer.handover_adopted": _NODES,
    "cluster.plan": _READ,
    "cluster.status": _READ,
    "cluster.nodes": _READ,
    "cluster.report": _READ,
    "cluster.ledger": _READ,
    "peer.ran": _READ,
}

"""A small world for the store's tests: messages, outcomes, and commits that are waited for."""

from __future__ import annotations

import threading

from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, Instance, ModuleInfo, Shape
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message
from caxton.store import AgentRow, Retention, Store, Swept
from support.commits import ANSWER_SECONDS as ANSWER_SECONDS
from support.commits import accept as accept
from support.commits import commit as commit
from support.commits import outcome as outcome
from support.commits import settle as settle


def message(message_id: str | None = None, receiver: str = "echo", **more: object) -> Message:
    message_id = message_id or new_id()
    values = {
        "performative": "request",
        "sender": "client:test",
        "content": b'{"n":1}',
        "conversation_id": message_id,
    } | more
    return Message(message_id=message_id, receiver=receiver, **values)  # type: ignore[arg-type]


def sweep(store: Store, policy: Retention, now: float) -> Swept:
    """Sweeps until there is nothing more to do; the sum of all slices."""
    total = Swept()
    while True:
        answered = threading.Event()
        results: list[Swept] = []
        store.writer.sweep(policy, now, lambda swept, to=results, event=answered: (to.append(swept), event.set()))
        assert answered.wait(ANSWER_SECONDS)
        one = results[0]
        assert one.error is None
        total = Swept(
            total.messages + one.messages,
            total.contents + one.contents,
            total.jobs + one.jobs,
            total.logs + one.logs,
            total.executions + one.executions,
        )
        if not one.more:
            return total


def agent_row(name: str = "echo", **more: object) -> AgentRow:
    values = {
        "agent_id": new_id(),
        "version": 1,
        "config": AgentConfig(name=name),
        "module": ModuleInfo("ab" * 32, 10, Shape.REACTOR, ["handle_message"], [], 1, 65536, None, 0.1),
        "limits": EffectiveLimits(),
        "shape": Shape.REACTOR,
        "instance": Instance.PERSISTENT,
        "max_concurrency": 1,
        "deployed_at": 1_000.0,
        "status": AgentStatus.RUNNING,
    } | more
    return AgentRow(name=name, **values)  # type: ignore[arg-type]

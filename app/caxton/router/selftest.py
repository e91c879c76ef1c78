"""The message that a new agent must answer before it counts as running.

Owns the comparison of its answer with what was expected. Must never touch the agent's mailbox otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caxton.protocol.agents import SelfTest
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery, Message, Performative
from caxton.protocol.operations import Invoke
from caxton.router.agents import Agent
from caxton.router.boxes import Box
from caxton.router.core import Core
from caxton.router.versions.lanes import Lanes

SENDER: Final = "client:self-test"


async def self_test(core: Core, agent: Agent, test: SelfTest) -> None:
    """Sends `test.content`; `AGENT_FAILED` unless the agent answers, without failure, what was expected."""
    message = _message(agent, test)
    answer = await core.invoke(Invoke(message, agent.limits.execution_timeout_seconds, Delivery.EPHEMERAL))
    _require_expected(test, answer.performative, msgspec.json.decode(answer.content))


async def self_test_apart(lanes: Lanes, side: Box, test: SelfTest) -> None:
    """The same for a version at the side of the one that serves; nothing that it does to answer takes effect."""
    result = await lanes.ask(side, _message(side.agent, test))
    if result.status == "error":
        code = result.code if result.code in Code.__members__ else None
        raise CaxtonError(
            Code(code or Code.AGENT_FAILED),
            f"self-test: {result.detail or result.code or 'the agent failed'}",
            path="self_test",
            backtrace=result.backtrace,
        )
    if result.status != "ok":
        raise CaxtonError(
            Code.AGENT_FAILED,
            f"self-test: the agent ended as {result.status}: {result.detail or ''}",
            path="self_test",
            exit_code=result.exit_code,
        )
    replies = [(sent.message.performative, sent.message.content) for sent in result.sent if sent.is_reply]
    if result.reply is not None:
        replies.append((Performative.INFORM.value, result.reply))
    performative, content = replies[-1] if replies else (None, b"null")
    _require_expected(test, performative, msgspec.json.decode(content))


def _require_expected(test: SelfTest, performative: str | None, content: Any) -> None:
    if performative in (Performative.FAILURE, Performative.NOT_UNDERSTOOD, Performative.REFUSE):
        raise CaxtonError(
            Code.AGENT_FAILED, f"self-test: the agent answered {performative}", path="self_test", found=content
        )
    if test.expect is not msgspec.UNSET and content != test.expect:
        raise CaxtonError(
            Code.AGENT_FAILED,
            "self-test: the agent's answer is not what was expected",
            path="self_test.expect",
            found=content,
            expected=test.expect,
        )


def _message(agent: Agent, test: SelfTest) -> Message:
    return Message(
        message_id=new_id(),
        performative=Performative.REQUEST.value,
        sender=SENDER,
        receiver=agent.name,
        content=msgspec.json.encode(test.content),
        conversation_id=new_id(),
    )

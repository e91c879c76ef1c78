"""The message that a new agent must answer before it counts as running.

Owns the comparison of its answer with what was expected. Must never touch the agent's mailbox otherwise.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caxton.protocol.agents import SelfTest
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery, Message, Performative
from caxton.protocol.operations import Invoke
from caxton.router.agents import Agent
from caxton.router.core import Core

SENDER: Final = "client:self-test"


async def self_test(core: Core, agent: Agent, test: SelfTest) -> None:
    """Sends `test.content`; `AGENT_FAILED` unless the agent answers, without failure, what was expected."""
    message = Message(
        message_id=new_id(),
        performative=Performative.REQUEST.value,
        sender=SENDER,
        receiver=agent.name,
        content=msgspec.json.encode(test.content),
        conversation_id=new_id(),
    )
    answer = await core.invoke(Invoke(message, agent.limits.execution_timeout_seconds, Delivery.EPHEMERAL))
    content = msgspec.json.decode(answer.content)
    if answer.performative in (Performative.FAILURE, Performative.NOT_UNDERSTOOD, Performative.REFUSE):
        raise CaxtonError(
            Code.AGENT_FAILED, f"self-test: the agent answered {answer.performative}", path="self_test", found=content
        )
    if test.expect is not msgspec.UNSET and content != test.expect:
        raise CaxtonError(
            Code.AGENT_FAILED,
            "self-test: the agent's answer is not what was expected",
            path="self_test.expect",
            found=content,
            expected=test.expect,
        )

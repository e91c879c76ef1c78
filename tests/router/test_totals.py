"""Limits on what an agent has altogether: its keys, its memories."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from caxton.protocol.agents import Limits
from caxton.protocol.errors import CaxtonError
from support import router_agents as agents
from support.router_node import message, running_node

HOARD = agents.reactor(
    # a key of its own for every message: the last digit of the message's id
    """(i32.store8 (i32.const 3000) (i32.load8_u (i32.add (local.get $p) (i32.const 50))))
       (drop (call $store (i32.const 3000) (i32.const 1) (i32.const 4000) (i32.const 29)))
       (call $reply (i32.const 3900) (i32.const 1))""",
    extra='(data (i32.const 3900) "1")',
)
"""Stores 30 bytes."""


def numbered(digit: str) -> str:
    return f"00000000-0000-4000-8000-00000000000{digit}"


def test_the_keys_of_an_agent_never_exceed_its_limit() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("hoard", HOARD, limits=Limits(state_bytes=100))
            sent = [message("hoard", message_id=numbered(digit)) for digit in "123456"]
            await node.send(*sent)
            assert set(await node.settled(*(one.message_id for one in sent))) == {"done"}
            outcomes = [node.row(one.message_id).outcome for one in sent]
            assert sorted(str(one.performative) for one in outcomes if one) == ["failure"] * 3 + ["inform"] * 3
            (code,) = {
                msgspec.json.decode(one.content or b"")["code"]
                for one in outcomes
                if one is not None and one.performative == "failure"
            }
            assert code == "RESOURCE_LIMIT_EXCEEDED"
            assert node.store.reader.state_bytes("hoard") == 90
            # what replaces a value needs no room of its own
            again = next(one for one, out in zip(sent, outcomes, strict=True) if out and out.performative == "inform")
            renamed = again.message_id.replace("0000-4", "0001-4")  # the last digit is its key
            assert (await node.ask("hoard", message_id=renamed)).performative == "inform"
            assert node.store.reader.state_bytes("hoard") == 90
            await node.assert_balanced()

    asyncio.run(run())


TWO = agents.reactor(
    """(i32.store8 (i32.const 0) (i32.add (i32.const 48)
         (i32.add (i32.ge_s (memory.grow $second (i32.const 7)) (i32.const 0))
          (i32.mul (i32.const 2) (i32.lt_s (memory.grow $second (i32.const 1)) (i32.const 0))))))
       (call $reply (i32.const 0) (i32.const 1))""",
    extra="(memory $second 1)",
)
"""Answers 1 + 2 when its second memory may grow to 8 pages and no further."""


def test_the_memories_of_an_agent_share_its_limit() -> None:
    async def run() -> None:
        async with running_node(runtime__wasm_features=("multi_memory",)) as node:
            agent = await node.deploy("two", TWO, limits=Limits(memory_bytes=16 * 65_536))
            assert (agent.module.memories, agent.module.memory_min_bytes) == (2, 2 * 4 * 65_536)
            assert bytes((await node.ask("two")).content) == b"3"
            with pytest.raises(CaxtonError) as refused:
                await node.deploy("small", TWO, limits=Limits(memory_bytes=6 * 65_536))
            assert refused.value.code == "MEMORY_LIMIT"

    asyncio.run(run())

"""Which agents have a home, and which have replicas; who keeps the modules of either."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from caxton.cluster.placement import holders, hosts, runs_on, stateful
from caxton.protocol.agents import AgentConfig, ModuleInfo, Shape
from caxton.protocol.peers import AgentRecord

NODES = ("n1", "n2", "n3", "n4", "n5")


def module(shape: str, *imports: str) -> ModuleInfo:
    return ModuleInfo("0" * 64, 1, Shape(shape), [], list(imports), 1, 0, None, 0.0)


def config(**fields: Any) -> AgentConfig:
    return msgspec.convert({"name": "agent", **fields}, AgentConfig)


@pytest.mark.parametrize(
    ("fields", "shape", "imports", "expected"),
    [
        ({}, "command", [], False),
        ({}, "command", ["caxton.reply", "caxton.send_message", "caxton.request"], False),
        ({}, "reactor", [], True),
        ({"instance": "per_message"}, "reactor", [], False),
        ({"instance": "per_message"}, "reactor", ["caxton.load_data"], True),
        ({"instance": "per_message", "grants": {"kv": False}}, "reactor", ["caxton.store_data"], False),
        ({"instance": "per_message"}, "reactor", ["caxton.set_timer"], True),
        ({"state": "snapshot"}, "reactor", [], True),
        ({"schedules": [{"name": "daily", "cron": "0 3 * * *"}]}, "command", [], True),
        ({"schedules": []}, "command", [], False),
    ],
)
def test_what_keeps_something_has_a_home(fields: Any, shape: str, imports: list[str], expected: bool) -> None:
    assert stateful(config(**fields), module(shape, *imports)) is expected


def record(**fields: Any) -> AgentRecord:
    return AgentRecord(
        name="agent",
        agent_id="id",
        version=1,
        status="running",
        config=b"",
        module=module("command"),
        deployed_at=0.0,
        **fields,
    )


@pytest.mark.parametrize("fields", [{"home": "n3"}, {"replicas": 2}, {"replicas": "all"}, {"node": "n4"}])
def test_two_more_nodes_keep_the_module(fields: Any) -> None:
    agent = record(**fields)
    running = hosts(agent, NODES)
    assert holders(agent, NODES) == [*running, *holders(agent, NODES)[len(running) :]]
    assert len(set(holders(agent, NODES))) == min(len(running) + 2, len(NODES))
    assert [runs_on(agent, node, NODES) for node in NODES] == [node in running for node in NODES]
    if fields == {"replicas": 2}:  # whoever takes over has it already
        left = [node for node in NODES if node not in running]
        assert set(hosts(agent, left)) <= set(holders(agent, NODES))

"""Memory pressure on a real node: agents that hold real memory, and what the metrics say becomes of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import snapshot_agents
from support.node import Node, running_node, until
from support.router_agents import reactor
from support.scrape import sample

MEGABYTE = 1_000_000
LIMIT = 1 << 30
AGENTS = 10
HOLDER = reactor(
    """(memory.fill (i32.const 1048576) (i32.const 7) (i32.const 15728640))
       (local.set $i (call $config (i32.const 1100) (i32.const 18) (i32.const 2100) (i32.const 8)))
       (call $reply (i32.const 2100) (local.get $i))"""
).replace('(memory (export "memory") 4)', '(memory (export "memory") 256)')
"""Writes to 15 MiB of its memory and answers the number of its instance."""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One worker that holds a counter with snapshots, the longest idle, and ten agents of 16 MiB; it may end none."""
    runtime = {"executor_workers": 1, "memory_limit": LIMIT, "gc_interval": "1s", "agent_memory_reclaim": False}
    with running_node(runtime={**runtime, "memory_pressure_threshold": 0.1}) as made:
        made.deploy("keeps", snapshot_agents.COUNTER, state="snapshot")
        assert made.invoke("keeps", None).json()["content"] == 1
        for number in range(AGENTS):
            made.deploy(f"holds{number}", HOLDER)
            assert made.invoke(f"holds{number}", None).json()["content"] == 1
        yield made


def ends(node: Node, outcome: str) -> float:
    return sample(node, f'caxton_instance_ends_total{{reason="pressure",outcome="{outcome}"}}')


def looks(node: Node, finding: str) -> float:
    return sample(node, f'caxton_memory_pressure_looks_total{{finding="{finding}"}}')


def resident(node: Node) -> float:
    return sample(node, "caxton_executor_resident_bytes")


@pytest.mark.timeout(240)
def test_the_longest_idle_make_room_once_they_may(node: Node) -> None:
    until(lambda: resident(node) > AGENTS * 15 * 1_048_576, 30, "the worker has said what it holds")
    seen = looks(node, "off")
    until(lambda: looks(node, "off") >= seen + 2, 30, "two looks found too much in use")
    assert sample(node, "caxton_agent_memory_reclaim") == 0
    assert ends(node, "ended") == ends(node, "hibernated") == looks(node, "reclaimed") == 0
    assert sample(node, "caxton_executor_resident_instances") == AGENTS + 1
    assert sample(node, 'caxton_agent_memory_bytes{agent="holds0"}') == 16 * 1_048_576

    threshold = (resident(node) - 40 * MEGABYTE) / LIMIT
    node.reload("runtime", memory_pressure_threshold=threshold, agent_memory_reclaim=True)
    until(lambda: looks(node, "low") > 0, 60, "a look found little enough in use")
    assert sample(node, "caxton_agent_memory_reclaim") == 1
    assert sample(node, "caxton_memory_pressure_threshold_ratio") == threshold
    assert looks(node, "reclaimed") >= 1
    assert ends(node, "hibernated") == 1
    assert 1 <= ends(node, "ended") < AGENTS
    until(lambda: resident(node) < threshold * LIMIT, 30, "the memory is free")
    assert sample(node, "caxton_hibernated_agents") == 1
    assert sample(node, "caxton_executor_resident_instances") == AGENTS - ends(node, "ended")

    last = node.client.get(f"/api/v1/agents/holds{AGENTS - 1}").json()["resources"]
    assert last["resident"]  # the longest idle went first
    assert node.invoke("holds0", None).json()["content"] == 2  # another instance
    assert node.invoke("keeps", None).json()["content"] == 2  # goes on from where it was
    assert sample(node, "caxton_agent_wake_seconds_count") == 1

"""Homes that move on three whole nodes: drained, given back, planned; nothing lost, nothing twice, in order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from caxton.protocol.operations import Named
from support.forwarding_nodes import Nodes, until
from support.moving_homes import (
    balanced,
    drained,
    handled,
    load,
    recorder,
    send,
    settled,
    undrained,
)
from support.serf_agents import SERF

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    made = Nodes(tmp_path_factory.mktemp("authority"))
    try:
        yield made.start()
    except BaseException:
        print(made.logs())
        raise
    finally:
        made.close()


@pytest.fixture
def back(nodes: Nodes) -> Iterator[None]:
    """Whatever was drained works again."""
    yield
    for member in nodes:
        undrained(member)
    nodes.whole()


@pytest.mark.usefixtures("back")
def test_a_drained_node_gives_its_agents_away_under_load(nodes: Nodes) -> None:
    name = recorder(nodes, "n1", "drained")
    send(nodes["n1"], name, "zz")
    until(lambda: handled(nodes, name) == ["zz"], "it has state")
    with load(nodes, name, through=("n2", "n3")) as senders:
        until(lambda: min(len(one.sent) for one in senders) > 5, "the load is on")
        view = drained(nodes["n1"])
        taker = next(one["taker"] for one in view["moved"] if one["agent"] == name)
        until(lambda: nodes["n2"].call("agent.get", Named(name))["node"] == taker, "it lives elsewhere")
        before = [len(one.sent) for one in senders]
        until(lambda: all(len(s.sent) > n + 5 for s, n in zip(senders, before, strict=True)), "it goes on")
    assert [one.failed for one in senders] == [[]] * 4
    assert settled(nodes, name, senders)[0] == "zz"
    assert view["kept"] == []
    sums = balanced(nodes, name)
    assert sums["accepted"] - sums["forwarded"] == 1 + sum(len(one.sent) for one in senders)
    assert sums["done"] == 1 + sum(len(one.sent) for one in senders)
    assert nodes["n1"].call("ready")["reasons"] == ["draining"]

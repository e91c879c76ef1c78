"""Both ends of a hand-over are killed, at random moments, over and over: one home, nothing lost, nothing twice."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from caxton.protocol.errors import CaxtonError
from support.forwarding_nodes import Nodes, until
from support.moving_homes import PATIENCE, balanced, handled, home, load, recorder, send, settled
from support.router_client import RouterClient
from support.serf_agents import SERF

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")
ROUNDS = 6


@pytest.fixture(scope="module")
def nodes(request: pytest.FixtureRequest) -> Iterator[Nodes]:
    made, failed = Nodes(), request.session.testsfailed
    try:
        yield made.start()
    finally:
        if request.session.testsfailed > failed:
            print(made.logs())
        made.close()


class Mover(threading.Thread):
    """Drains a node and puts it back to work, for as long as the block runs; a router that is gone is asked again."""

    def __init__(self, nodes: Nodes, node: str) -> None:
        super().__init__()
        self.member = nodes[node]
        self.ending = threading.Event()
        self.drains = 0

    def run(self) -> None:
        while not self.ending.is_set():
            for op in ("node.drain", "node.undrain"):
                with suppress(CaxtonError, OSError, EOFError):
                    with RouterClient(self.member.socket, PATIENCE) as client:
                        client.call(op)
                    self.drains += op == "node.drain"
                self.ending.wait(3.0 if op == "node.undrain" else 0.5)


def test_routers_that_are_killed_while_a_home_moves(nodes: Nodes) -> None:
    seed = time.time_ns()
    chance = random.Random(seed)
    name = recorder(nodes, "killed", "n1", "n2")
    send(nodes["n3"], name, "zz")
    mover = Mover(nodes, "n1")
    with load(nodes, name, through=("n3",)) as senders:
        mover.start()
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.2, 3.0))
            for victim in chance.choice((["n1"], ["n2"], ["n1", "n2"])):
                with suppress(StopIteration, OSError):
                    nodes[victim].signal(signal.SIGKILL)
                    nodes[victim].forget()
        mover.ending.set()
        mover.join(2 * PATIENCE)
    for member in nodes:
        member.forget()
        until(lambda one=member: _undrained(one), "it works again", PATIENCE)
    nodes.whole()
    until(lambda: {home(member, name) for member in nodes} in ({"n1"}, {"n2"}, {"n3"}), f"one home; seed {seed}", 90)
    durable = [sender for sender in senders if not sender.invoke]
    assert [sender.failed for sender in durable] == [[]]
    found = settled(nodes, name, durable)
    assert len(found) == len(set(found)), f"seed {seed}"
    assert handled(nodes, name)[0] == "zz"
    balanced(nodes, name)


def _undrained(member: object) -> bool:
    try:
        member.call("node.undrain")  # type: ignore[attr-defined]
    except (OSError, EOFError, CaxtonError):
        return False
    return True

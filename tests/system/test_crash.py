"""`kill -9` of any process, or of all of them, at random moments under load: nothing lost, nothing twice.

Each agent counts the messages that took effect in a key. Clients know every id that they sent; what they
got no answer for they send again under the same id. At the end the counts must be the ids, exactly.
"""

from __future__ import annotations

import base64
import os
import random
import threading
import time
import uuid

import httpx
import pytest

from support.node import Node, running_node
from support.wat import TALLY

AGENTS = 6
BATCH = 25
KILLS = 4
ROUND_SECONDS = 1.2


class Client(threading.Thread):
    """Sends batches of messages with ids of its own until each is known to be accepted."""

    def __init__(self, node: Node, stop: threading.Event, seed: int) -> None:
        super().__init__(name=f"client-{seed}")
        self._url = str(node.client.base_url)
        self._halt = stop
        self._random = random.Random(seed)
        self.sent: dict[str, str] = {}
        """message id → agent, for everything that was accepted."""

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._halt.is_set():
                batch = {
                    str(
                        uuid.UUID(int=self._random.getrandbits(128), version=4)
                    ): f"tally{self._random.randrange(AGENTS)}"
                    for _ in range(BATCH)
                }
                self._send_until_accepted(client, batch)

    def _send_until_accepted(self, client: httpx.Client, batch: dict[str, str]) -> None:
        left = dict(batch)
        deadline = time.monotonic() + 60
        while left:
            assert time.monotonic() < deadline, f"not accepted for 60 s: {len(left)}"
            items = [
                {
                    "message_id": one,
                    "performative": "request",
                    "receiver": agent,
                    "content": None,
                    "conversation_id": agent,
                }
                for one, agent in left.items()
            ]
            try:
                answer = client.post("/api/v1/messages", json=items)
            except httpx.TransportError:
                time.sleep(0.05)  # the API is being replaced; the same ids go again
                continue
            if answer.status_code != 202:
                assert answer.status_code in (429, 503, 507), answer.text
                time.sleep(0.05)
                continue
            for item in answer.json()["items"]:
                if "error" in item:
                    assert item["error"]["code"] in ("MAILBOX_FULL", "NOT_READY"), item
                else:
                    self.sent[item["message_id"]] = left.pop(item["message_id"])


def prove(node: Node, clients: list[Client]) -> None:
    """Every accepted message took effect exactly once, and the ledger balances."""
    row = node.settled(90)
    assert row["imbalance"] == 0
    assert row["dead"] == 0
    sent = [agent for client in clients for agent in client.sent.values()]
    assert sent
    assert row["done"] == len(sent)
    for index in range(AGENTS):
        name = f"tally{index}"
        keys = node.client.get(f"/api/v1/agents/{name}/state").json()["items"]
        counted = sum(_number(key) for key in keys if key["key"] == "n")
        assert counted == sent.count(name), name


def _number(key: dict[str, str]) -> int:
    raw = base64.b64decode(key["value"]) if key["encoding"] == "base64" else key["value"].encode()
    return int.from_bytes(raw, "little")


def run_schedule(kinds: list[str], seed: int) -> None:
    """Load, `KILLS` kills drawn from `kinds` at random moments, and the proof."""
    print(f"seed {seed}")  # shown when the test fails
    draw = random.Random(seed)
    with running_node() as node:
        for index in range(AGENTS):
            node.deploy(f"tally{index}", TALLY, retry={"max_deliveries": 20, "delay_seconds": 0.05})
        stop = threading.Event()
        clients = [Client(node, stop, seed + index) for index in range(2)]
        for client in clients:
            client.start()
        try:
            for _ in range(KILLS):
                time.sleep(draw.uniform(0.2, ROUND_SECONDS))  # the random moment is the point
                kind = draw.choice(kinds)
                if kind == "everything":
                    node.kill_everything()
                    node.start()
                else:
                    node.kill(kind)
            node.wait_ready()
            time.sleep(0.5)  # some undisturbed load at the end
        finally:
            stop.set()
            for client in clients:
                client.join(90)
        prove(node, clients)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["worker", "router", "executor", "api", "everything"])
def test_kill_9_of(kind: str) -> None:
    run_schedule([kind], int(os.environ.get("CAXTON_TEST_SEED", random.randrange(1 << 30))))


@pytest.mark.timeout(240)
def test_kill_9_of_anything() -> None:
    run_schedule(
        ["worker", "router", "executor", "api"], int(os.environ.get("CAXTON_TEST_SEED", random.randrange(1 << 30)))
    )

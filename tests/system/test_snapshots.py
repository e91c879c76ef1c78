"""`kill -9` of any process of a whole node: agents go on with the memory of their last commit, exactly."""

from __future__ import annotations

import time
import uuid

import httpx
import pytest

from support.node import Node, running_node
from support.snapshot_agents import COUNTER

AGENTS = 3
BATCH = 10


def send(node: Node, ids: dict[str, str], deadline: float) -> None:
    """Sends until every message is known to be accepted; the same ids again where no answer came."""
    left = dict(ids)
    while left:
        assert time.monotonic() < deadline, f"not accepted: {len(left)}"
        body = [
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
            answer = node.client.post("/api/v1/messages", json=body)
        except httpx.TransportError:
            continue
        if answer.status_code == 202:
            for item in answer.json()["items"]:
                if "error" not in item:
                    del left[item["message_id"]]


def replies(node: Node, sent: dict[str, str], agent: str) -> list[int]:
    mine = [one for one, receiver in sent.items() if receiver == agent]
    return sorted(node.client.get(f"/api/v1/messages/{one}").json()["reply"]["content"] for one in mine)


@pytest.mark.timeout(240)
def test_no_kill_takes_memory_forward_or_back() -> None:
    with running_node() as node:
        for index in range(AGENTS):
            retry = {"max_deliveries": 20, "delay_seconds": 0.05}
            node.deploy(f"count{index}", COUNTER, state="snapshot", retry=retry)
        sent: dict[str, str] = {}
        for kind in ("worker", "router", "executor", "everything", "worker"):
            batch = {str(uuid.uuid4()): f"count{index}" for index in range(AGENTS) for _ in range(BATCH)}
            send(node, batch, time.monotonic() + 60)
            sent |= batch
            if kind == "everything":
                node.kill_everything()
                node.start()
            else:
                node.kill(kind)
        node.wait_ready()
        row = node.settled(90)
        assert (row["imbalance"], row["dead"], row["done"]) == (0, 0, len(sent))
        each = len(sent) // AGENTS
        for index in range(AGENTS):
            assert replies(node, sent, f"count{index}") == list(range(1, each + 1))
            shown = node.client.get(f"/api/v1/agents/count{index}").json()["resources"]
            assert shown["snapshot"]["memory_bytes"] == 131_072
            assert shown["incarnation"] == 1

"""What protocols and topics cost: checked conversations beside unchecked ones, and publications to many.

Over HTTP, batches, `synchronous=FULL`; every request is answered by its agent.
"""

from __future__ import annotations

import itertools
import json
import threading

import httpx

from bench.durable import BATCH, PRODUCERS, done_per_second
from bench.measure import Figure, Table, alternate, paired_ratio
from support.node import Node, running_node, until
from support.wat import SILENT

AGENTS = 16
SUBSCRIBERS = (10, 100)
SECONDS = 5.0
ROUNDS = 3
WARM = 500
ANSWERS = """
(module
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 1024) "{\\"seen\\":true}")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32) (call $reply (i32.const 1024) (i32.const 13))))
"""
"""Answers `inform`, which ends a `fipa-request`."""


class Load:
    """Producers that post batches of these items until the end of the block; a full queue is waited for."""

    def __init__(self, node: Node, receivers: list[str], extra: dict[str, str]) -> None:
        self._url = node.url
        names = itertools.islice(itertools.cycle(receivers), BATCH)
        items = [{"performative": "request", "receiver": name, "content": None, **extra} for name in names]
        self._body = json.dumps(items).encode()
        self._stop = threading.Event()
        self._producers = [threading.Thread(target=self._produce) for _ in range(PRODUCERS)]

    def __enter__(self) -> Load:
        for producer in self._producers:
            producer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for producer in self._producers:
            producer.join()

    def _produce(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._stop.is_set():
                answer = client.post(
                    "/api/v1/messages", content=self._body, headers={"Content-Type": "application/json"}
                )
                if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    self._stop.wait(0.05)


def rate(node: Node, receivers: list[str], extra: dict[str, str]) -> float:
    """Messages executed and committed per second under this load."""
    before = node.ledger()["node"]["done"]
    with Load(node, receivers, extra):
        until(lambda: node.ledger()["node"]["done"] > before + WARM, 60, "the first messages done")
        found = done_per_second(node, SECONDS)
    node.settled(120)
    return found


def conversations() -> list[Figure]:
    """The same messages with and without a protocol, rounds alternating."""
    with running_node() as node:
        names = [f"answers{index}" for index in range(AGENTS)]
        for name in names:
            node.deploy(name, ANSWERS)
        checked, free = alternate(
            ROUNDS,
            lambda: rate(node, names, {"protocol": "fipa-request"}),
            lambda: rate(node, names, {}),
        )
    return [
        Figure("requests answered, no protocol", sorted(free)[ROUNDS // 2], "1/s"),
        Figure("the same as fipa-request, checked", sorted(checked)[ROUNDS // 2], "1/s"),
        Figure("checked / not checked", paired_ratio(checked, free), "ratio"),
    ]


def topics(subscribers: int) -> Figure:
    """Deliveries per second of one topic with this many subscribers."""
    with running_node() as node:
        for index in range(subscribers):
            node.deploy(f"reader{index}", SILENT)
            answer = node.client.post("/api/v1/topics/news/subscribe", json={"agent": f"reader{index}"})
            assert answer.is_success, answer.text
        found = rate(node, ["topic:news"], {"performative": "inform"})
    return Figure(f"deliveries of one topic, {subscribers} subscribers", found, "1/s")


def run() -> list[Table]:
    """One table."""
    figures = conversations() + [topics(count) for count in SUBSCRIBERS]
    return [Table("Conversations and topics, batches of 100, synchronous=FULL", figures)]

"""How much is deployed and how much waits, against throughput: flat, or the reason why not.

Durable messages per second through a node with 10 to 10,000 agents, and through one in which 10 to 100,000 messages
of other agents wait. The curves are drawn into results/depth.svg.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.durable import PRODUCERS, done_per_second, produce
from bench.measure import RESULTS, Figure, Table
from bench.peers.environment import peers_python
from support.node import Node, running_node, until
from support.wat import SILENT

PLOT = Path(__file__).parent / "peers" / "plot.py"
AGENTS = (10, 1_000, 10_000)
WAITING = (10, 1_000, 100_000)
BUSY = 10
"""Agents that work while others wait."""
SECONDS = 6.0
ITEMS = 1_000
SLEEPER = """
(module
  (import "caxton" "sleep_micros" (func $sleep (param i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32) (call $sleep (i64.const 3600000000))))
"""
"""Holds its mailbox up: what comes after the first message waits."""
RUNTIME = {"max_agents": 20_000, "execution_timeout": "3600s", "executor_workers": 2}
MESSAGING = {"mailbox_size": 200_000, "queue_size": 400_000}


@contextmanager
def under_load(node: Node, names: list[str]) -> Iterator[None]:
    """Producers post batches to these agents meanwhile."""
    stop = threading.Event()
    producers = [threading.Thread(target=produce, args=(node, names, stop)) for _ in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    try:
        yield
    finally:
        stop.set()
        for producer in producers:
            producer.join()


def throughput(node: Node, names: list[str]) -> float:
    """Messages to these agents that were executed and committed, per second."""
    with under_load(node, names):
        until(lambda: node.ledger()["node"]["done"] > ITEMS, 60, "the first messages done")
        return done_per_second(node, SECONDS)


def with_agents(count: int) -> tuple[float, float]:
    """Throughput over all of `count` agents, and seconds to a ready node after a restart with them."""
    with running_node(runtime=RUNTIME, messaging=MESSAGING) as node:
        names = [f"sink{index}" for index in range(count)]
        for name in names:
            node.deploy(name, SILENT)
        rate = throughput(node, names)
        node.settled(120)
        node.stop()
        started = time.perf_counter()
        node.start()
        return rate, time.perf_counter() - started


def with_waiting(count: int) -> float:
    """Throughput of a few agents while `count` messages of another one wait."""
    with running_node(runtime=RUNTIME, messaging=MESSAGING) as node:
        node.deploy("sleeper", SLEEPER)
        names = [f"sink{index}" for index in range(BUSY)]
        for name in names:
            node.deploy(name, SILENT)
        fill(node.client, count)
        rate = throughput(node, names)
        node.kill_everything()
        return rate


def fill(client: httpx.Client, count: int) -> None:
    """Gives the sleeper `count` messages, each of a conversation of its own."""
    for first in range(0, count, ITEMS):
        items = [{"performative": "inform", "receiver": "sleeper", "content": None}] * min(ITEMS, count - first)
        answer = client.post("/api/v1/messages", json=items)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        assert all("error" not in item for item in answer.json()["items"])


def draw(curves: dict[str, dict[int, float]]) -> str:
    """Draws the curves; the file."""
    file = str(RESULTS / "depth.svg")
    RESULTS.mkdir(exist_ok=True)
    plot = {"file": file, "x": "agents deployed, messages that wait", "y": "durable messages per second"}
    subprocess.run(
        [str(peers_python()), str(PLOT)], input=json.dumps({**plot, "curves": curves}), text=True, check=True
    )
    return file


def run() -> list[Table]:
    """One table, and a plot."""
    agents = {count: with_agents(count) for count in AGENTS}
    waiting = {count: with_waiting(count) for count in WAITING}
    figures = [Figure(f"{count:,} agents", rate, "1/s", "flat") for count, (rate, _) in agents.items()]
    figures += [Figure(f"{count:,} messages wait", rate, "1/s", "flat") for count, rate in waiting.items()]
    figures += [Figure(f"ready after a restart, {count:,} agents", boot, "s") for count, (_, boot) in agents.items()]
    curves = {"over all agents": {count: rate for count, (rate, _) in agents.items()}, "while others wait": waiting}
    return [Table("Durable throughput against what is there", figures, [draw(curves)])]

"""Durable messages: accepted + executed + committed per second, `synchronous=FULL`.

Batches over HTTP to 64 agents and to one; agents of 64 pairs that answer each other; beside them bare
group-committed inserts of the same rows, and SPADE agents that pass the same messages.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import httpx

from bench.measure import Figure, Table
from bench.peers.environment import peers_python
from support.node import Node, running_node
from support.wat import SILENT

AGENTS = 64
BATCH = 100
PRODUCERS = 3
SECONDS = 8.0
CONTENT = "x" * 512
BALLS = 4
SPADE = Path(__file__).parent / "peers" / "spade_pairs.py"

PLAYER = """
(module
  (import "caxton" "send_message" (func $send (param i32 i32) (result i32)))
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 20)
  (data (i32.const 0) "{message}")
  (data (i32.const 1024) "{content}")
  (global $serves (mut i32) (i32.const {balls}))
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32)
    (if (i32.gt_s (global.get $serves) (i32.const 0)) (then
      (global.set $serves (i32.sub (global.get $serves) (i32.const 1)))
      (return (call $send (i32.const 0) (i32.const {message_length})))))
    (call $reply (i32.const 1024) (i32.const {content_length}))))
"""
"""Serves `balls` messages to its partner when it is told to, and answers every other message."""


def player(partner: str, balls: int) -> str:
    """The WAT of one side of a pair."""

    def escaped(text: str) -> str:
        return text.replace('"', '\\"')

    message = json.dumps({"performative": "request", "receiver": partner, "content": CONTENT[:256]})
    content = json.dumps(CONTENT[:256])
    replacements = {"message": escaped(message), "content": escaped(content), "balls": balls}
    replacements |= {"message_length": len(message), "content_length": len(content)}
    wat = PLAYER
    for name, value in replacements.items():
        wat = wat.replace("{" + name + "}", str(value))
    return wat


def done_per_second(node: Node, seconds: float = SECONDS) -> float:
    """Messages that were executed and committed, per second, over a window."""
    first, started = node.ledger()["node"]["done"], time.perf_counter()
    time.sleep(seconds)
    return float((node.ledger()["node"]["done"] - first) / (time.perf_counter() - started))


def produce(node: Node, names: list[str], stop: threading.Event) -> None:
    """Posts batches until told to stop; a full mailbox is waited for."""
    items = [
        {"performative": "inform", "receiver": names[index % len(names)], "content": CONTENT}
        for index in range(BATCH)
    ]
    body = json.dumps(items).encode()
    with httpx.Client(base_url=node.client.base_url, timeout=60) as client:
        while not stop.is_set():
            answer = client.post("/api/v1/messages", content=body, headers={"Content-Type": "application/json"})
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                stop.wait(0.05)


def batches(agents: int) -> tuple[float, int]:
    """Durable messages per second to this many agents, and the ledger's imbalance at the end."""
    with running_node() as node:
        names = [f"sink{index}" for index in range(agents)]
        for name in names:
            node.deploy(name, SILENT)
        stop = threading.Event()
        producers = [threading.Thread(target=produce, args=(node, names, stop)) for _ in range(PRODUCERS)]
        for producer in producers:
            producer.start()
        time.sleep(1.0)
        rate = done_per_second(node)
        stop.set()
        for producer in producers:
            producer.join()
        return rate, node.settled(120)["imbalance"]


def pairs() -> float:
    """Messages per second between the agents of 64 pairs."""
    with running_node() as node:
        for index in range(AGENTS):
            node.deploy(f"a{index}", player(f"b{index}", BALLS))
            node.deploy(f"b{index}", player(f"a{index}", 0))
        for index in range(AGENTS):
            serve = [{"performative": "inform", "receiver": f"a{index}", "content": None}] * BALLS
            node.client.post("/api/v1/messages", json=serve)
        time.sleep(1.0)
        rate = done_per_second(node)
        node.kill_everything()
        return rate


def bare_inserts(seconds: float = 4.0) -> float:
    """Rows of the same size per second: batches of 100 in one transaction each, WAL, synchronous=FULL."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE m(id TEXT PRIMARY KEY, agent TEXT, conversation TEXT, at REAL, body BLOB)")
        rows, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO m VALUES(?,?,?,?,?)",
                [
                    (os.urandom(16).hex(), "sink", os.urandom(8).hex(), time.time(), CONTENT.encode())
                    for _ in range(BATCH)
                ],
            )
            database.execute("COMMIT")
            rows += BATCH
        return rows / (time.perf_counter() - started)


def spade(mode: str) -> float:
    """Messages per second between 64 pairs of SPADE agents."""
    line = [str(peers_python()), str(SPADE), str(AGENTS), "5", mode]
    with tempfile.TemporaryFile("w+") as output:
        subprocess.run(
            line,
            stdout=output,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            timeout=90,
            check=False,
        )
        output.seek(0)
        return float(json.loads(output.read().splitlines()[-1])["messages_per_second"])


def run() -> list[Table]:
    """One table."""
    bare = bare_inserts()
    many, imbalance = batches(AGENTS)
    one, imbalance_one = batches(1)
    between = pairs()
    xmpp, local = spade("xmpp"), spade("local")
    figures = [
        Figure("bare group-committed inserts", bare, "1/s"),
        Figure(f"accepted + executed + committed, {AGENTS} agents", many, "1/s", "≥ 8,000"),
        Figure("the same / bare inserts", many / bare, "ratio"),
        Figure("accepted + executed + committed, one agent", one, "1/s", "≥ 2,000"),
        Figure(f"agent to agent, {AGENTS} pairs", between, "1/s", "≥ 15,000"),
        Figure(f"SPADE, {AGENTS} pairs, two processes by XMPP", xmpp, "1/s"),
        Figure("Caxton / SPADE by XMPP", between / xmpp, "ratio", "≥ 5"),
        Figure(f"SPADE, {AGENTS} pairs, in memory of one process", local, "1/s"),
        Figure("Caxton / SPADE in memory", between / local, "ratio"),
        Figure("ledger imbalance", imbalance + imbalance_one, "", "0"),
    ]
    return [Table("Durable messages, batches of 100, synchronous=FULL", figures, ["SPADE keeps nothing on disk."])]

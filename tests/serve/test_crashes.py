from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.served_node import ECHO, ServedNode, until

KILLS = 10
MESSAGE = '{"performative":"inform","receiver":"sink","content":1}'
SINK = ECHO.replace("(drop (call $reply (local.get $ptr) (local.get $len)))", "")
FORWARD = f"""
(module
  (import "caxton" "send_message" (func $send (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 64) "{MESSAGE.replace('"', chr(92) + "22")}")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "handle_message") (param i32 i32) (result i32)
    (drop (call $send (i32.const 64) (i32.const {len(MESSAGE)}))) (i32.const 0)))
"""
"""Sends one message to `sink` for every message that it handles: an effect that can be counted."""


@contextmanager
def load(node: ServedNode, accepted: list[str]) -> Iterator[None]:
    """Sends batches for as long as the context is open; keeps the ids that the node answered as accepted."""
    enough = threading.Event()
    body = json.dumps([{"performative": "inform", "receiver": "forward", "content": 1}] * 10).encode()
    url = f"{node.url}/api/v1/messages"

    def send() -> None:
        while not enough.wait(0.02):
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    accepted.extend(
                        item["message_id"] for item in json.load(response)["items"] if "error" not in item
                    )
            except OSError:
                continue

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        enough.set()
        sender.join()


def kill_one(node: ServedNode, choice: random.Random) -> None:
    pid = choice.choice(sorted(node.descendants()))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself between the two lines


def settled(node: ServedNode) -> dict[str, dict[str, int]] | None:
    try:
        with urllib.request.urlopen(f"{node.url}/api/v1/ledger", timeout=10) as response:
            ledger = json.load(response)
    except OSError:
        return None
    busy = ledger["node"]["pending"] + ledger["node"]["in_flight"]
    return None if busy else {row["name"]: row for row in [*ledger["agents"], {**ledger["node"], "name": "(node)"}]}


@pytest.mark.timeout(300)
def test_killing_any_process_at_any_moment_loses_nothing_and_doubles_nothing(make_node) -> None:
    seed = int(os.environ.get("CRASH_SEED", time.time_ns() % 1_000_000))
    print(f"CRASH_SEED={seed}")
    choice = random.Random(seed)
    node = make_node().start()
    for name, text in (("sink", SINK), ("forward", FORWARD)):
        assert node.cli("agent", "deploy", node.write(f"{name}.wat", text)).returncode == 0
    accepted: list[str] = []
    with load(node, accepted):
        for number in range(KILLS):
            time.sleep(choice.uniform(0.2, 2.0))  # the moment is the point of the test
            if number % 5 == 4:
                node.stop(signal.SIGKILL)
                node.start()
            else:
                kill_one(node, choice)
        known = len(accepted)
        until(lambda: len(accepted) > known, "the node accepts again", 60)
    rows = until(lambda: settled(node), "everything is handled", 90)
    assert all(row["imbalance"] == row["dead"] == row["expired"] == 0 for row in rows.values())
    assert rows["forward"]["done"] >= len(accepted) > 0
    assert rows["forward"]["done"] == rows["sink"]["accepted"] == rows["sink"]["done"]
    for message_id in choice.sample(accepted, min(100, len(accepted))):
        with urllib.request.urlopen(f"{node.url}/api/v1/messages/{message_id}", timeout=10) as response:
            assert json.load(response)["state"] == "done"

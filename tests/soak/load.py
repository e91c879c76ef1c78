"""Rounds of mixed work on a real node, and a look at its processes after each.

Owns the node for the length of a soak. Must never judge.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from soak.agents import DREAM, DREAMERS, DROWSY, INCARNATION, MEMBERS, SLEEPER
from soak.judge import Reading
from support.node import Node, running_node, until
from support.sight import require_sight
from support.wat import ECHO

WATCHED: Final = ("router", "executor", "api", "worker")
SETTLE_SECONDS: Final = 120.0
KILL_EVERY: Final = 4
PAGE_CACHE_BYTES: Final = 64 * 1024 * 1024
"""So much of the database the router keeps in memory (`store/connect.py`): that part grows, and is meant to."""


def soak(executions: int, tell: Callable[[str], None]) -> list[Reading]:
    """Rounds until the node has made so many executions; a reading after each."""
    with running_node(
        runtime={"executor_workers": 2, "agent_idle_timeout": "1s"},
        messaging={"retry_delay": "0s", "low_disk_bytes": "1MB"},
    ) as node:
        for member in (*MEMBERS, SLEEPER):
            node.deploy(member.name, member.wat, **member.config)
        for number in range(DROWSY):
            node.deploy(f"drowsy-{number}", INCARNATION)
        for number in range(DREAMERS):
            node.deploy(f"dreamer-{number}", DREAM, state="snapshot")
        readings: list[Reading] = []
        while not readings or readings[-1].units < executions:
            _round(node, len(readings))
            readings.append(_look(node))
            tell(f"{readings[-1].units} of {executions} executions")
        _check_ends(node)
        return readings


def _round(node: Node, number: int) -> None:
    """Messages that are handled, trap, ask, sleep, run out of time; cancels, kills, a deployment and its removal."""
    lines = [
        json.dumps({"performative": "request", "receiver": member.name, "content": number})
        for member in MEMBERS
        for _ in range(member.messages)
    ]
    lines += [json.dumps({"performative": "request", "receiver": SLEEPER.name, "content": n}) for n in range(5)]
    answer = node.client.post(
        "/api/v1/messages", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 202, answer.text
    items = answer.json()["items"]
    assert all(item.get("state") == "pending" for item in items), items
    if number % KILL_EVERY == 2:
        os.kill(node.pids("worker")[-1], signal.SIGKILL)  # never the oldest: that one is watched
    node.invoke(SLEEPER.name, None, timeout_seconds=0.02)  # its caller gives up, so it is cancelled
    assert node.invoke(f"drowsy-{number % DROWSY}", None).status_code in (200, 502)  # 502: its worker was killed
    _dream(node, f"dreamer-{number % DREAMERS}", number // DREAMERS + 1)
    node.deploy(f"guest-{number}", ECHO)
    assert node.client.delete(f"/api/v1/agents/guest-{number}?purge=true").status_code == 200
    for item in items[-5:]:
        node.client.delete(f"/api/v1/messages/{item['message_id']}")
    node.settled(SETTLE_SECONDS)


def _dream(node: Node, name: str, nth: int) -> None:
    """The n-th durable message to an agent that hibernates between two: its memory knows of all those before."""
    body = {"content": None, "delivery": "durable"}
    answer = node.client.post(f"/api/v1/agents/{name}/invoke", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["content"] == nth, (name, nth, answer.text)


def _look(node: Node) -> Reading:
    row = node.ledger()["node"]
    pids = {kind: _oldest(node, kind) for kind in WATCHED}
    for pid in pids.values():
        require_sight(pid)
    sizes = {kind: anonymous_bytes(pid) for kind, pid in pids.items()}
    sizes["router"] -= min((node.home / "data" / "local.db").stat().st_size, PAGE_CACHE_BYTES)
    return Reading(
        row["done"] + row["dead"] + row["cancelled"],
        pids,
        sizes,
        {kind: len(os.listdir(f"/proc/{pid}/fd")) for kind, pid in pids.items()},
        sum(abs(one["imbalance"]) for one in [row, *node.ledger()["agents"]]),
    )


def _oldest(node: Node, kind: str) -> int:
    """Its first process; of the API the worker, which does the work."""
    if kind == "api":
        return node.gunicorn("api")[1][0]
    return int(until(lambda: node.pids(kind), 30, f"a {kind}")[0])


def _check_ends(node: Node) -> None:
    """Every way was gone: what must have ended how, did; and nothing that must not."""
    rows: dict[str, dict[str, Any]] = {row["name"]: row for row in node.ledger()["agents"]}
    for name in ("echo-0", "fresh-0", "cat", "nap"):
        assert rows[name]["dead"] == 0 < rows[name]["done"], rows[name]
    assert rows["trap"]["done"] == 0 < rows["trap"]["dead"]
    assert rows["spin"]["done"] == 0 < rows["spin"]["dead"]
    assert rows["sleeper"]["cancelled"] > 0
    answer = until(lambda: node.invoke("drowsy-0", None).json().get("content"), 30, "an answer")
    assert answer > 1, "its idle instances were not ended"


def anonymous_bytes(pid: int) -> int:
    """Memory of a process's own: pages of files, as of a database that it has mapped, are the kernel's to take."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024

"""HTTP invoke of an echo reactor against a bare Flask "hello" and an Extism plugin in the same Flask app.

Same gunicorn settings, same number of API workers, same load on both sides, rounds alternating.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx

from bench.load import Load, drive, require_wrk
from bench.measure import Figure, Table, paired_ratio
from bench.peers.environment import peers_path
from support.node import APP, Node, make_node, running_node, until
from support.wat import ECHO, LOOP

ROUNDS = 5
BODY = {"content": "x" * 1024}
LOOPERS = 8


@contextlib.contextmanager
def peer(workers: int) -> Iterator[str]:
    """The Flask peer on a port of its own; its base URL."""
    home = Path(tempfile.mkdtemp(prefix="cx", dir="/tmp"))
    shape = make_node(home, networking={"workers": workers})
    shape.config_file.write_text(shape.toml())
    environment = {**os.environ, "PYTHONPATH": f"{APP}:{APP.parent / 'tests'}", "BENCH_PEERS": str(peers_path())}
    process = subprocess.Popen([sys.executable, "-m", "bench.peers.hello", str(shape.config_file)], env=environment)
    url = f"http://127.0.0.1:{shape.port}"

    def up() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url + "/hello").status_code == 200
        return False

    try:
        until(up, 30, "the Flask peer answers")
        yield url
    finally:
        process.terminate()
        process.wait()
        shape.client.close()
        shutil.rmtree(home, ignore_errors=True)


def table(workers: int) -> Table:
    """Rates and ratios with this many API workers on both sides."""
    ours: list[Load] = []
    hello: list[Load] = []
    extism: list[Load] = []
    with running_node(networking={"workers": workers}) as node, peer(workers) as url:
        node.deploy("echo", ECHO)
        invoke = f"http://127.0.0.1:{node.port}/api/v1/agents/echo/invoke"
        for _ in range(ROUNDS):
            hello.append(drive(url + "/hello"))
            ours.append(drive(invoke, body=BODY))
            extism.append(drive(url + "/extism", body=BODY))
        slow_ours, slow_extism = with_a_slow_agent(node, invoke, url)
    rates = {name: [one.per_second for one in loads] for name, loads in {"c": ours, "h": hello, "e": extism}.items()}
    bad = sum(one.bad for one in [*ours, *hello, *extism])
    figures = [
        Figure("Flask hello", statistics.median(rates["h"]), "1/s"),
        Figure("Extism plugin in Flask, echo 1 KiB", statistics.median(rates["e"]), "1/s"),
        Figure("Caxton invoke, echo 1 KiB", statistics.median(rates["c"]), "1/s"),
        Figure("Caxton invoke p50", statistics.median(one.p50_ms for one in ours), "ms"),
        Figure("Caxton invoke p99", statistics.median(one.p99_ms for one in ours), "ms"),
        Figure("Caxton / Flask hello", paired_ratio(rates["c"], rates["h"]), "ratio", "≥ 0.6"),
        Figure("Caxton / Extism", paired_ratio(rates["c"], rates["e"]), "ratio", "≥ 0.9"),
        Figure(
            "Caxton / Extism beside a slow agent",
            slow_ours.per_second / max(slow_extism.per_second, 0.1),
            "ratio",
            "> 1",
        ),
        Figure("answers that were errors", bad, "", "0"),
    ]
    return Table(f"HTTP invoke, 64 connections, {workers} API worker(s) on both sides", figures)


def with_a_slow_agent(node: Node, invoke: str, url: str) -> tuple[Load, Load]:
    """The echo's rate while one client calls something slow over and over, on either side."""
    node.deploy("slow", LOOP, limits={"cpu_time_seconds": 0.1})
    slow = f"http://127.0.0.1:{node.port}/api/v1/agents/slow/invoke"
    with pestering(slow):
        ours = drive(invoke, body=BODY)
    with pestering(url + "/extism-slow"):
        theirs = drive(url + "/extism", body=BODY)
    return ours, theirs


@contextlib.contextmanager
def pestering(url: str) -> Iterator[None]:
    """One client that posts to `url` again and again, whatever comes back."""
    stop = threading.Event()

    def pester() -> None:
        with httpx.Client(timeout=60) as client:
            while not stop.is_set():
                client.post(url, json={"content": None})

    thread = threading.Thread(target=pester)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def isolation() -> Table:
    """p99 of a good agent while others loop for ever. One executor worker, so that the API has a core."""
    with running_node(runtime={"executor_workers": 1, "execution_timeout": "600s"}) as node:
        node.deploy("good", ECHO)
        invoke = f"http://127.0.0.1:{node.port}/api/v1/agents/good/invoke"
        before = [drive(invoke, body=BODY, connections=8) for _ in range(3)]
        for index in range(LOOPERS):
            node.deploy(f"loop{index}", LOOP)
            node.client.post(
                "/api/v1/messages", json={"receiver": f"loop{index}", "performative": "request", "content": 1}
            )
        beside = [drive(invoke, body=BODY, connections=8) for _ in range(3)]
        node.kill_everything()
    alone, mixed = (statistics.median(one.p99_ms for one in loads) for loads in (before, beside))
    figures = [
        Figure("p99 alone", alone, "ms"),
        Figure(f"p99 beside {LOOPERS} agents that loop", mixed, "ms"),
        Figure("beside / alone", mixed / alone, "ratio", "≤ 3"),
    ]
    return Table("A good agent beside bad ones, over HTTP, 8 connections", figures)


def run() -> list[Table]:
    """Two API workers, one API worker, and isolation."""
    require_wrk()
    return [table(2), table(1), isolation()]

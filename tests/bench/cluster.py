"""What being three costs: an invoke that is forwarded, beside one that is not and beside NATS; how soon others know.

All nodes, and the three NATS servers, run at the same time on one machine and get the load in turn.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from bench.load import Load, drive, require_wrk
from bench.measure import Figure, Table, paired_ratio
from bench.peers.environment import peers_python
from caxton.cluster.placement import first
from support.operated_cluster import OperatedCluster, operated
from support.served_node import ServedNode, free_ports, until
from support.wat import ECHO

ROUNDS: Final = 5
SECONDS: Final = 3
DEPLOYMENTS: Final = 10
KILLS: Final = 3
BODY: Final = {"content": "x" * 1024}
NAMES: Final = ("n1", "n2", "n3")
NATS: Final = Path(__file__).parent / "peers" / "nats_pairs.py"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def home_of(node: str) -> str:
    """A name that lives there."""
    return next(f"echo-{number}" for number in range(1_000) if first(f"echo-{number}", NAMES) == node)


def _echo(name: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "wat": ECHO, **config}


class Caller:
    """HTTPS to the nodes of a cluster, verified."""

    def __init__(self, cluster: OperatedCluster) -> None:
        self._cluster = cluster
        self._context = ssl.create_default_context(cafile=cluster["n1"].environ["CAXTON_CA_FILE"])

    def to(self, node: str, timeout: float = 60.0) -> httpx.Client:
        """A client of one node."""
        return httpx.Client(base_url=self._cluster[node].url, verify=self._context, timeout=timeout)

    def deploy(self, node: str, name: str, **config: Any) -> None:
        """Through that node; returns when it is answered."""
        with self.to(node) as client:
            answer = client.post("/api/v1/agents", json=_echo(name, **config))
            assert answer.status_code == 201, answer.text

    def answered(self, node: str, name: str, timeout: float = 60.0) -> None:
        """Returns when the agent has answered through that node."""
        until(lambda: self.answers(node, name, timeout), f"{name} answers through {node}", 60)

    def answers(self, node: str, name: str, timeout: float = 60.0) -> bool:
        """Whether the agent answers through that node."""
        with self.to(node, timeout) as client:
            try:
                return client.post(f"/api/v1/agents/{name}/invoke", json=BODY).status_code == 200
            except httpx.TransportError:
                return False


def run() -> list[Table]:
    """Two tables."""
    require_wrk()
    with ExitStack() as stack:
        alone = stack.enter_context(_alone())
        cluster = stack.enter_context(operated(3))
        nats = stack.enter_context(_nats())
        caller = Caller(cluster)
        calls = _calls(alone, cluster, caller, nats)
        times = [_deployed(caller), _elsewhere(cluster, caller)]
    return [
        Table("An invoke over HTTPS of 1 KiB, three nodes on one machine", calls),
        Table("How soon the others know", times),
    ]


def _calls(alone: ServedNode, cluster: OperatedCluster, caller: Caller, nats: list[str]) -> list[Figure]:
    name = home_of("n1")
    _deploy_alone(alone, name)
    caller.deploy("n1", name)
    for node in NAMES:
        caller.answered(node, name)
    urls = {"a node alone": alone.url, "its home": cluster["n1"].url, "another node": cluster["n2"].url}
    single: dict[str, list[Load]] = {side: [] for side in urls}
    many: dict[str, list[Load]] = {side: [] for side in urls}
    cpu: dict[str, list[float]] = {side: [] for side in urls}
    peer: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        for side, url in urls.items():
            target = f"{url}/api/v1/agents/{name}/invoke"
            single[side].append(drive(target, body=BODY, connections=1, seconds=SECONDS))
            before = _cpu(alone, cluster)
            many[side].append(drive(target, body=BODY, seconds=SECONDS))
            cpu[side].append((_cpu(alone, cluster) - before) / max(1, many[side][-1].requests) * 1e6)
        peer.append(_ask_nats(nats))
    return [*_ours(single, many, cpu), *_beside(single["another node"], many["another node"], peer)]


def _ours(single: dict[str, list[Load]], many: dict[str, list[Load]], cpu: dict[str, list[float]]) -> list[Figure]:
    median = statistics.median
    figures = [
        Figure(f"{side}: p50, 1 at a time", median(one.p50_ms for one in loads), "ms")
        for side, loads in single.items()
    ]
    added = median(
        far.p50_ms - near.p50_ms for far, near in zip(single["another node"], single["its home"], strict=True)
    )
    figures.append(Figure("forwarding adds at p50", added, "ms", "≤ 3"))
    figures += [
        Figure(f"{side}: 64 at a time", median(one.per_second for one in loads), "1/s")
        for side, loads in many.items()
    ]
    figures += [Figure(f"{side}: CPU for each, all nodes", median(micros), "µs") for side, micros in cpu.items()]
    bad = sum(one.bad for loads in (*single.values(), *many.values()) for one in loads)
    figures.append(Figure("answers that were errors", bad, "", "0"))
    return figures


def _beside(single: list[Load], many: list[Load], peer: list[dict[str, float]]) -> list[Figure]:
    return [
        Figure("NATS, another server: p50, 1 at a time", statistics.median(one["p50_ms"] for one in peer), "ms"),
        Figure("NATS, another server: 64 at a time", statistics.median(one["per_second"] for one in peer), "1/s"),
        Figure(
            "p50 / NATS's", paired_ratio([one.p50_ms for one in single], [one["p50_ms"] for one in peer]), "", "≤ 2"
        ),
        Figure(
            "rate / NATS's", paired_ratio([one.per_second for one in many], [one["per_second"] for one in peer]), ""
        ),
    ]


def _deployed(caller: Caller) -> Figure:
    """From the answer to a deployment until every node has answered for the agent."""
    took = []
    for number in range(DEPLOYMENTS):
        name = f"fresh-{number}"
        caller.deploy(NAMES[number % 3], name)
        begun = time.perf_counter()
        for node in NAMES:
            caller.answered(node, name)
        took.append(time.perf_counter() - begun)
    return Figure("deployed → called through every node, the slowest of ten", max(took), "s", "≤ 2")


def _elsewhere(cluster: OperatedCluster, caller: Caller) -> Figure:
    """From SIGKILL of everything of the node that answers until another one answers."""
    took = []
    for number in range(KILLS):
        name = next(f"any-{number}-{k}" for k in range(1_000) if first(f"any-{number}-{k}", NAMES) == "n3")
        caller.deploy("n1", name, instance="per_message", grants={"kv": False})
        caller.answered("n1", name)
        cluster.signal("n3", signal.SIGKILL)
        begun = time.perf_counter()
        caller.answered("n1", name, 2.0)
        took.append(time.perf_counter() - begun)
        cluster["n3"].launch()
        until(lambda: cluster.is_whole("n1"), "n1 sees a whole cluster", 90)
    return Figure("killed → answered elsewhere, the slowest of three", max(took), "s", "≤ 10")


@contextmanager
def _alone() -> Iterator[ServedNode]:
    """A node without a cluster, with TLS as the others have it."""
    made = OperatedCluster(1, CAXTON_COORDINATION__CLUSTER_ENABLED="false")
    node = made["n1"]
    del node.environ["CAXTON_COORDINATION__CLUSTER_ENABLED"]
    try:
        yield node.start()
    finally:
        node.close()


def _deploy_alone(node: ServedNode, name: str) -> None:
    context = ssl.create_default_context(cafile=node.environ["CAXTON_CA_FILE"])
    answer = httpx.post(f"{node.url}/api/v1/agents", json=_echo(name), verify=context, timeout=60)
    assert answer.status_code == 201, answer.text


def _cpu(alone: ServedNode, cluster: OperatedCluster) -> float:
    """CPU seconds of everything of all nodes so far."""
    used = 0
    for node in (alone, *cluster.nodes.values()):
        for pid in node.descendants():
            stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            used += int(stat[11]) + int(stat[12])
    return used / _TICKS


@contextmanager
def _nats() -> Iterator[list[str]]:
    """Three NATS servers, one cluster; their URLs."""
    if shutil.which("nats-server", path="/usr/sbin:/usr/bin") is None:
        if os.getuid() != 0:
            raise SystemExit("nats-server is missing; as root: apt install nats-server")
        subprocess.run(["apt-get", "install", "-y", "-qq", "nats-server"], check=True, stdout=subprocess.DEVNULL)
    clients, routes = free_ports(3), free_ports(3)
    seed = f"nats://127.0.0.1:{routes[0]}"
    lines = [
        ["nats-server", "-a", "127.0.0.1", "-p", str(client), "--cluster_name", "bench",
         "--cluster", f"nats://127.0.0.1:{route}", "--routes", seed]
        for client, route in zip(clients, routes, strict=True)
    ]  # fmt: skip
    path = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    servers = [subprocess.Popen(line, stderr=subprocess.DEVNULL, env=path) for line in lines]
    try:
        yield [f"nats://127.0.0.1:{client}" for client in clients]
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def _ask_nats(urls: list[str]) -> dict[str, float]:
    line = [str(peers_python()), str(NATS), urls[0], urls[1], str(SECONDS)]
    found: dict[str, float] = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    return found

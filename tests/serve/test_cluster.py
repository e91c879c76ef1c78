"""`caxton serve` of a node that is one of several: serf is one of its children, and readiness waits for it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import httpx
import pytest

from support.authority import Authority
from support.serf_agents import SERF, random_key
from support.served_node import free_ports, until

pytestmark = pytest.mark.skipif(SERF is None, reason="serf is not installed")


def test_serf_is_a_child_that_comes_back_and_readiness_waits_for_it(make_node, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("n1", "DNS:n1", "DNS:localhost", "IP:127.0.0.1")
    gossip, rpc, nobody = free_ports(3)
    node = make_node(
        CAXTON_NETWORKING__TLS_ENABLED="true",
        CAXTON_NETWORKING__TLS_CERT_PATH=str(pair.certificate),
        CAXTON_NETWORKING__TLS_KEY_PATH=str(pair.key),
        CAXTON_NETWORKING__TLS_CA_PATH=str(authority.certificate),
        CAXTON_COORDINATION__CLUSTER_ENABLED="true",
        CAXTON_COORDINATION__NODE_ID="n1",
        CAXTON_COORDINATION__BIND_ADDR=f"127.0.0.1:{gossip}",
        CAXTON_COORDINATION__GOSSIP_RPC_ADDRESS=f"127.0.0.1:{rpc}",
        CAXTON_COORDINATION__SEEDS=f"127.0.0.1:{nobody}",
        CAXTON_COORDINATION__EXPECTED_NODES="2",
        CAXTON_COORDINATION__ENCRYPT_KEY=random_key(),
    )
    node.launch()
    with httpx.Client(base_url=node.url.replace("http:", "https:"), verify=authority.context()) as client:

        def reasons() -> list[str] | None:
            try:
                return list(client.get("/ready").json()["reasons"])
            except httpx.TransportError:
                return None

        def serf() -> int | None:
            return next((pid for line, pid in node.children().items() if "serf agent" in line), None)

        until(lambda: reasons() == ["cluster_not_joined"], "ready but for the cluster", 60)
        until(lambda: reasons() == [], "the last one there is, as nobody answers", 60)
        examined = node.cli("doctor", "--check", "cluster", "--output", "json")
        found = [
            (one["name"], one["status"], one["detail"].split()[0]) for one in json.loads(examined.stdout)["checks"]
        ]
        assert examined.returncode == 1
        assert {("cluster", "fail", "minority"), ("cluster", "warn", "missing")} <= set(found)
        first = until(serf, "serf is a child")
        os.kill(first, signal.SIGKILL)
        until(lambda: serf() not in (None, first), "serf is back")
        assert reasons() == []

"""A cluster of real nodes on loopback, each a `caxton serve` with serf and a certificate of its own.

Owns starting them, and what an operator asks of them. Must never end a process that it did not start.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from support.authority import Authority
from support.served_node import ServedNode, free_ports, until

QUICK = {
    "CAXTON_COORDINATION__GOSSIP_INTERVAL": "100ms",
    "CAXTON_COORDINATION__HEARTBEAT_INTERVAL": "250ms",
    "CAXTON_COORDINATION__DETECTION_TIMEOUT": "3s",
    "CAXTON_MESSAGING__RETRY_DELAY": "0s",
}


class OperatedCluster:
    """Nodes by name: `n1`, `n2`, …"""

    def __init__(self, count: int, **variables: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cxc"))
        self.nodes: dict[str, ServedNode] = {}
        self.authority = authority = Authority(self.home / "authority")
        gossip, rpc = free_ports(count), free_ports(count)
        key = base64.b64encode(os.urandom(32)).decode()
        for number in range(count):
            name = f"n{number + 1}"
            pair = authority.issue(name, f"DNS:{name}", "DNS:localhost", "IP:127.0.0.1")
            node = ServedNode(**QUICK, **variables)
            node.url = node.url.replace("http:", "https:")
            node.environ |= {
                "CAXTON_URL": node.url,
                "CAXTON_CA_FILE": str(authority.certificate),
                "CAXTON_NETWORKING__TLS_ENABLED": "true",
                "CAXTON_NETWORKING__TLS_CERT_PATH": str(pair.certificate),
                "CAXTON_NETWORKING__TLS_KEY_PATH": str(pair.key),
                "CAXTON_NETWORKING__TLS_CA_PATH": str(authority.certificate),
                "CAXTON_COORDINATION__CLUSTER_ENABLED": "true",
                "CAXTON_COORDINATION__NODE_ID": name,
                "CAXTON_COORDINATION__SEEDS": f"127.0.0.1:{gossip[0]}",
                "CAXTON_COORDINATION__BIND_ADDR": f"127.0.0.1:{gossip[number]}",
                "CAXTON_COORDINATION__GOSSIP_RPC_ADDRESS": f"127.0.0.1:{rpc[number]}",
                "CAXTON_COORDINATION__ADVERTISE_ADDR": "127.0.0.1",
                "CAXTON_COORDINATION__ENCRYPT_KEY": key,
            }
            self.nodes[name] = node
            self._write(name, count)

    def __getitem__(self, name: str) -> ServedNode:
        return self.nodes[name]

    def client(self, name: str) -> httpx.Client:
        """Of a node's API."""
        return httpx.Client(base_url=self[name].url + "/api/v1", verify=self.authority.context(), timeout=60)

    def start(self) -> OperatedCluster:
        """Starts all; returns when each calls the cluster whole."""
        for name in self.nodes:
            self.launch(name)
        for name in self.nodes:
            until(partial(self.is_whole, name), f"{name} sees a whole cluster", 90)
        return self

    def launch(self, name: str) -> None:
        """Starts one that has ended, and does not wait."""
        before = self[name].process
        if before is not None:
            before.wait(30)
        self[name].launch("--config", str(self._file(name)), "serve")

    def expect(self, name: str, count: int) -> None:
        """Another number of expected nodes, by a reload."""
        self._write(name, count)
        process = self[name].process
        assert process is not None
        process.send_signal(signal.SIGHUP)

    def _file(self, name: str) -> Path:
        return self.home / f"{name}.toml"

    def _write(self, name: str, count: int) -> None:
        backups = self[name].directory / "backups"
        self._file(name).write_text(
            f'coordination.expected_nodes = {count}\nsecurity.auth_enabled = false\nbackup.directory = "{backups}"\n'
        )

    def is_whole(self, name: str, *more: str) -> bool:
        """The verdict of one node."""
        return self[name].cli("cluster", "status", "--here", "-q", *more).returncode == 0

    def view(self, name: str) -> dict[str, Any]:
        """The cluster as one node sees it, whole or not."""
        view: dict[str, Any] = json.loads(self[name].cli("cluster", "status", "--here", "--output", "json").stdout)
        return view

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to everything of a node: SIGSTOP is a machine that is cut off, SIGKILL one that is gone."""
        process = self[name].process
        assert process is not None
        for pid in {process.pid, *self[name].descendants()}:
            with suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(pid, number)

    def close(self) -> None:
        """Ends everything, at once: how a node ends in order is for tests/serve to show."""
        for name, node in self.nodes.items():
            if node.process is not None and node.process.poll() is None:
                self.signal(name, signal.SIGKILL)
            node.close()


@contextmanager
def operated(count: int = 3, **variables: str) -> Iterator[OperatedCluster]:
    """A started cluster; what its nodes said is printed when a test fails."""
    made = OperatedCluster(count, **variables)
    try:
        yield made.start()
    except BaseException:
        for node in made.nodes.values():
            print(node.log[-6000:])
        raise
    finally:
        made.close()

"""A cluster of real nodes, each a `caxton serve` with serf and a certificate of its own, on a network of its own.

Owns its processes, namespaces and directories, and how single things of it are broken and mended. Must never touch a
process or a network that it did not make. Root's only.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from caxton.cluster.placement import first
from caxton.protocol.access import Role, Scope
from caxton.protocol.errors import CaxtonError
from caxton.protocol.operations import KeyCreate
from support import broken_host
from support.authority import Authority
from support.namespaces import Network, inside
from support.router_client import RouterClient
from support.served_node import ServedNode, until

PATIENCE: Final = 90.0
DISK_BYTES: Final = 256_000_000
QUICK: Final = {
    "CAXTON_COORDINATION__GOSSIP_INTERVAL": "100ms",
    "CAXTON_COORDINATION__HEARTBEAT_INTERVAL": "250ms",
    "CAXTON_COORDINATION__DETECTION_TIMEOUT": "3s",
    "CAXTON_MESSAGING__LOW_DISK_BYTES": "4MB",
}
KINDS: Final = {
    "worker": "caxton.executor.worker",
    "executor": "caxton.executor",
    "router": "caxton.router",
    "admin": "--admin",
    "api": "caxton.api",
    "gossip": "serf",
}
"""Process kinds by what their command line holds; the first that matches counts."""
_DAY_SECONDS: Final = 86_400
_PIECE_BYTES: Final = 1_000_000


def missing() -> str:
    """What this host lacks for a `LocalCluster`; empty when nothing."""
    if os.geteuid() != 0:
        return "only root makes networks"
    lacking = [tool for tool in ("ip", "nft", "ss", "serf", "mount") if shutil.which(tool) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    made = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    return "" if made.returncode == 0 else "this container makes no networks"


class ClusterNode:
    """One node; `host` is what may be wrong with its clock and disk."""

    def __init__(self, name: str, served: ServedNode, namespace: str, host: broken_host.BrokenHost) -> None:
        self.name = name
        self.served = served
        self.host = host
        self.is_down = False
        """Whether somebody wants it to be down: else it is started again when it has ended."""
        self._namespace = namespace

    def launch(self) -> None:
        """Starts it and does not wait."""
        self.is_down = False
        with inside(self._namespace):
            self.served.launch()

    def tend(self) -> None:
        """What an init system does: starts it again when it has ended by itself."""
        process = self.served.process
        if not self.is_down and process is not None and process.poll() is not None:
            self.launch()

    def call(self, op: str, args: Any = None, timeout: float = 10.0) -> Any:
        """Asks its router over a connection of its own; OSError or EOFError when that does not answer."""
        with RouterClient(self.served.directory / "run" / "router.sock", timeout) as client:
            return client.call(op, args)

    def answer(self, op: str, args: Any = None) -> Any:
        """As `call`; None when it does not answer, or refuses."""
        with suppress(OSError, EOFError, CaxtonError):
            return self.call(op, args)
        return None

    def sees(self, other: str) -> dict[str, Any]:
        """What it says of another; nothing when it does not answer."""
        members = (self.answer("cluster.status") or {"members": []})["members"]
        return next((one for one in members if one["node_id"] == other), {})

    def pids(self, kind: str) -> list[int]:
        """Its processes of one kind."""
        return [pid for pid in self.served.descendants() if _kind(pid) == kind]

    def signal_all(self, number: signal.Signals) -> None:
        """To every process of it: SIGKILL is a machine without power, SIGSTOP one that sleeps."""
        process = self.served.process
        assert process is not None
        for pid in (process.pid, *self.served.descendants()):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """The power is off."""
        self.is_down = True
        self.signal_all(signal.SIGKILL)
        assert self.served.process is not None
        self.served.process.wait()

    def fill_disk(self) -> None:
        """Until not one byte more can be written to its data directory.

        In pieces: one that does not fit any more, since the node wrote meanwhile, takes nothing at all.
        """
        with (self.data / "ballast").open("ab", buffering=0) as file:
            while left := shutil.disk_usage(self.data).free:
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), min(left, _PIECE_BYTES))

    def free_disk(self) -> None:
        """There is room again."""
        (self.data / "ballast").unlink(missing_ok=True)

    @property
    def data(self) -> Path:
        """Its data directory, a disk of its own."""
        return self.served.directory / "data"


class LocalCluster:
    """Nodes `n1`, `n2`, …; while it is entered, the test's thread is on their network."""

    def __init__(self, count: int = 3, **variables: str) -> None:
        self.names = [f"n{number + 1}" for number in range(count)]
        self.home = Path(tempfile.mkdtemp(prefix="cxc"))
        self.nodes: dict[str, ClusterNode] = {}
        self.key = ""
        self._variables = {**QUICK, "CAXTON_COORDINATION__EXPECTED_NODES": str(count), **variables}
        self._after = ExitStack()
        self._proxies: dict[object, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> LocalCluster:
        with ExitStack() as after:
            after.callback(shutil.rmtree, self.home, ignore_errors=True)
            self.network = Network(self.names)
            after.callback(self.network.close)
            after.enter_context(inside(self.network.hub))
            self._library = broken_host.build(self.home)
            self._trust()
            for name in self.names:
                self.nodes[name] = self._node(name, after)
            self._after = after.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._after.close()

    def __getitem__(self, name: str) -> ClusterNode:
        return self.nodes[name]

    def __iter__(self) -> Iterator[ClusterNode]:
        return iter(self.nodes.values())

    def start(self) -> LocalCluster:
        """All at once; returns when each sees all, and clients have a key that each takes."""
        for node in self:
            node.launch()
        until(lambda: self.is_whole() or self._refusal(), "the cluster is whole", PATIENCE)
        assert not self._refusal(), self._refusal()
        asked = KeyCreate("chaos", Scope(Role.ADMIN))
        self.key = until(lambda: self[self.names[0]].answer("key.create", asked), "a key")["key"]
        for name in self.names:
            until(partial(self._takes_the_key, name), f"{name} knows the key")
        return self

    def is_whole(self) -> bool:
        """Whether every node says so, and is ready."""
        seen = [node.answer("cluster.status") for node in self]
        ready = [node.answer("ready") for node in self]
        return all(one is not None and one["whole"] for one in seen) and all(one and one["ready"] for one in ready)

    def _takes_the_key(self, name: str) -> bool:
        with self.client(name) as client:
            return client.get("/api/v1/cluster").status_code == 200

    def _refusal(self) -> str:
        """What a node said that did not want to start."""
        ended = (node for node in self if node.served.process is not None and node.served.process.poll() is not None)
        return next((node.served.log[-2000:] for node in ended), "")

    def client(self, name: str, timeout: float = 10.0) -> httpx.Client:
        """Of one node's API."""
        headers = {"X-API-Key": self.key}
        url = f"https://{self.network.addresses[name]}:8080"
        return httpx.Client(base_url=url, headers=headers, verify=self._context, timeout=timeout)

    def named_for(self, node: str, base: str) -> str:
        """A name of which that node decides, so that the agent's home is there."""
        return next(name for name in (f"{base}{n}" for n in range(1000)) if first(name, self.names) == node)

    def ways_of(self, name: str) -> list[tuple[str, str]]:
        """Those between a node and all others, to and fro. Clients are not among them."""
        others = [other for other in self.names if other != name]
        return [way for other in others for way in ((name, other), (other, name))]

    def delay(self, key: object, ways: list[tuple[str, str]], seconds: float) -> None:
        """What is asked over these links arrives so much later, and so does the answer."""
        for number, (one, other) in enumerate(ways):  # their links are made anew: it takes a second or two
            port = 9000 + 10 * self.names.index(one) + self.names.index(other)
            command = [sys.executable, "-m", "support.delaying_proxy", str(port), str(seconds)]
            environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])}
            with inside(self.network.of(one)):
                proxy = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)
            self._proxies[key, number] = proxy
            self._after.callback(proxy.kill)
            assert proxy.stdout is not None
            proxy.stdout.readline()
            self.network.redirect((key, number), one, other, port)

    def end_delay(self, key: object) -> None:
        """At once, as ever."""
        for one in [one for one in self._proxies if isinstance(one, tuple) and one[0] == key]:
            proxy = self._proxies.pop(one)
            proxy.kill()
            proxy.wait()
            assert proxy.stdout is not None
            proxy.stdout.close()
            self.network.mend(one)

    def keep_logs(self, directory: Path) -> None:
        """Copies what the nodes said, and their databases: where a message went is in their rows."""
        directory.mkdir(parents=True, exist_ok=True)
        for node in self:
            shutil.copy(node.served.log_file, directory / f"{node.name}.log")
            for file in node.data.glob("local.db*"):
                shutil.copy(file, directory / f"{node.name}-{file.name}")

    def _trust(self) -> None:
        """An authority of yesterday: to a clock that is an hour slow its certificates are not of tomorrow."""
        yesterday = broken_host.BrokenHost(self._library, self.home / "yesterday")
        yesterday.clock(-_DAY_SECONDS)
        before = {name: os.environ.get(name) for name in yesterday.environ}
        os.environ.update(yesterday.environ)
        try:
            self._authority = Authority(self.home / "authority")
            self._pairs = {
                name: self._authority.issue(name, f"DNS:{name}", f"IP:{address}", "IP:127.0.0.1", "DNS:localhost")
                for name, address in self.network.addresses.items()
            }
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        self._context: ssl.SSLContext = self._authority.context()
        self._gossip_key = base64.b64encode(os.urandom(32)).decode()

    def _node(self, name: str, after: ExitStack) -> ClusterNode:
        address, pair = self.network.addresses[name], self._pairs[name]
        served = ServedNode(**self._variables)
        host = broken_host.BrokenHost(self._library, self.home / f"{name}.broken")
        served.url = f"https://{address}:8080"
        served.environ |= {
            **host.environ,
            "CAXTON_URL": served.url,
            "CAXTON_SECURITY__AUTH_ENABLED": "true",
            "CAXTON_CA_FILE": str(self._authority.certificate),
            "CAXTON_RUN_DIR": str(served.directory / "run"),
            "CAXTON_NETWORKING__BIND_ADDRESS": f"{address}:8080",
            "CAXTON_NETWORKING__METRICS_ADDRESS": "127.0.0.1:9090",
            "CAXTON_NETWORKING__ADMIN_ADDRESS": "127.0.0.1:8081",
            "CAXTON_NETWORKING__TLS_ENABLED": "true",
            "CAXTON_NETWORKING__TLS_CERT_PATH": str(pair.certificate),
            "CAXTON_NETWORKING__TLS_KEY_PATH": str(pair.key),
            "CAXTON_NETWORKING__TLS_CA_PATH": str(self._authority.certificate),
            "CAXTON_COORDINATION__CLUSTER_ENABLED": "true",
            "CAXTON_COORDINATION__NODE_ID": name,
            "CAXTON_COORDINATION__SEEDS": ",".join(f"{one}:7946" for one in self.network.addresses.values()),
            "CAXTON_COORDINATION__BIND_ADDR": f"{address}:7946",
            "CAXTON_COORDINATION__GOSSIP_RPC_ADDRESS": "127.0.0.1:7373",
            "CAXTON_COORDINATION__ADVERTISE_ADDR": address,
            "CAXTON_COORDINATION__ENCRYPT_KEY": self._gossip_key,
        }
        node = ClusterNode(name, served, self.network.of(name), host)
        node.data.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=750", self.network.of(name), str(node.data)]
        subprocess.run(mount, check=True)
        after.callback(shutil.rmtree, served.directory, ignore_errors=True)
        after.callback(subprocess.run, ["umount", "--lazy", str(node.data)], check=True)
        after.callback(_end, node)
        return node


def _end(node: ClusterNode) -> None:
    if node.served.process is not None and node.served.process.poll() is None:
        node.kill()


def _kind(pid: int) -> str | None:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    return next((kind for kind, mark in KINDS.items() if mark in line), None)

"""The balancers of the role caxton_lb as children on loopback: real haproxy and nginx, by the role's own templates.

Owns rendering (through Ansible itself), starting, reloading and ending them. Must never signal a process that it did
not start, and never listen anywhere but on loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from support import controller, load
from support.served_node import free_ports, until
from support.stubs import Stub, make_certificate

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "caxton_lb"
BINARIES = {"haproxy": "/usr/sbin/haproxy", "nginx": "/usr/sbin/nginx"}
TEMPLATES = {
    "haproxy": {"haproxy.cfg.j2": "haproxy.cfg"},
    "nginx": {"servers.conf.j2": "servers.conf", "ready-check.json.j2": "ready.json", "nginx.conf.j2": "nginx.conf"},
}
QUICK = {
    "caxton_lb_check_interval": 0.5,
    "caxton_lb_check_fast_interval": 0.25,
    "caxton_lb_check_timeout": 0.5,
    "caxton_lb_slowstart": 0,
    "caxton_lb_timeout_connect": 2,
    "caxton_lb_max_connections": 1000,
}
"""Checks four times as often as the defaults, so that tests need not wait; everything else as it comes."""


def ansible() -> str | None:
    """The `ansible-playbook` of the controller's environment, or one on the path."""
    return shutil.which("ansible-playbook", path=f"{controller.VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")


def missing(engine: str) -> str:
    """What this machine lacks for tests of `engine`; empty when nothing."""
    if not Path(BINARIES[engine]).exists():
        return f"{engine} is not installed: make host"
    return controller.missing() or ""


class Balancer:
    """haproxy or nginx in a directory of its own, in front of `nodes` (name → port)."""

    def __init__(self, engine: str, nodes: dict[str, int], **variables: Any) -> None:
        self.engine, self.nodes, self.variables = engine, nodes, variables
        self.home = Path(tempfile.mkdtemp(prefix="cxlb", dir="/tmp"))
        self.home.chmod(0o755)
        self.http, self.https, self.local, self.metrics = free_ports(4)
        (self.home / "drained").mkdir()
        self.certificate, self.key = make_certificate(self.home)
        self.children: list[subprocess.Popen[bytes]] = []
        self._ended = threading.Event()
        self._in_force = ""

    @property
    def url(self) -> str:
        """Where clients come in."""
        return f"https://127.0.0.1:{self.https}"

    @property
    def log(self) -> str:
        """What the balancer and its check printed."""
        return (self.home / "log").read_text(errors="replace")

    def client(self, **options: Any) -> httpx.Client:
        """A client that trusts the balancer's certificate."""
        return httpx.Client(base_url=self.url, verify=self.context(), timeout=30, **options)

    def context(self) -> ssl.SSLContext:
        """TLS as a client of the balancer does it."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def render(self, **variables: Any) -> None:
        """Writes the configuration by the role's templates; `variables` stay for later calls."""
        self.variables |= variables
        given = self.home / "variables.json"
        given.write_text(json.dumps({**self._variables(), **QUICK, **self.variables}))
        wanted = {
            target: f"{{{{ lookup('ansible.builtin.template', '{ROLE}/templates/{source}') }}}}"
            for source, target in TEMPLATES[self.engine].items()
            if target != "servers.conf" or not (self.home / target).exists()
        }
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
            "tasks": [{"name": "Render", "ansible.builtin.debug": {"msg": wanted}}],
        }
        (self.home / "play.yml").write_text(json.dumps([play]))
        command = [str(ansible()), "-i", "localhost,", "-e", f"@{given}", str(self.home / "play.yml")]
        environ = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": str(self.home / "ansible")}
        environ |= {
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONPATH": "",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(command, env=environ, cwd=self.home, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        shown, _ = json.JSONDecoder().raw_decode(done.stdout, done.stdout.index("=> ") + len("=> "))
        for target, text in shown["msg"].items():
            (self.home / target).write_text(text)
        self.check()

    def check(self) -> None:
        """The engine's own judgement of its configuration, as the role's `validate:` asks for it."""
        done = subprocess.run(self._command(test=True), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Starts it and waits until it says that it works."""
        self._child(self._command())
        if self.engine == "nginx":
            self._ask_nodes()
        until(self.works, "the balancer works: " + self.log)
        if self.engine == "nginx":
            threading.Thread(target=self._reload_on_change, daemon=True).start()

    def works(self) -> bool:
        """Whether /monitor answers 200."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.local}/monitor", timeout=5).status_code == 200
        return False

    def reload(self) -> None:
        """What `systemctl reload` does; returns when the new process answers."""
        if self.engine == "haproxy":
            self.save_state(self.home / "admin.sock")
        self.check()
        self._signal()

    def save_state(self, admin: Path) -> None:
        """What the unit does before a reload of haproxy."""
        script, state = ROLE / "files" / "server_state.py", self.home / "state"
        command = [sys.executable, "-I", str(script), str(admin), str(state), str(self.home / "haproxy.cfg")]
        subprocess.run(command, check=True, capture_output=True)

    def _signal(self) -> None:
        before = self.workers()
        self.children[0].send_signal(signal.SIGUSR2 if self.engine == "haproxy" else signal.SIGHUP)
        until(lambda: self.workers() - before and not self._working(before), "the configuration is in force")
        until(self.works, "the new process answers")

    def apply(self, **variables: Any) -> None:
        """Other variables, put into force as the role's handlers do it."""
        self.render(**variables)
        if self.engine == "nginx":
            check = self.children.pop()
            check.terminate()
            check.wait(10)
            self._ask_nodes()
        self.reload()

    def _ask_nodes(self) -> None:
        """The part of caxton-lb-ready.service."""
        self._child([sys.executable, "-I", str(ROLE / "files" / "ready_check.py"), str(self.home / "ready.json")])

    def set_drained(self, name: str, drained: bool) -> None:
        """What an operator says at the balancer itself; returns when it is in force."""
        if self.engine == "haproxy":
            self.command(f"set server caxton_backend/{name} state {'drain' if drained else 'ready'}")
        elif drained:
            (self.home / "drained" / name).touch()
        else:
            (self.home / "drained" / name).unlink()
        self.until_state(name, ("DRAIN" if self.engine == "haproxy" else "DOWN") if drained else "UP")

    def command(self, text: str) -> str:
        """One command on haproxy's admin socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10)
            connection.connect(str(self.home / "admin.sock"))
            connection.sendall(text.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def states(self) -> dict[str, str]:
        """What the balancer thinks of each node: `UP`, `DOWN`, `DRAIN`."""
        if self.engine == "nginx":
            lines = [line for line in self._in_force.splitlines() if line.startswith("server")]
            return {line.rpartition("# ")[2]: "DOWN" if " down;" in line else "UP" for line in lines}
        rows = [line.split(",") for line in self.command("show stat").splitlines()]
        return {row[1]: row[17].split(" ")[0] for row in rows if row[0] == "caxton_backend" and row[1] in self.nodes}

    def until_state(self, name: str, state: str, seconds: float = 20.0) -> float:
        """Waits until a node is in that state; how long that took."""
        begun = time.monotonic()
        until(lambda: self.states().get(name) == state, f"{name} is {state}: {self.states()}", seconds)
        return time.monotonic() - begun

    def plan(self, path: str = "/", **options: Any) -> load.Plan:
        """Load on this balancer; see `load.Plan`."""
        options.setdefault("by_header", "X-Node")
        return load.Plan("127.0.0.1", self.https, self.context(), path, **options)

    def close(self) -> None:
        """Ends everything of it."""
        self._ended.set()
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(5)
        shutil.rmtree(self.home, ignore_errors=True)

    # ---- how ---------------------------------------------------------------------------------

    def _variables(self) -> dict[str, Any]:
        home, root = str(self.home), os.getuid() == 0
        return {
            "ansible_managed": "Written by a test.",
            "caxton_lb_engine": self.engine,
            "caxton_lb_nodes": [{"name": n, "address": "127.0.0.1", "port": port} for n, port in self.nodes.items()],
            "caxton_lb_server_name": "caxton.test",
            "caxton_lb_bind_address": "127.0.0.1",
            "caxton_lb_http_port": self.http,
            "caxton_lb_https_port": self.https,
            "caxton_lb_stats_port": self.local,
            "caxton_lb_metrics_port": self.metrics,
            "caxton_lb_tls_certificate": str(self.certificate),
            "caxton_lb_tls_key": str(self.key),
            "__caxton_lb_log": "stdout" if self.engine == "haproxy" else "stderr",
            "__caxton_lb_haproxy_pem": f"{home}/both.pem",
            "__caxton_lb_haproxy_user": "",
            "__caxton_lb_haproxy_socket": f"{home}/admin.sock",
            "__caxton_lb_haproxy_state": f"{home}/state",
            "__caxton_lb_haproxy_node_ca": f"{home}/nodes.pem",
            "__caxton_lb_nginx_certificate": str(self.certificate),
            "__caxton_lb_nginx_key": str(self.key),
            "__caxton_lb_nginx_node_ca": f"{home}/nodes.pem",
            "__caxton_lb_nginx_user": "root" if root else "",
            "__caxton_lb_nginx_pid": f"{home}/pid",
            "__caxton_lb_nginx_temporary": home,
            "__caxton_lb_nginx_servers": f"{home}/servers.conf",
            "__caxton_lb_nginx_drained": f"{home}/drained",
            "__caxton_lb_nginx_in_force": f"{home}/in-force.conf",
        }

    def _command(self, *, test: bool = False) -> list[str]:
        if self.engine == "haproxy":
            return [BINARIES["haproxy"], "-c" if test else "-W", "-f", str(self.home / "haproxy.cfg")]
        return [
            BINARIES["nginx"],
            "-c",
            str(self.home / "nginx.conf"),
            *(["-t", "-q"] if test else ["-g", "daemon off;"]),
        ]

    def _child(self, command: list[str]) -> None:
        with (self.home / "log").open("ab") as log:
            self.children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def workers(self) -> set[int]:
        """The processes that serve now; others after a reload."""
        pid = self.children[0].pid
        return {int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def _working(self, workers: set[int]) -> set[int]:
        """Those of nginx's `workers` that still take connections; haproxy's hand over before they are replaced."""
        found = set()
        for pid in workers if self.engine == "nginx" else ():
            with contextlib.suppress(OSError):
                if b"shutting down" not in (title := Path(f"/proc/{pid}/cmdline").read_bytes()) and title:
                    found.add(pid)
        return found

    def _reload_on_change(self) -> None:
        """The part of caxton-lb-reload.path: what the check writes is put into force."""
        servers, before = self.home / "servers.conf", 0
        while not self._ended.wait(0.02):
            if (now := servers.stat().st_mtime_ns) != before:
                before, text = now, servers.read_text()
                try:
                    (self.home / "in-force.conf").write_text(text)
                    self._signal()
                    self._in_force = text
                except (OSError, AssertionError):
                    if not self._ended.is_set():
                        raise


@contextlib.contextmanager
def balancing(
    engine: str, nodes: Mapping[str, Stub | int], *, up: list[str] | None = None, **variables: Any
) -> Iterator[Balancer]:
    """A started balancer in front of `nodes` (stubs or ports); `up` (all but the drained) are up when it begins."""
    ports = {name: node if isinstance(node, int) else node.port for name, node in nodes.items()}
    awaited = [name for name in ports if name not in variables.get("caxton_lb_drained", [])] if up is None else up
    balancer = Balancer(engine, ports, **variables)
    try:
        balancer.render()
        balancer.start()
        for name in awaited:
            balancer.until_state(name, "UP")
        yield balancer
    finally:
        balancer.close()

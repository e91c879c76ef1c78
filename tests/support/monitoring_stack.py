"""The monitoring of a host, started for real: the role's templates, Debian's programs, loopback.

Owns rendering, starting and ending them. Must never change what the role says but for the clocks: intervals
and `for` are seconds here, so that an alert needs no minutes.
"""

from __future__ import annotations

import hashlib
import json
import queue
import re
import ssl
import subprocess
import threading
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jinja2
import yaml

from support.monitoring import ROLE, RULES, with_prefix
from support.served_node import free_ports, until

PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
EXPORTERS = ("prometheus-node-exporter", "prometheus-blackbox-exporter")
READY_SECONDS = 60.0
PREFIX = "acme"
"""The nodes' metrics_prefix in the tests: not the default, so that a name written by hand is found."""
TOKEN = "a-token-of-the-receiver"


def with_low_disk(size: str) -> str:
    """The file of a node that takes nothing more below so much room; its other settings are variables."""
    return f'[security]\nauth_enabled = false\n[messaging]\nlow_disk_bytes = "{size}"\n'


def render(template: str, variables: Mapping[str, Any]) -> str:
    """One of the role's templates over its defaults; the few filters of Ansible that they use are here."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["to_json"] = json.dumps
    environment.filters["comment"] = lambda text: f"# {text}"
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    return environment.get_template(template).render({"ansible_managed": "a test", **defaults, **variables})


class Receiver:
    """A webhook that keeps what it is told."""

    def __init__(self) -> None:
        self._told: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        told = self._told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                told.put((self.headers.get("Authorization", ""), json.loads(text)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, alert: str, status: str, seconds: float = 60.0) -> tuple[str, dict[str, Any]]:
        """The first alert of this name and status: the caller's Authorization, and the alert."""
        while True:
            authorization, body = self._told.get(timeout=seconds)
            for one in body["alerts"]:
                if (one["labels"]["alertname"], one["status"]) == (alert, status):
                    return authorization, one

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


class TlsAnswer:
    """A server that answers 200 over a certificate of its own, which `ca` lets one trust."""

    def __init__(self, folder: Path) -> None:
        self.ca, key = folder / "certificate.pem", folder / "key.pem"
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"]
        names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(self.ca)]
        subprocess.run([*make, *names], check=True, capture_output=True)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}/ready"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


class Stack:
    """Prometheus, alertmanager and both exporters of this host, as the role configures them."""

    def __init__(self, folder: Path, prefix: str, probe_ca: Path, **variables: Any) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        prometheus, alertmanager, blackbox, host = (f"127.0.0.1:{port}" for port in free_ports(4))
        self.prometheus, self.alertmanager = f"http://{prometheus}", f"http://{alertmanager}"
        self._listen = {"prometheus": prometheus, "alertmanager": alertmanager, "blackbox": blackbox, "host": host}
        address, port = host.split(":")
        self.variables: dict[str, Any] = {
            "caxton_monitoring_metrics_prefix": prefix,
            "caxton_monitoring_scrape_interval": "1s",
            "caxton_monitoring_evaluation_interval": "1s",
            "caxton_monitoring_group_wait": "0s",
            "caxton_monitoring_group_interval": "1s",
            "caxton_monitoring_hosts": [{"name": "this-host", "address": address, "port": port}],
            "caxton_monitoring_probe_ca": str(probe_ca),
            "__caxton_monitoring_directory": str(folder),
            "__caxton_monitoring_prometheus_at": prometheus,
            "__caxton_monitoring_alertmanager_at": alertmanager,
            "__caxton_monitoring_blackbox_at": blackbox,
            **variables,
        }
        (folder / "probe-ca.pem").write_bytes(probe_ca.read_bytes())
        self._write_rules(prefix)
        for name in ("prometheus.yml", "alertmanager.yml", "blackbox.yml"):
            (folder / name).write_text(render(f"{name}.j2", self.variables))

    def _write_rules(self, prefix: str) -> None:
        rules = self.folder / "rules"
        rules.mkdir()
        digest = hashlib.sha256()
        for path in sorted(RULES.glob("*.yml")):
            text = with_prefix(path.read_text(), prefix)
            digest.update(text.encode())
            (rules / path.name).write_text(re.sub(r"(?m)^( *for:) .*$", r"\1 1s", text))
        self.variables["__caxton_monitoring_rules_digest"] = digest.hexdigest()

    def check(self) -> list[subprocess.CompletedProcess[str]]:
        """What the role has each file checked by."""
        commands = [
            ["promtool", "check", "config", f"{self.folder}/prometheus.yml"],
            ["amtool", "check-config", f"{self.folder}/alertmanager.yml"],
            ["prometheus-blackbox-exporter", "--config.check", f"--config.file={self.folder}/blackbox.yml"],
        ]
        return [subprocess.run(command, capture_output=True, text=True, check=False) for command in commands]

    def start(self) -> Stack:
        """Starts all four and waits until each is ready."""
        at, folder = self._listen, self.folder
        commands = {
            "host": ["prometheus-node-exporter"],
            "blackbox": ["prometheus-blackbox-exporter", f"--config.file={folder}/blackbox.yml"],
            "alertmanager": [
                "prometheus-alertmanager",
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/alertmanager",
                "--cluster.listen-address=",
            ],
            "prometheus": [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/figures",
            ],
        }
        for name, command in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                whole = [*command, f"--web.listen-address={at[name]}"]
                self._processes.append(subprocess.Popen(whole, stdout=log, stderr=log, cwd=folder))
        for name in ("alertmanager", "prometheus"):
            until(partial(_answers, f"http://{at[name]}/-/ready"), f"{name} is ready", READY_SECONDS)
        return self

    def series(self) -> dict[str, set[str]]:
        """Labels by metric, of everything that Prometheus has read so far."""
        answer = httpx.get(f"{self.prometheus}/api/v1/series", params={"match[]": '{__name__=~".+"}'}, timeout=30)
        found: dict[str, set[str]] = {}
        for one in answer.json()["data"]:
            found.setdefault(one["__name__"], set()).update(one)
        return found

    def value(self, expr: str) -> list[dict[str, Any]]:
        """What a PromQL expression gives now."""
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expr}, timeout=30)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"]["result"])

    def close(self) -> None:
        """Ends what it started."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False

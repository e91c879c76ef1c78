"""Stand-ins for nodes as child processes (`stub_backend`), and a certificate for loopback.

Owns those processes. Must never signal a process that it did not start.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from support import stub_backend
from support.served_node import free_ports, until


class Stub:
    """One stand-in for a node as a child process."""

    def __init__(self, name: str, port: int, certificate: Path | None = None) -> None:
        self.name, self.port, self.certificate = name, port, certificate
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        line = [sys.executable, stub_backend.__file__, "--name", self.name, "--port", str(self.port)]
        line += ["--certificate", str(self.certificate)] if self.certificate else []
        self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(lambda: listens(self.port), f"{self.name} listens")

    def tell(self, what: str) -> list[str]:
        """POST /stub/WHAT; the requests that it has seen so far."""
        answer = httpx.post(f"{self.url}/stub/{what}", verify=False, timeout=10)
        return list(answer.json()["seen"])

    def seen(self) -> list[str]:
        """`METHOD TARGET` of what it answered so far."""
        return self.tell("seen")

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """SIGSTOP for a while: it is there and does nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it; a second time does nothing."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None


def listens(port: int) -> bool:
    """Whether anybody accepts connections on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2):
        return True
    return False


def make_certificate(home: Path) -> tuple[Path, Path]:
    """A certificate for loopback that is its own CA, and its key; `both.pem` has them together."""
    certificate, key = home / "tls.crt", home / "tls.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=caxton.test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:caxton.test"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    (home / "both.pem").write_text(certificate.read_text() + key.read_text())
    return certificate, key


@contextlib.contextmanager
def stubs(*names: str, certificate: Path | None = None) -> Iterator[dict[str, Stub]]:
    """Stand-ins for nodes, started, by name."""
    made = {name: Stub(name, port, certificate) for name, port in zip(names, free_ports(len(names)), strict=True)}
    try:
        for stub in made.values():
            stub.start()
        yield made
    finally:
        for stub in made.values():
            stub.end()

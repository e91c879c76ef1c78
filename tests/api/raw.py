"""A client that speaks to the socket: for what no HTTP library would send."""

from __future__ import annotations

import json
import socket
from types import TracebackType
from typing import Any, NamedTuple

from support.node import Node


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def code(self) -> str:
        """The error code of a problem, after checking its form."""
        assert self.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        assert problem["error"]["trace_id"] == self.headers["x-trace-id"]
        code: str = problem["error"]["code"]
        return code


class Connection:
    """One TCP connection to the API."""

    def __init__(self, node: Node, timeout: float = 20.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", node.port), timeout)
        if node.trust is not None:
            self.sock = node.trust.wrap_socket(self.sock, server_hostname="127.0.0.1")
        self.rest = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self) -> Answer:
        """The next answer, which must have a Content-Length."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        length = int(headers.get("content-length", "0"))
        while len(self.rest) < length:
            self._receive()
        body, self.rest = self.rest[:length], self.rest[length:]
        return Answer(int(first.split()[1]), headers, body)

    def closed(self) -> bool:
        """Whether the server has ended the connection (waits for it)."""
        try:
            return self.rest == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.rest:
            self._receive()
        head, _, self.rest = self.rest.partition(mark)
        return head

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(self.rest)
        self.rest += data


def ask(node: Node, data: bytes) -> Answer:
    """One request on a connection of its own."""
    with Connection(node) as connection:
        connection.send(data)
        return connection.read()


def post(path: str, *headers: str) -> bytes:
    """The head of a POST of JSON."""
    lines = [f"POST {path} HTTP/1.1", "Host: node", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"

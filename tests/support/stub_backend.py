"""A stand-in for a node, for tests of what stands in front of nodes: a small HTTP/1.1 server, standard library only.

    python3 stub_backend.py --name node1 --address 127.0.0.1 --port 8080 [--certificate PEM]

    GET  /ready                      200, or what POST /stub/ready?status=503 made of it
    POST /stub/drain                 as a draining node: /ready 503, and from now on everything else 503 DRAINING
    GET  /slow?seconds=2             answers after that
    GET  /status/502                 answers that status
    GET  /drop                       closes the connection without an answer
    GET  /events?every=1&count=5     server-sent events, `: alive` comments between them as a node sends them
    GET  /ws, /api/v1/ws             a WebSocket that sends back what it gets
    *    anything else               JSON: who answered, and what arrived

Every answer has `X-Node: NAME`. Owns no state beyond its process. Must never do more work than asked: it is what load
is measured with.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PHRASES = {
    200: "OK",
    101: "Switching Protocols",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


@dataclass
class Request:
    """One request as it arrived; `headers` by lower-case name, the last of a name wins; `all_headers` has each."""

    method: str
    target: str
    headers: dict[str, str]
    all_headers: list[tuple[str, str]]
    body_bytes: int
    body_sha256: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    def number(self, name: str, otherwise: float) -> float:
        """A number of the query."""
        return float(parse_qs(urlsplit(self.target).query).get(name, [str(otherwise)])[0])


@dataclass
class Stub:
    """The server: its name and how it behaves now."""

    name: str
    ready_status: int = 200
    draining: bool = False
    seen: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            while request := await read_request(reader, writer):
                if not await self.answer(request):
                    break
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.close()
            await writer.wait_closed()

    async def answer(self, request: Request) -> bool:
        """Answers one request; whether the connection goes on."""
        if request.path == "/ready":
            return await self.reply(request, self.ready_status, {"ready": self.ready_status == 200})
        if request.path.startswith("/stub/"):
            return await self.control(request)
        if self.draining:
            return await self.reply(request, 503, {"error": {"code": "DRAINING"}}, (("Retry-After", "5"),))
        if request.path.startswith("/status/"):
            return await self.reply(request, int(request.path.rpartition("/")[2]), {"stub": True})
        handler = self.handlers().get(request.path)
        if handler is not None:
            return await handler(request)
        return await self.reply(request, 200, self.view(request))

    def handlers(self) -> dict[str, Callable[[Request], Awaitable[bool]]]:
        """What the paths of the docstring do."""
        return {
            "/slow": self.slow,
            "/drop": self.drop,
            "/events": self.events,
            "/api/v1/events": self.events,
            "/ws": self.websocket,
            "/api/v1/ws": self.websocket,
        }

    def view(self, request: Request) -> dict[str, object]:
        """What arrived."""
        return {
            "node": self.name,
            "method": request.method,
            "target": request.target,
            "headers": request.headers,
            "all_headers": request.all_headers,
            "body_bytes": request.body_bytes,
            "body_sha256": request.body_sha256,
        }

    async def control(self, request: Request) -> bool:
        """Changes how the stub behaves, or tells what it saw."""
        match request.path:
            case "/stub/ready":
                self.ready_status = int(request.number("status", 200))
            case "/stub/drain":
                self.ready_status, self.draining = 503, True
            case "/stub/undrain":
                self.ready_status, self.draining = 200, False
        return await self.reply(request, 200, {"seen": self.seen})

    async def reply(
        self, request: Request, status: int, content: object, extra: tuple[tuple[str, str], ...] = ()
    ) -> bool:
        """A JSON answer."""
        if not request.path.startswith(("/stub/", "/ready")):
            self.seen = [*self.seen[-999:], f"{request.method} {request.target}"]
        body = json.dumps(content).encode()
        lines = [f"HTTP/1.1 {status} {PHRASES.get(status, 'Status')}", "Content-Type: application/json"]
        lines += [
            f"X-Node: {self.name}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in extra),
        ]
        request.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await request.writer.drain()
        return request.headers.get("connection", "").lower() != "close"

    async def slow(self, request: Request) -> bool:
        """Answers late."""
        self.seen = [*self.seen[-999:], f"begun {request.target}"]
        await asyncio.sleep(request.number("seconds", 1))
        return await self.reply(request, 200, self.view(request))

    async def drop(self, request: Request) -> bool:
        """Took the request, says nothing."""
        self.seen = [*self.seen[-999:], f"{request.method} {request.target}"]
        return False

    async def events(self, request: Request) -> bool:
        """A stream as a node sends it: chunks of their own, and the header that asks nginx not to collect them."""
        head = f"HTTP/1.1 200 OK\r\nX-Node: {self.name}\r\nContent-Type: text/event-stream\r\n"
        request.writer.write(head.encode() + b"Cache-Control: no-store\r\n")
        request.writer.write(b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n")
        every, quiet = request.number("every", 1), request.number("quiet", 0)
        for number in range(int(request.number("count", 5))):
            chunk = b": alive\n\n" if number % 2 else b"id: %d\nevent: tick\ndata: {}\n\n" % number
            request.writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await request.writer.drain()
            await asyncio.sleep(every)
        await asyncio.sleep(quiet)
        request.writer.write(b"0\r\n\r\n")
        await request.writer.drain()
        return True

    async def websocket(self, request: Request) -> bool:
        """The handshake, then every frame back as it came, without its mask."""
        key = request.headers.get("sec-websocket-key", "")
        if request.headers.get("upgrade", "").lower() != "websocket":
            return await self.reply(request, 400, self.view(request))
        accept = base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET, usedforsecurity=False).digest()).decode()
        head = f"HTTP/1.1 101 Switching Protocols\r\nX-Node: {self.name}\r\nUpgrade: websocket\r\n"
        request.writer.write(
            head.encode() + f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        while True:
            first, second = await request.reader.readexactly(2)
            mask = await request.reader.readexactly(4)
            data = await request.reader.readexactly(second & 0x7F)
            plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
            request.writer.write(bytes((first, len(plain))) + plain)
            await request.writer.drain()
            if first & 0x0F == 8:
                return False


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request with its body counted, or None at the end of the connection."""
    line = await reader.readline()
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    pairs: list[tuple[str, str]] = []
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        pairs.append((name.strip().lower(), value.strip()))
    headers = dict(pairs)
    size, digest = 0, hashlib.sha256()
    async for part in body(reader, headers):
        size += len(part)
        digest.update(part)
    return Request(method, target, headers, pairs, size, digest.hexdigest(), reader, writer)


async def body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    """The parts of a body, framed by length or in chunks."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return
    left = int(headers.get("content-length", "0"))
    while left > 0:
        part = await reader.read(min(left, 1 << 18))
        if not part:
            raise ConnectionError("the body ended early")
        left -= len(part)
        yield part


async def main(arguments: argparse.Namespace) -> None:
    """Serves until it is ended."""
    context = None
    if arguments.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(arguments.certificate)
    stub = Stub(arguments.name)
    server = await asyncio.start_server(stub.serve, arguments.address, arguments.port, ssl=context, backlog=1024)
    print(f"{arguments.name} listens", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for a node")
    parser.add_argument("--name", required=True)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", help="PEM with certificate and key: speak TLS")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args()))

"""Load through a balancer at a steady rate, with every failure counted by kind. Nothing but the standard library.

    python3 load.py --url https://10.42.2.100 --ca ca.pem --rate 100 --seconds 30 --json

It behaves like an ordinary client and no better: connections are kept and used again, a request that meets a kept
connection which the other side has just closed goes out once more on a new one, and nothing else is repeated. The
rate does not wait for answers: a stall shows as many late requests and not as few. Exit status 0 if nothing failed.

Owns this traffic. Must never aim at anything but loopback and the lab's machines.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import itertools
import json
import ssl
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

ALLOWED = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "10.42.0.0/16")]
MAX_SECONDS = 3600.0
MAX_RATE = 2000.0
CLOSING_SECONDS = 0.05
IDLE_SECONDS = 0.25
"""A kept connection that ends so soon after a request was sent had been closed before the request arrived."""


@dataclass(frozen=True)
class Plan:
    """What to ask for, how often and how long. `by_header`: count the answers by this header's value."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    path: str = "/"
    method: str = "GET"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    rate: float = 100.0
    seconds: float = 10.0
    connections: int = 20
    timeout: float = 10.0
    fresh: bool = False
    by_header: str = ""


@dataclass
class Tally:
    """What came of it. `failed` counts by kind; `first` and `gaps` are in seconds since the start."""

    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    failed_at: list[float] = field(default_factory=list)
    repeated: int = 0
    by: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    succeeded_at: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """The tally as plain data; times in seconds."""
        took, when = sorted(self.took) or [0.0], sorted(self.succeeded_at)
        gaps = [later - earlier for earlier, later in itertools.pairwise(when)]
        return {
            "requests": self.ok + self.failed.total(),
            "ok": self.ok,
            "failed": self.failed.total(),
            "kinds": dict(self.failed),
            "failed_from": round(min(self.failed_at), 3) if self.failed_at else None,
            "failed_to": round(max(self.failed_at), 3) if self.failed_at else None,
            "repeated_on_closed_idle": self.repeated,
            "p50": round(took[len(took) // 2], 4),
            "p99": round(took[min(len(took) - 1, len(took) * 99 // 100)], 4),
            "max": round(took[-1], 4),
            "longest_gap": round(max(gaps), 3) if gaps else None,
            "by": dict(sorted(self.by.items())),
        }


@dataclass
class Connection:
    """One connection, and whether it has answered before."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False


class FailedError(Exception):
    """A request failed; the message is its kind."""


class ClosedIdleError(Exception):
    """A kept connection was closed before the first byte of an answer."""


class Client:
    """The connections of one run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tally = Tally()
        self.idle: list[Connection] = []
        self.begun = time.monotonic()
        self._slots = asyncio.Semaphore(plan.connections)
        names = {name.lower() for name, _ in plan.headers}
        lines = [f"{plan.method} {plan.path} HTTP/1.1"]
        if "host" not in names:
            lines.append(f"Host: {plan.host}")
        lines += [f"{name}: {value}" for name, value in plan.headers]
        if plan.body or plan.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(plan.body)}")
        if plan.fresh:
            lines.append("Connection: close")
        self._request = "\r\n".join(lines).encode() + b"\r\n\r\n" + plan.body

    async def run(self) -> dict[str, Any]:
        """Sends requests at the plan's rate for the plan's time; the report."""
        self.begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(self.plan.rate * self.plan.seconds)):
                pause = self.begun + number / self.plan.rate - time.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                group.create_task(self._one())
        for connection in self.idle:
            connection.writer.transport.abort()
        await asyncio.sleep(CLOSING_SECONDS)
        return self.tally.report()

    async def _one(self) -> None:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self.plan.timeout), self._slots:
                status, headers = await self._ask()
        except TimeoutError:
            return self._failed("timeout")
        except FailedError as error:
            return self._failed(str(error))
        now = time.monotonic()
        if not 200 <= status < 400:
            return self._failed(f"status_{status}")
        self.tally.ok += 1
        self.tally.took.append(now - begun)
        self.tally.succeeded_at.append(now - self.begun)
        if self.plan.by_header:
            self.tally.by[headers.get(self.plan.by_header.lower(), "")] += 1
        return None

    def _failed(self, kind: str) -> None:
        self.tally.failed[kind] += 1
        self.tally.failed_at.append(time.monotonic() - self.begun)

    async def _ask(self) -> tuple[int, dict[str, str]]:
        """One request; status and headers. Once more if a kept connection turned out to be closed."""
        try:
            return await self._exchange(await self._connection())
        except ClosedIdleError:
            self.tally.repeated += 1
            return await self._exchange(await self._connect())  # a new connection: never ClosedIdleError

    async def _connection(self) -> Connection:
        while self.idle and not self.plan.fresh:
            connection = self.idle.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.transport.abort()
        return await self._connect()

    async def _connect(self) -> Connection:
        plan = self.plan
        try:
            return Connection(*await asyncio.open_connection(plan.host, plan.port, ssl=plan.tls))
        except ssl.SSLError as error:
            raise FailedError("tls") from error
        except OSError as error:
            raise FailedError("refused" if isinstance(error, ConnectionRefusedError) else "unreachable") from error

    async def _exchange(self, connection: Connection) -> tuple[int, dict[str, str]]:
        done, sent = False, time.monotonic()
        try:
            connection.writer.write(self._request)
            await connection.writer.drain()
            status, headers, keep = await read_response(connection.reader, self.plan.method)
            done, connection.used = keep and not self.plan.fresh, True
        except EOFError as error:
            raise self._lost(connection, sent, "closed") from error
        except (ConnectionError, ssl.SSLError) as error:
            raise self._lost(connection, sent, "reset") from error
        except ValueError as error:
            raise FailedError("broken_answer") from error
        finally:
            if not done:
                connection.writer.transport.abort()
        if done:
            self.idle.append(connection)
        return status, headers

    def _lost(self, connection: Connection, sent: float, kind: str) -> Exception:
        """What a connection that ended without an answer means: it had been closed, or the request is lost."""
        at_once = time.monotonic() - sent < IDLE_SECONDS
        return ClosedIdleError() if connection.used and at_once else FailedError(kind)


async def read_response(reader: asyncio.StreamReader, method: str) -> tuple[int, dict[str, str], bool]:
    """Status, headers, and whether the connection may be kept. EOFError: not one byte came."""
    line = await reader.readline()
    if not line:
        raise EOFError
    status = int(line.split(b" ", 2)[1])
    headers: dict[str, str] = {}
    try:
        while (line := await reader.readuntil(b"\n")).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if status == 204 or status == 304 or method == "HEAD":
            pass
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
                await reader.readexactly(size + 2)
            await reader.readuntil(b"\n")
        elif "content-length" in headers:
            await reader.readexactly(int(headers["content-length"]))
        else:
            await reader.read()
            return status, headers, False
    except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError) as error:
        raise ValueError("the answer broke off") from error
    return status, headers, headers.get("connection", "").lower() != "close"


def tls_context(ca: str | None, *, verify: bool = True) -> ssl.SSLContext:
    """A client's context that trusts `ca` alone."""
    context = ssl.create_default_context(cafile=ca)
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def plan_from(arguments: argparse.Namespace) -> Plan:
    """The plan of a command line."""
    url = urlsplit(arguments.url)
    host = url.hostname or ""
    if not any(ipaddress.ip_address(host) in network for network in ALLOWED):
        raise SystemExit(f"{host} is neither loopback nor one of the lab's machines")
    secure = url.scheme == "https"
    return Plan(
        host=host,
        port=url.port or (443 if secure else 80),
        tls=tls_context(arguments.ca, verify=not arguments.insecure) if secure else None,
        path=(url.path or "/") + (f"?{url.query}" if url.query else ""),
        method=arguments.method,
        body=arguments.body.encode(),
        headers=tuple(
            (name.strip(), value.strip()) for name, _, value in (h.partition(":") for h in arguments.header)
        ),
        rate=min(arguments.rate, MAX_RATE),
        seconds=min(arguments.seconds, MAX_SECONDS),
        connections=arguments.connections,
        timeout=arguments.timeout,
        fresh=arguments.fresh,
        by_header=arguments.by_header,
    )


def command_line() -> argparse.ArgumentParser:
    """The options of this script."""
    parser = argparse.ArgumentParser(description="Load through a balancer, failures counted by kind")
    parser.add_argument("--url", required=True, help="an IP address of loopback or the lab, with the path to ask for")
    parser.add_argument("--ca", help="PEM of the CA to trust")
    parser.add_argument("--insecure", action="store_true", help="do not verify the certificate")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--body", default="")
    parser.add_argument("--header", action="append", default=[], help="NAME: VALUE; again for more")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=20, help="at most so many at once")
    parser.add_argument(
        "--timeout", type=float, default=10.0, help="seconds for one request, waiting for a connection included"
    )
    parser.add_argument("--fresh", action="store_true", help="a new connection for each request")
    parser.add_argument("--by-header", default="", help="count the answers by the value of this header")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of text")
    return parser


def main() -> int:
    """Runs it; 0 if nothing failed."""
    arguments = command_line().parse_args()
    report = asyncio.run(Client(plan_from(arguments)).run())
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:24} {value}")
    return 0 if report["failed"] == 0 else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())

"""`caxton bench`: a short load on a running node.

Owns what is measured and how it is summed up. Must never claim a node's limit: this client is part of the figures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import quantiles
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from caxton.cli.bench_agent import ECHO
from caxton.cli.client import PREFIX, Client, connect, decoded, raise_for, segment
from caxton.cli.deployment import deploy
from caxton.cli.render import emit_rows, note
from caxton.cli.state import State, output_options, pass_state
from caxton.cli.values import Duration
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.ids import new_id

if TYPE_CHECKING:
    import httpx

BATCH: Final = 100
SETTLE_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05
COLUMNS: Final = {
    "WHAT": "what",
    "COUNT": "count",
    "ERRORS": "errors",
    "RATE /s": "rate",
    "P50 ms": "p50_ms",
    "P99 ms": "p99_ms",
}
Shot = Callable[["httpx.AsyncClient"], Awaitable[int]]


@dataclass
class Tally:
    """What one load did. `seconds` of every shot; `count` of things done."""

    seconds: list[float]
    count: int = 0
    errors: int = 0


@click.command()
@click.option("--duration", type=Duration(), default=5.0, help="Of each of the two loads (5s).")
@click.option("--connections", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--size", type=click.IntRange(1, 100_000), default=1024, show_default=True, help="Bytes of content.")
@click.option("--agent", "name", help="Use this agent (default: an echo agent, deployed and removed).")
@output_options
@pass_state
def bench(state: State, duration: float, connections: int, size: int, name: str | None) -> None:
    """Put a short load on a node: invocations, then durable messages in batches of 100."""
    with connect(state) as client:
        target = name or _deploy_echo(client)
        try:
            note(state, f"{client.target.url}, agent {target}, {connections} connections, {duration:g} s each")
            rows = [_invocations(client, target, duration, connections, size)]
            rows.append(_messages(client, target, duration, min(connections, 4), size))
        finally:
            if name is None:
                client.delete(f"/agents/{segment(target)}", purge=True)
    emit_rows(state, rows, COLUMNS)


def _deploy_echo(client: Client) -> str:
    name = f"caxton-bench-{new_id()[:8]}"
    deploy(client, {"name": name}, ECHO, lambda _: None)
    return name


def _invocations(client: Client, name: str, duration: float, connections: int, size: int) -> dict[str, Any]:
    body = msgspec.json.encode({"content": "x" * size})

    async def shot(http: httpx.AsyncClient) -> int:
        raise_for(await http.post(f"{PREFIX}/agents/{segment(name)}/invoke", content=body))
        return 1

    started = time.monotonic()
    tally = asyncio.run(_load(client, shot, duration, connections))
    return _row("invoke", tally, time.monotonic() - started)


def _messages(client: Client, name: str, duration: float, connections: int, size: int) -> dict[str, Any]:
    one = {"performative": "inform", "receiver": name, "content": "x" * size}
    body = msgspec.json.encode([one] * BATCH)

    async def shot(http: httpx.AsyncClient) -> int:
        response = await http.post(f"{PREFIX}/messages", content=body)
        raise_for(response)
        return sum("error" not in item for item in decoded(response)["items"])

    started = time.monotonic()
    tally = asyncio.run(_load(client, shot, duration, connections))
    while _waiting(client, name) and time.monotonic() - started < duration + SETTLE_SECONDS:
        time.sleep(POLL_SECONDS)
    return _row(f"messages, accepted and done (batch {BATCH})", tally, time.monotonic() - started)


def _waiting(client: Client, name: str) -> int:
    counters = client.get(f"/agents/{segment(name)}")["counters"]
    return int(counters["pending"]) + int(counters["in_flight"])


async def _load(client: Client, shot: Shot, duration: float, connections: int) -> Tally:
    import httpx

    tally, end = Tally([]), time.monotonic() + duration
    headers = {**client.target.headers, "Content-Type": "application/json"}
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(base_url=client.target.url, headers=headers, limits=limits, timeout=60) as http:
        await asyncio.gather(*(_repeat(http, shot, end, tally) for _ in range(connections)))
    if not tally.count:
        raise CaxtonError(
            Code.AGENT_FAILED, f"not one of {tally.errors} requests succeeded; look at: caxton dlq list"
        )
    return tally


async def _repeat(http: httpx.AsyncClient, shot: Shot, end: float, tally: Tally) -> None:
    import httpx

    while (before := time.monotonic()) < end:
        try:
            done = await shot(http)  # not in one statement with +=, which would read the count before it waits
            tally.count += done
            tally.seconds.append(time.monotonic() - before)
        except CaxtonError as error:
            tally.errors += 1
            await asyncio.sleep(0.01 if error.code in (Code.MAILBOX_FULL, Code.RATE_LIMITED) else 0)
        except httpx.TransportError as error:
            raise CaxtonError(Code.UNREACHABLE, f"the node went away during the load: {error}") from error


def _row(what: str, tally: Tally, seconds: float) -> dict[str, Any]:
    cuts = quantiles(tally.seconds, n=100) if len(tally.seconds) > 1 else tally.seconds * 99
    return {
        "what": what,
        "count": tally.count,
        "errors": tally.errors,
        "rate": round(tally.count / seconds, 1),
        "p50_ms": round(cuts[49] * 1000, 2),
        "p99_ms": round(cuts[98] * 1000, 2),
    }

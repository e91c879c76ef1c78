"""`http_request`: from a host call to its answer.

Owns how many requests are under way, and what is counted and recorded of each. Must never raise into the
dispatch: whatever happens outside becomes a code of spec/abi.md.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, Final

import httpcore

from caxton.protocol.execution import HostCall, HostReply
from caxton.router.boxes import Boxes, Flight, execution_id
from caxton.router.commits import Commits
from caxton.router.egress import addresses
from caxton.router.egress.exchange import Got, TooLarge, exchange
from caxton.router.egress.network import RESOLVERS, CheckedNetwork, Refused
from caxton.router.egress.request import Outgoing, parse_request
from caxton.router.tracing import spans
from caxton.store import HttpCallRow

PER_AGENT: Final = 8
PER_NODE: Final = 64
"""Requests under way at once; one more is answered with `LIMIT`."""
OUTCOMES: Final = {
    "ok": 0,
    "denied": -1,
    "invalid": -2,
    "limit": -3,
    "unavailable": -6,
    "timeout": -7,
    "cancelled": -6,
}
"""How a request can end, and what the guest is told."""
_ERROR_TEXT: Final = 300
log = logging.getLogger(__name__)


class Egress:
    """Outbound HTTP of all agents. To be made inside a running loop."""

    def __init__(self, boxes: Boxes, commits: Commits) -> None:
        self._boxes = boxes
        self._commits = commits
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._active: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
        self._tls: ssl.SSLContext | None = None
        self._outcomes = Counter(dict.fromkeys(OUTCOMES, 0))
        self._bytes = Counter({"sent": 0, "received": 0})
        self._seconds = 0.0

    def fetch(self, flight: Flight, call: HostCall) -> None:
        """Answers the call when the answer is there, or at once when the request may not be made."""
        agent = flight.box.agent.name
        if self._active[agent] >= PER_AGENT or self._active.total() >= PER_NODE:
            self._outcomes["limit"] += 1
            _answer(flight, call, OUTCOMES["limit"])
            return
        self._active[agent] += 1
        task = asyncio.get_running_loop().create_task(self._fetch(flight, call))
        self._tasks[flight.exec_id] = task
        task.add_done_callback(lambda done: self._over(flight, done))

    def forget(self, flight: Flight) -> None:
        """Nobody waits for this execution's request any more."""
        task = self._tasks.get(flight.exec_id)
        if task is not None:
            task.cancel()

    async def stop(self) -> None:
        """Ends every request."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def figures(self) -> dict[str, Any]:
        """What was counted, for /metrics."""
        return {"requests": dict(self._outcomes), "bytes": dict(self._bytes), "seconds": self._seconds}

    async def _fetch(self, flight: Flight, call: HostCall) -> None:
        """The guest goes on when what it got is on record."""
        record = _Record(flight, call)
        outcome = "cancelled"
        try:
            outcome = await self._attempt(flight, call, record)
        finally:
            self._keep(flight, record, outcome)
        await self._commits.written()
        _answer(flight, call, OUTCOMES[outcome], record.got.data if record.got else b"")

    async def _attempt(self, flight: Flight, call: HostCall, record: _Record) -> str:
        """Makes the request; how it ended."""
        config = self._boxes.config
        network = CheckedNetwork(self._threads, lambda: addresses.networks(config.runtime.egress_allow))
        try:
            record.request = request = parse_request(call.data)
            headers = _node_headers(flight, call, record.span_id)
            grants, limit = flight.box.agent.config.grants.http, config.messaging.max_message_size
            record.got = await exchange(request, grants, network, self._context(), headers, limit)
            return "ok"
        except Refused as error:
            return record.failed("denied", error)
        except ValueError as error:
            return record.failed("invalid", error)
        except TooLarge as error:
            return record.failed("limit", error)
        except (TimeoutError, httpcore.TimeoutException) as error:
            return record.failed("timeout", error)
        except (OSError, httpcore.NetworkError, httpcore.ProtocolError) as error:
            return record.failed("unavailable", error)
        except Exception as error:  # whatever a stranger's server can cause: the guest is told, the operator reads it
            log.exception("an outbound request of %s failed unexpectedly", flight.box.agent.name)
            return record.failed("unavailable", error)
        finally:
            record.address = network.reached

    def _context(self) -> ssl.SSLContext:
        """The system's certificate authorities; loaded when first needed (30 ms)."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._tls

    def _keep(self, flight: Flight, record: _Record, outcome: str) -> None:
        row = record.row(outcome)
        spans.fetched(flight, record.span_id, row)
        self._outcomes[outcome] += 1
        self._bytes["sent"] += row.request_bytes
        self._bytes["received"] += row.response_bytes
        self._seconds += row.duration_seconds
        if self._commits.failed is None:
            self._commits.changes.http_calls.append(row)

    def _over(self, flight: Flight, task: asyncio.Task[None]) -> None:
        if self._tasks.get(flight.exec_id) is task:
            del self._tasks[flight.exec_id]
        agent = flight.box.agent.name
        self._active[agent] -= 1
        if not self._active[agent]:
            del self._active[agent]
        if not task.cancelled() and task.exception() is not None:
            log.error("an outbound request could not be answered", exc_info=task.exception())


class _Record:
    """What becomes the row of one call."""

    def __init__(self, flight: Flight, call: HostCall) -> None:
        self._flight = flight
        self._key = call.key or ""
        self.span_id = secrets.token_hex(8)
        self._at = time.time()
        self._began = time.monotonic()
        self.request: Outgoing | None = None
        self.got: Got | None = None
        self.address: str | None = None
        self._error: str | None = None

    def failed(self, outcome: str, error: Exception) -> str:
        """Notes why; gives `outcome` back."""
        self._error = f"{outcome}: {error}"[:_ERROR_TEXT].rstrip(": ")
        return outcome

    def row(self, outcome: str) -> HttpCallRow:
        """The row, now that it is over."""
        handled, request, got = self._flight.reply_to, self.request, self.got
        return HttpCallRow(
            agent=self._flight.box.agent.name,
            execution_id=execution_id(self._flight),
            message_id=handled.message_id if handled else "",
            at=self._at,
            method=request.method if request else "",
            url=got.url if got else request.target.url if request else "",
            duration_seconds=time.monotonic() - self._began,
            request_bytes=len(request.body) if request else 0,
            response_bytes=len(got.body) if got else 0,
            redirects=got.redirects if got else 0,
            idempotency_key=self._key,
            status=got.status if got else None,
            address=self.address,
            digest=sha256(got.body).hexdigest() if got else None,
            error=None if got else self._error or outcome,
        )


def _node_headers(flight: Flight, call: HostCall, span_id: str) -> list[tuple[str, str]]:
    """What the node adds: who asks, the key by which the other side knows a second run, and the trace."""
    headers = [("accept-encoding", "identity"), ("connection", "close"), ("idempotency-key", call.key or "")]
    asked = flight.reply_to.traceparent if flight.reply_to else None
    parts = (asked or "").split("-")
    if len(parts) == 4:
        headers.append(("traceparent", f"{parts[0]}-{parts[1]}-{span_id}-{parts[3]}"))
    return headers


def _answer(flight: Flight, call: HostCall, status: int, data: bytes = b"") -> None:
    if flight.worker.link is not None:
        flight.worker.link.send(HostReply(flight.exec_id, call.call_id, status, data))

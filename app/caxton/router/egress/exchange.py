"""One guest's request, from its first connection to the last byte of its answer.

Owns redirects, sizes and time. Must never follow a redirect that was not checked like a request, and never keeps a
connection: nothing of one agent's is left for another.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final

import httpcore
import msgspec

from caxton.router.egress.network import CheckedNetwork, Refused
from caxton.router.egress.origins import follow, is_granted
from caxton.router.egress.request import Outgoing, answer_json, redirected

MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class TooLarge(Exception):
    """A body over its limit."""


class Got(msgspec.Struct, frozen=True):
    """An answer. `data` is what the guest reads; `body` what the other side sent."""

    status: int
    url: str
    data: bytes
    body: bytes
    redirects: int


async def exchange(
    request: Outgoing,
    grants: Sequence[str],
    network: CheckedNetwork,
    tls: ssl.SSLContext,
    node_headers: Sequence[tuple[str, str]],
    max_bytes: int,
) -> Got:
    """The answer; raises `Refused`, `TooLarge`, `TimeoutError`, or what `httpcore` finds wrong."""
    if len(request.body) > max_bytes:
        raise TooLarge(f"a body of {len(request.body)} bytes; {max_bytes} are sent at most")
    async with asyncio.timeout(request.timeout_seconds):
        for hop in range(MAX_REDIRECTS + 1):
            if not is_granted(request.target, grants):
                raise Refused(f"{request.target.origin} is not in grants.http")
            status, headers, body = await _one(request, network, tls, node_headers, max_bytes)
            location = next((value for name, value in headers if name.lower() == b"location"), None)
            if status not in _REDIRECTS or location is None:
                url = request.target.url
                return Got(status, url, answer_json(status, url, headers, body), body, hop)
            try:
                request = redirected(request, status, follow(request.target, location.decode("latin-1")))
            except ValueError as error:
                raise Refused(f"redirect: {error}") from None
    raise TooLarge(f"more than {MAX_REDIRECTS} redirects")


async def _one(
    request: Outgoing,
    network: CheckedNetwork,
    tls: ssl.SSLContext,
    node_headers: Sequence[tuple[str, str]],
    max_bytes: int,
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    target = request.target
    url = httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
    )
    headers = [("host", target.authority), *request.headers, *node_headers]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        headers.append(("content-length", str(len(request.body))))
    async with httpcore.AsyncConnectionPool(
        ssl_context=tls, max_connections=1, max_keepalive_connections=0, network_backend=network
    ) as pool:
        raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
        async with pool.stream(request.method, url, headers=raw, content=request.body) as response:
            body = bytearray()
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > max_bytes:
                    raise TooLarge(f"the answer has more than {max_bytes} bytes")
            return response.status, response.headers, bytes(body)

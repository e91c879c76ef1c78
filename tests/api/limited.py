"""A node with authentication and tight limits, and clients of it: many identities, from any address.

Owns tokens and requests. The node trusts loopback as a proxy, so a test chooses its client's address.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from api.checks import BASE
from api.conftest import brief_node

from caxton.protocol.access import Role
from support import credentials, wat
from support.node import Node

BURST = 10
STRANGERS = 5
SLOWLY = 0.01
"""Tokens a second: none comes back while a test runs."""
GUARD = {
    "auth_enabled": True,
    "jwt_secret": credentials.SECRET,
    "trusted_proxies": ["127.0.0.0/8"],
    "rate_limit_enabled": True,
    "rate_limit_per_second": SLOWLY,
    "rate_limit_burst": BURST,
    "unauthenticated_per_second": SLOWLY,
    "unauthenticated_burst": STRANGERS,
}
_numbers = itertools.count(1)


@contextmanager
def limited_node(workers: int = 1, **security: Any) -> Iterator[Node]:
    """With the agent `echo`."""
    with brief_node(security={**GUARD, **security}, networking={"workers": workers}) as made:
        # a busy machine compiles for long: whoever asks for the job again and again is somebody else each time
        made.client.event_hooks = {"request": [lambda request: request.headers.update(identity())]}
        made.deploy("echo", wat.ECHO)
        yield made


def identity(subject: str = "") -> dict[str, str]:
    """The headers of somebody who has never asked, at an address of their own; or of `subject`."""
    number = next(_numbers)
    return bearer(subject or f"subject{number}") | at(f"10.1.{number // 250}.{number % 250 + 1}")


def bearer(subject: str) -> dict[str, str]:
    """The header of an administrator of this name, wherever."""
    return credentials.bearer(Role.ADMIN, subject)


def at(address: str) -> dict[str, str]:
    """The header by which a balancer says whose request it is."""
    return {"X-Forwarded-For": address}


def ask(node: Node, method: str, path: str, headers: dict[str, str], **body: Any) -> httpx.Response:
    """One request on a connection of its own, below the API's base."""
    with httpx.Client(verify=False, timeout=60) as client:  # to read the certificates of others takes long
        return client.request(method, node.url + BASE + path, headers=headers, **body)


def plain(node: Node, headers: dict[str, str]) -> httpx.Response:
    """By the fast lane, or Flask where the node has none."""
    return ask(node, "POST", "/agents/echo/invoke", headers, json={})


def flask(node: Node, headers: dict[str, str]) -> httpx.Response:
    return ask(node, "GET", "/agents", headers)


def batch(node: Node, headers: dict[str, str], count: int) -> httpx.Response:
    message = {"receiver": "echo", "performative": "inform"}
    return ask(node, "POST", "/messages", headers, json=[message] * count)

"""Nodes that speak TLS, and clients that say which TLS they speak."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.conftest import furnished

from support.authority import Authority, Pair
from support.node import Node


@contextmanager
def encrypted(authority: Authority, pair: Pair, *, shown: Pair | None = None, **networking: Any) -> Iterator[Node]:
    """A node with the agent `echo`, and this certificate; its client shows `shown`."""
    tls = {"tls_enabled": True, "tls_cert_path": pair.certificate, "tls_key_path": pair.key, **networking}
    with furnished(trust=authority.context(shown), networking=tls) as made:
        yield made


def handshake(node: Node, context: ssl.SSLContext, seconds: float = 10.0) -> ssl.SSLSocket:
    """A connection of its own, after its handshake."""
    plain = socket.create_connection(("127.0.0.1", node.port), seconds)
    try:
        return context.wrap_socket(plain, server_hostname="127.0.0.1")
    except BaseException:
        plain.close()
        raise


def shown_by(node: Node, context: ssl.SSLContext) -> bytes | None:
    """The certificate that a new connection gets, in DER."""
    with handshake(node, context) as connection:
        return connection.getpeercert(binary_form=True)


def old_version(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client of exactly this version, which itself refuses nothing."""
    context = authority.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


def log_of(node: Node) -> str:
    """Everything that the node's processes said."""
    return node.log.read_text()

"""`POST /internal/v1/link`: the way of another node to this node's router (spec/cluster.md, "Between nodes").

Owns who comes through: nodes of the cluster, by the certificate that they show in the handshake of TLS. Internal
paths refuse everybody else, and credentials do not matter there. Must never read what a node asks: the router does.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final

import gevent
import msgspec

from caxton.api.gateway import Gateway
from caxton.api.plain import Environ
from caxton.api.splice import Splice
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.operations import Call, Fail, FromRouter
from caxton.protocol.peers import LINK_PATH, LINK_UPGRADE, LINK_VERSION, PeerOpen, certificate_name

PREFIX: Final = "/internal/"
TAKEN_OVER: Final = "caxton.taken_over"
"""Where the environ has what goes on with the connection, instead of an answer."""
_ROUTER_SECONDS: Final = 5.0
_SILENT_BEATS: Final = 10
_MARGIN_SECONDS: Final = 10.0
_decode: Final = msgspec.msgpack.Decoder(FromRouter).decode
_VERSIONS: Final = {f"caxton-link/{version}": version for version in range(1, LINK_VERSION + 1)}


class Links:
    """What this node answers to other nodes. One for each worker."""

    def __init__(self, gateway: Gateway) -> None:
        config = gateway.config
        self._limits = gateway.limits
        self._clustered = config.coordination.cluster_enabled
        self._router = str(config.paths.router_socket)
        # Whoever is connected sends a heartbeat at every interval: silence means that nobody is there any more.
        silence = _SILENT_BEATS * config.coordination.heartbeat_interval
        self._seconds = max(silence, config.coordination.detection_timeout) + _MARGIN_SECONDS

    def open(self, environ: Environ) -> Splice:
        """The way to the router, once it has let the node in; raises the refusal."""
        node = self._admitted(environ)
        if environ["PATH_INFO"] != LINK_PATH:
            raise _nothing_here()
        if environ["REQUEST_METHOD"] != "POST":
            raise CaxtonError(Code.METHOD_NOT_ALLOWED, f"POST {LINK_PATH} opens a link", expected="POST")
        version = _VERSIONS.get(environ.get("HTTP_UPGRADE", ""))
        if version is None:
            raise CaxtonError(
                Code.INVALID_REQUEST, "this opens a link between nodes", path="Upgrade", expected=LINK_UPGRADE
            )
        opening = PeerOpen(node, version, environ.get("REMOTE_ADDR", ""))
        return Splice(_let_in(self._router, opening), self._seconds)

    def _admitted(self, environ: Environ) -> str:
        """The node's name; everybody else pays as a visitor and is refused."""
        shown = environ.get("gunicorn.socket")
        node = certificate_name(shown.getpeercert()) if isinstance(shown, ssl.SSLSocket) else None
        if self._clustered and node is not None:
            return node
        self._limits.visited(environ)
        if not self._clustered:
            raise _nothing_here()
        raise CaxtonError(
            Code.FORBIDDEN,
            "this is for other nodes of the cluster; their certificate opens it, and nothing else",
        )


def _nothing_here() -> CaxtonError:
    return CaxtonError(Code.NOT_FOUND, "there is nothing at this internal path")


def _let_in(path: str, opening: PeerOpen) -> Any:
    """A connection to the router which is the node's own; raises what the router says against it."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with gevent.Timeout(_ROUTER_SECONDS, TimeoutError("no answer")):
            sock.connect(path)
            sock.sendall(encode_frame(Call(0, "peer.open", msgspec.msgpack.encode(opening))))
            answer = _first_frame(sock)
    except OSError:
        sock.close()
        raise CaxtonError(Code.NOT_READY, "this node's router cannot be reached", retry_after_seconds=1) from None
    except BaseException:
        sock.close()
        raise
    if isinstance(answer, Fail):
        sock.close()
        raise CaxtonError.from_body(answer.error)
    return sock


def _first_frame(sock: Any) -> Any:
    frames = FrameDecoder()
    while data := sock.recv(4096):
        for body in frames.feed(data):
            return _decode(body)
    raise ConnectionError("closed")

"""Asks the router of this host, over its Unix socket.

Owns a small synchronous client of `protocol/operations`. Must never be used where HTTP would do:
who may open the socket is the node's own user.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, Final

import msgspec

from caxton.cli.state import State
from caxton.config import Loaded, load
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.operations import Call, Fail, FromRouter, Reply

TIMEOUT_SECONDS: Final = 30.0
_NEEDED: Final = frozenset({"coordination.local_state_path"})
"""Without it nobody knows where the node is."""


def configuration(state: State) -> Loaded:
    """The configuration of the node on this host, found as `serve` finds it.

    An operator's shell has not the secrets that the node's units have: they may be missing here.
    """
    return load(state.config_file, os.environ, needed=_NEEDED)


def ask_router(state: State, op: str, arguments: msgspec.Struct, *, timeout: float = TIMEOUT_SECONDS) -> Any:
    """One operation on the local router; the decoded result."""
    return call(configuration(state).config.paths.router_socket, op, arguments, timeout)


def call(path: Path, op: str, arguments: msgspec.Struct, timeout: float = TIMEOUT_SECONDS) -> Any:
    """One call over the socket at `path`; `UNREACHABLE` when nobody answers there within `timeout` seconds."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(encode_frame(Call(1, op, msgspec.msgpack.encode(arguments))))
            answer = _read(connection)
    except OSError as error:
        raise CaxtonError(
            Code.UNREACHABLE,
            f"cannot reach the router at {path}: {error.strerror or error}. The node must run here, as this user",
            path=str(path),
        ) from error
    if isinstance(answer, Fail):
        raise CaxtonError.from_body(answer.error)
    return msgspec.json.decode(answer.result)


def _read(connection: socket.socket) -> Reply | Fail:
    frames, decoder = FrameDecoder(), msgspec.msgpack.Decoder(FromRouter)
    while data := connection.recv(65_536):
        for body in frames.feed(data):
            answer = decoder.decode(body)
            if isinstance(answer, Reply | Fail):
                return answer
    raise ConnectionResetError(104, "the router closed the connection")

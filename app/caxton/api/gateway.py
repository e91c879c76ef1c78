"""What every view needs: the configuration, the router, who is calling.

Owns the wiring of one API application. Must never know a resource.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from flask import current_app, request

from caxton.api import permissions
from caxton.api.auth import CALLER, Authenticator
from caxton.api.denials import Denials
from caxton.api.router_client import RouterClient
from caxton.api.trace import ENVIRON_KEY, Trace
from caxton.config import Config
from caxton.protocol.access import Caller, Permission

EXTENSION: Final = "caxton"


class Gateway:
    """The parts of an API application, made once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.router = RouterClient(str(config.paths.router_socket))
        self.authenticator = Authenticator(config, self.router)
        self.denials = Denials(self.router)
        self.timeout = config.networking.request_timeout
        self.max_content = config.messaging.max_message_size

    def caller(self, environ: dict[str, Any]) -> Caller:
        """Who calls, or `UNAUTHORIZED`."""
        return self.authenticator.caller(environ)

    def admit(self, environ: dict[str, Any], permission: Permission) -> Caller:
        """Who calls, if that is enough for the permission; `UNAUTHORIZED` or `FORBIDDEN`."""
        caller = self.authenticator.caller(environ)
        permissions.require(caller, permission)
        return caller


def gateway() -> Gateway:
    """The gateway of the application that serves this request."""
    found: Gateway = current_app.extensions[EXTENSION]
    return found


def trace() -> Trace:
    """The ids of this request."""
    found: Trace = request.environ[ENVIRON_KEY]
    return found


def client_fd(environ: dict[str, Any]) -> int:
    """The descriptor of the client's connection, or -1 outside of gunicorn."""
    sock = environ.get("gunicorn.socket")
    return sock.fileno() if sock is not None else -1


def ask(op: str, args: msgspec.Struct, *, timeout: float | None = None) -> bytes:
    """One operation of the router; its result as JSON text."""
    here, environ = gateway(), request.environ
    return here.router.call(
        op, args, timeout=timeout or here.timeout, fd=client_fd(environ), caller=environ.get(CALLER)
    )

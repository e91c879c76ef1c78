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
from caxton.api.limits import Limits
from caxton.api.router_client import RouterClient
from caxton.api.trace import ENVIRON_KEY, Trace
from caxton.config import Config
from caxton.protocol.access import Caller, Permission
from caxton.protocol.errors import CaxtonError, Code

EXTENSION: Final = "caxton"


class Gateway:
    """The parts of an API application, made once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.router = RouterClient(str(config.paths.router_socket))
        self.authenticator = Authenticator(config, self.router)
        self.limits = Limits(config)
        self.denials = Denials(self.router)
        self.timeout = config.networking.request_timeout
        self.max_content = config.messaging.max_message_size

    def caller(self, environ: dict[str, Any]) -> Caller:
        """Who calls, who has paid for this request then; `UNAUTHORIZED` or `RATE_LIMITED`."""
        found: Caller | None = environ.get(CALLER)
        return self._log_in(environ) if found is None else found

    def _log_in(self, environ: dict[str, Any]) -> Caller:
        try:
            self.limits.before_login(environ)
            caller = environ[CALLER] = self.authenticator.identify(environ)
        except CaxtonError as error:
            self._not_logged_in(environ, error.code)
            raise
        self.limits.admit(environ, caller)
        return caller

    def _not_logged_in(self, environ: dict[str, Any], code: Code) -> None:
        """An attempt that was refused unlooked at has paid nothing, and gets nothing back."""
        if code is Code.UNAUTHORIZED:
            self.limits.login_failed(environ)
        elif code is not Code.RATE_LIMITED:
            self.limits.login_not_failed(environ)

    def admit(self, environ: dict[str, Any], permission: Permission) -> Caller:
        """As `caller`, if that is enough for the permission; else `FORBIDDEN`."""
        caller = self.caller(environ)
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

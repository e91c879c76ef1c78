"""Gunicorn, set up from the configuration: the public API, or the admin server.

Owns every gunicorn setting. Must never be imported before gevent has patched the process (`__main__`).
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from caxton import config as configuration
from caxton.api import spans
from caxton.api.app import create_admin_app, create_app
from caxton.api.certificates import Certificates
from caxton.api.front import Front
from caxton.api.tokens import Verifier
from caxton.api.worker_class import CaxtonWorker
from caxton.config import Config, split_address
from caxton.protocol.errors import CaxtonError
from caxton.telemetry import event, set_up_logging

LINE_BYTES = 8190
HEADER_BYTES = 8190
HEADERS = 100
_SHARED = "/dev/shm"  # nosec B108 # gunicorn makes a file without a name in it
SHORT_CUT_VARIABLE = "CAXTON_API_SHORT_CUT"
"""`off` serves the hot routes through Flask too: to compare the two ways, in tests and in benchmarks."""


class OwnLog(Logger):  # type: ignore[misc]  # gunicorn ships no types; it is extended by subclassing
    """What gunicorn itself has to say, as lines like any other, where all others are."""

    def setup(self, cfg: Any) -> None:
        """Called at start, and with each configuration that is read again."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def settings(config: Config, certificates: Certificates | None, *, admin: bool) -> dict[str, Any]:
    """Gunicorn's settings by name. TLS is none of them: its handshakes know no end, nor does its certificate."""
    net = config.networking
    workers = 1 if admin else net.workers
    binds = [net.admin_address, net.metrics_address] if admin else [net.bind_address]
    return {
        "bind": binds if config.observability.enable_metrics or not admin else binds[:1],
        "workers": workers,
        "worker_class": _worker_class(config, certificates),
        "sendfile": False,  # it writes past TLS
        "worker_connections": max(1, net.max_connections // workers),
        "keepalive": int(net.keepalive_timeout),
        "timeout": 60,
        "graceful_timeout": net.graceful_seconds,
        "limit_request_line": LINE_BYTES,
        "limit_request_fields": HEADERS,
        "limit_request_field_size": HEADER_BYTES,
        "worker_tmp_dir": _SHARED if os.access(_SHARED, os.W_OK) else None,
        "preload_app": True,
        "control_socket_disable": True,
        "proc_name": "caxton-admin" if admin else "caxton-api",
        "accesslog": None,
        "logger_class": OwnLog,
        "loglevel": "warning",
        # What proxies say is read in one place, for gunicorn's requests and the fast lane's: `proxies`.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "reuse_port": False,
        "when_ready": _compare_sockets,
    }


class Master(Arbiter):  # type: ignore[misc]  # gunicorn ships no types; it is extended by subclassing
    """Gunicorn's master, which replaces its workers only by workers that have another configuration to serve."""

    def handle_hup(self) -> None:
        """A configuration that does not hold changes nothing, and so ends nobody's connection."""
        if self.app.prepare():
            super().handle_hup()

    def manage_workers(self) -> None:
        """About once a second. Workers that come later inherit the certificate that is good now."""
        self.app.refresh_certificates()
        super().manage_workers()


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types; it is extended by subclassing
    """One gunicorn master. On HUP it reads the configuration again and replaces its workers, if that holds."""

    def __init__(self, path: Path | None, *, admin: bool) -> None:
        self._path = path
        self._admin = admin
        self._config: Config | None = None
        self._prepared: Config | None = None
        self._certificates: Certificates | None = None
        super().__init__()

    def run(self) -> None:
        """Until the master ends."""
        Master(self).run()

    def prepare(self) -> bool:
        """Whether the configuration, read again, holds; `load_config` takes it then."""
        assert self._config is not None
        try:
            fresh = configuration.load(self._path, os.environ).config
            self._certificates_of(fresh)
            Verifier(fresh.security)
        except CaxtonError as error:
            event("reload refused, the configuration stays as it was", logging.ERROR, reason=error.message)
            return False
        self._prepared = _where_it_listens(self._config, fresh)
        return True

    def load_config(self) -> None:
        """Called at start, and on HUP after `prepare`. A file that does not hold ends a start."""
        self._take(self._prepared or configuration.load(self._path, os.environ).config)

    def _take(self, config: Config) -> None:
        self._config = config
        self._certificates = self._certificates_of(config)
        service = "admin" if self._admin else "api"
        set_up_logging(config.observability, service)
        spans.set_up(config, service)
        self.callable = None
        for name, value in settings(config, self._certificates, admin=self._admin).items():
            if value is not None:
                self.cfg.set(name, value)

    def _certificates_of(self, config: Config) -> Certificates | None:
        """None where plain HTTP is spoken: administration and metrics are."""
        return Certificates(config.networking) if config.networking.tls_enabled and not self._admin else None

    def refresh_certificates(self) -> None:
        """Takes over a certificate that was renewed meanwhile, and says so; the workers do it for themselves."""
        if self._certificates is not None:
            self._certificates.refresh(tell=True)

    @property
    def address(self) -> str:
        """Where the public API should listen."""
        assert self._config is not None
        return self._config.networking.bind_address

    def load(self) -> Front:
        """The WSGI callable; no connection is opened here, so it may be made before the fork."""
        assert self._config is not None
        if self._admin:
            return create_admin_app(self._config)
        return create_app(self._config, short_cut=os.environ.get(SHORT_CUT_VARIABLE) != "off")


def serve(path: Path | None, *, admin: bool) -> None:
    """Runs until SIGTERM or SIGINT. The public API takes the socket that its service manager has, if there is one."""
    if admin:
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Server(path, admin=admin).run()


def _where_it_listens(held: Config, fresh: Config) -> Config:
    """`fresh` with the addresses of `held`: a socket, and what is spoken there, changes with its owner's restart."""
    names = ("bind_address", "metrics_address", "admin_address", "tls_enabled")
    kept = {name: getattr(held.networking, name) for name in names}
    return dataclasses.replace(fresh, networking=dataclasses.replace(fresh.networking, **kept))


def _compare_sockets(arbiter: Any) -> None:
    """Says so when the inherited socket is not what the configuration, and whoever reads it, takes for the API's."""
    if not arbiter.systemd:
        return
    address = arbiter.app.address
    host, port = split_address(address)
    inherited = [listener.sock.getsockname() for listener in arbiter.LISTENERS]
    hosts = {host, inherited[0][0]} if host[:1].isalpha() else {host}  # of a name we only compare the port
    if not any(one[1] == port and one[0] in hosts for one in inherited if isinstance(one, tuple)):
        event(
            "the inherited socket is not [networking] bind_address; restart caxton-settings and caxton.socket",
            logging.WARNING,
            inherited=[str(one) for one in inherited],
            bind_address=address,
        )


def _worker_class(config: Config, certificates: Certificates | None) -> type[CaxtonWorker]:
    """The worker with this configuration's deadlines, limits and TLS: gunicorn has no settings to carry them."""
    net = config.networking
    values = {
        "connection_seconds": net.connection_timeout,
        "request_seconds": net.request_timeout,
        "connections_per_address": -(-net.max_connections_per_address // net.workers),
        "trusted_proxies": config.security.trusted_proxies,
        "certificates": certificates,
        "takes_nodes": config.coordination.cluster_enabled and certificates is not None,
    }
    return type("ConfiguredWorker", (CaxtonWorker,), values)

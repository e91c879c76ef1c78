"""The parent of a node: starts the children, starts again what dies, ends all in order.

Owns the loop and its signals. Must never have a thread: children are forked.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from caxton.config import Loaded, changed, load, reloaded
from caxton.protocol.errors import CaxtonError, Code
from caxton.serve import preflight
from caxton.serve.children import Child
from caxton.serve.plan import environment, specs
from caxton.serve.ready import banner, reasons_not_ready
from caxton.telemetry import event, set_level, set_up_logging

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_TICK_SECONDS: Final = 0.2
FAILURES_BEFORE_READY: Final = 5
"""A child that fails this often in a row, before the node was ever ready, will not get better by itself."""
SLOW_START_SECONDS: Final = 15.0


def run(path: Path | None, environ: Mapping[str, str]) -> None:
    """Runs a node until SIGTERM or SIGINT. `CaxtonError` when it cannot start."""
    loaded = load(path, environ)
    set_up_logging(loaded.config.observability, "serve")
    os.umask(0o027)
    preflight.make_directories(loaded.config)
    with preflight.only_node(loaded.config.paths.data):
        preflight.require_free_ports(loaded.config)
        limited = preflight.raise_descriptor_limit(loaded.config)
        for warning in [*loaded.warnings, *preflight.unenforced(loaded), *([limited] if limited else [])]:
            event(warning, logging.WARNING)
        # Blocked here and taken by sigtimedwait, so that none is lost between two steps; children unblock them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        Node(loaded, environ).run()


class Node:
    """The children of one node, and what is asked of them."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str]) -> None:
        self._loaded = loaded
        self._environ = environ
        own = environment(environ)
        self._children = [Child(spec, own) for spec in specs(loaded.config, loaded.file)]
        self._ready = False
        self._told_slow = False
        self._started = time.monotonic()
        self._terminal = _has_terminal()

    def run(self) -> None:
        """Until a signal ends it; `CaxtonError` when a child cannot start."""
        try:
            while not self._ends_by(signal.sigtimedwait(_SIGNALS, self._tick())):
                pass
        finally:
            self._stop()

    def _ends_by(self, received: signal.struct_siginfo | None) -> bool:
        number = received.si_signo if received else None
        if number in (signal.SIGTERM, signal.SIGINT):
            return True
        if number == signal.SIGHUP:
            if self._terminal and not _has_terminal():
                return True  # the window was closed: nobody asked for a reload
            self._reload()
        return False

    def _tick(self) -> float:
        """Notices what ended, starts what is due, asks for readiness; answers how long to wait for a signal."""
        now = time.monotonic()
        for child in self._children:
            status = child.ended()
            if status is not None:
                self._ended(child, status)
            if child.pid is None and child.next_start <= now:
                child.start()
                event("started", child=child.spec.name, pid=child.pid)
        if not self._ready:
            self._ask_ready(now)
        return _TICK_SECONDS

    def _ended(self, child: Child, status: int) -> None:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        event("child ended", logging.ERROR, child=child.spec.name, how=how, failures=child.failures)
        if not self._ready and child.failures >= FAILURES_BEFORE_READY:
            raise CaxtonError(
                Code.NOT_READY,
                f"the {child.spec.name} ended {child.failures} times before the node was ready ({how}); "
                "its own message is above. The configuration: caxton config check",
                child=child.spec.name,
                how=how,
            )

    def _ask_ready(self, now: float) -> None:
        reasons = reasons_not_ready(self._loaded.config)
        if not reasons:
            self._ready = True
            print(banner(self._loaded.config), flush=True)
        elif now - self._started > SLOW_START_SECONDS and not self._told_slow:
            self._told_slow = True
            event("still not ready", logging.WARNING, reasons=reasons)

    def _reload(self) -> None:
        try:
            fresh = load(self._loaded.file, self._environ)
        except CaxtonError as error:
            event("reload refused, the old configuration holds", logging.ERROR, reason=error.message)
            return
        applied, restart = changed(self._loaded.config, fresh.config)
        for key in restart:
            event("changed, but needs a restart of the node", logging.WARNING, key=key)
        # Only what a reload applies: the next one names again what still waits for a restart.
        self._loaded = replace(fresh, config=reloaded(self._loaded.config, fresh.config))
        set_level(self._loaded.config.observability.log_level)
        for child in self._children:
            if child.spec.reloads:
                child.signal(signal.SIGHUP)
        event("configuration read again", applied=applied, restart=restart)

    def _stop(self) -> None:
        event("stopping")
        for child in reversed(self._children):
            if not child.stop():
                event("killed, it did not end in time", logging.WARNING, child=child.spec.name)
        event("stopped")


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True

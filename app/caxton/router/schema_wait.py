"""A router whose database has another schema: it says so, and goes on when the schema fits.

Owns the time before the data directory is taken. Must never hold its lock or write to the database: the upgrade
runs beside it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from caxton import __version__
from caxton.config import Config
from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import OPERATIONS
from caxton.protocol.views import Readiness
from caxton.router.connection import Operation, Sink
from caxton.router.server import Server
from caxton.store import schema_problem
from caxton.telemetry import notify

REASON: Final = "schema"
POLL_SECONDS: Final = 0.5
_NOT_READY: Final = Readiness(False, [REASON])
_SAID: Final = {"versions": {"router": __version__}}
"""What is known of the numbers meanwhile, for whoever looks what is wrong."""
log = logging.getLogger(__name__)


async def until_current(config: Config) -> bool:
    """Returns True as soon as this release can work with the database; False when told to stop first.

    Until then every operation is refused with the reason, but `ready`, which answers `schema`. The service manager
    is told that the service is ready: ending would only have it started again.
    """
    problem = schema_problem(config.paths.database)
    if problem is None:
        return True
    log.critical("the node takes no work: %s", problem.message)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    current = problem
    server = Server({name: _operation(name, lambda: current) for name in OPERATIONS})
    await server.start(config.paths.router_socket)
    notify.notify("READY=1")
    vitals = notify.Vitals()
    try:
        while not stop.is_set():
            vitals.beat(f"not ready: {REASON}; {current.message}", well=True)
            await _either(stop, min(POLL_SECONDS, vitals.pause))
            found = _look(config.paths.database, current)
            if found is None:
                log.warning("the schema fits now: the node starts")
                return True
            current = found
        notify.notify("STOPPING=1")
        return False
    finally:
        await server.close()


def _look(database: Path, before: CaxtonError) -> CaxtonError | None:
    """What is wrong with the schema now; a database that cannot be read this moment is being upgraded."""
    try:
        return schema_problem(database)
    except CaxtonError:
        return before


async def _either(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


def _operation(name: str, problem: Callable[[], CaxtonError]) -> Operation:
    decode = msgspec.msgpack.Decoder(OPERATIONS[name][0]).decode
    if name == "ready":
        return Operation(decode, _ready)
    return Operation(decode, _refusing(problem, **(_SAID if name == "stats" else {})))


async def _ready(_args: Any, _sink: Sink, _caller: Caller) -> Readiness:
    return _NOT_READY


def _refusing(problem: Callable[[], CaxtonError], **said: object) -> Callable[[Any, Sink, Caller], Any]:
    async def refuse(_args: Any, _sink: Sink, _caller: Caller) -> None:
        raise not_ready(problem(), **said)

    return refuse


def not_ready(problem: CaxtonError, **said: object) -> CaxtonError:
    """`NOT_READY` with what is to be done, whatever the schema's own code is: clients wait or ask another node."""
    shown = {key: value for key, value in problem.details.items() if key != "database"}
    return CaxtonError(Code.NOT_READY, problem.message, **{**shown, **said, "reasons": [REASON]})

"""The life of a router: open, recover, serve, drain, close.

Owns the order of these steps and the exit code. Must never answer a call itself.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

from caxton import __version__
from caxton.config import Config, Loaded, node_name, show
from caxton.provenance import Trust
from caxton.router import boot, readiness, reclaim, retention, vitals
from caxton.router.auditing.service import Audit
from caxton.router.cluster import announce, assembly
from caxton.router.cluster.forwarding_assembly import furnish, recover
from caxton.router.cluster.service import Cluster
from caxton.router.core import Core
from caxton.router.desk import Desk
from caxton.router.events import EventBus
from caxton.router.jobs import Jobs
from caxton.router.marks import Marks
from caxton.router.modules import ModuleFiles
from caxton.router.operations import gate as ops_gate
from caxton.router.operations.table import make_operations
from caxton.router.recordings import Recordings
from caxton.router.reload import reload
from caxton.router.server import Server
from caxton.router.tracing.exporter import SpanExporter
from caxton.store import Store
from caxton.telemetry import notify

EXIT_OK: Final = 0
EXIT_STORE_FAILED: Final = 70
STOP_SECONDS: Final = 30.0
"""How long running executions may take to end after SIGTERM; what is pending waits for the next start."""

log = logging.getLogger(__name__)


async def serve(loaded: Loaded, store: Store, load: Callable[[], Loaded]) -> int:
    """Serves until SIGTERM or SIGINT, or until a commit fails; answers the exit code. SIGHUP: `load` again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    desk = make_desk(loaded.config, store)
    desk.settings = show(loaded)
    loop.add_signal_handler(signal.SIGHUP, reload, desk, load)
    server = Server(make_operations(desk))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(desk.exporter.stop)
        desk.exporter.start()
        stack.push_async_callback(desk.audit.close)
        stack.push_async_callback(_say_goodbye, desk)
        stack.push_async_callback(_end_tasks, desk)
        await desk.audit.started(version=__version__, agents=len(desk.registry))
        ops_gate.apply_marks(desk)
        await boot.start_core(desk)
        if desk.cluster is not None:
            recover(desk.cluster)
        await boot.resume(desk)
        stack.push_async_callback(server.close)
        stack.callback(desk.recordings.close)
        await server.start(desk.config.paths.router_socket)
        desk.spawn(desk.audit.tidy(lambda: retention.of_audit(desk)))
        for work in (vitals.tell(desk), retention.sweep_for_ever(desk), readiness.watch(desk), reclaim.watch(desk)):
            desk.spawn(work)
        if desk.cluster is not None:
            desk.spawn(_in_the_cluster(desk, desk.cluster))
        notify.notify("READY=1")
        desk.events.publish("node.started", {"node": desk.node, "agents": len(desk.registry)})
        log.info("router serves at %s with %d agents", desk.config.paths.router_socket, len(desk.registry))
        failed = await _until(stop, desk.core)
        if failed is not None:
            log.critical("the router cannot go on and ends; everything goes on from the last commit: %s", failed)
            return EXIT_STORE_FAILED
        await _drain(desk)
    return EXIT_OK


def make_desk(config: Config, store: Store) -> Desk:
    """The parts of a router, not started yet."""
    registry = boot.fill_registry(store)
    events = EventBus()
    core = Core(config, store, registry, events.publish)
    store.writer.took = core.meters.commits.add
    recordings = core.results.recordings = Recordings(config.paths.data)
    node = node_name(config)
    audit = Audit(config.paths.audit, node)
    desk = Desk(
        config=config,
        store=store,
        registry=registry,
        core=core,
        events=events,
        jobs=Jobs(core.commit, audit.job_ended),
        modules=ModuleFiles(config.paths.modules),
        node=node,
        marks=Marks(config.paths.data),
        audit=audit,
        exporter=SpanExporter(config),
        recordings=recordings,
        trust=Trust.load(config.security.trusted_keys),
    )
    if config.coordination.cluster_enabled:
        desk.cluster = assembly.make_cluster(desk)
        furnish(desk, desk.cluster)
    return desk


async def _in_the_cluster(desk: Desk, cluster: Cluster) -> None:
    """An error that nobody expected ends the router: better started again than alive and outside of its cluster."""
    try:
        await assembly.run(desk, cluster)
    except Exception as error:
        log.exception("this node's part in the cluster has ended")
        if not desk.core.failed.done():
            desk.core.failed.set_result(error)


async def _until(stop: asyncio.Event, core: Core) -> Exception | None:
    """Returns at the stop signal with None, or with the error of the commit that failed."""
    stopping = asyncio.ensure_future(stop.wait())
    waiting: set[asyncio.Future[Any]] = {stopping, core.failed}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return core.failed.result() if core.failed.done() else None
    finally:
        stopping.cancel()


async def _drain(desk: Desk) -> None:
    desk.draining = True
    notify.notify("STOPPING=1")
    log.info("stopping: running executions have %d s to end", STOP_SECONDS)
    desk.events.publish("node.draining", {"node": desk.node})
    try:
        await asyncio.wait_for(desk.core.stop(), STOP_SECONDS)
    except TimeoutError:
        log.warning("executions still ran after %d s; they run again at the next start", STOP_SECONDS)
    if desk.cluster is not None:  # until now guests have got what they asked of agents elsewhere
        desk.cluster.outboxes.stop()
    desk.events.close()


async def _say_goodbye(desk: Desk) -> None:
    """Only if the node is drained and its stop was asked for: any other comes back in a moment, and is awaited."""
    if desk.cluster is not None and desk.draining and desk.drained:
        await announce.goodbye(desk.cluster)


async def _end_tasks(desk: Desk) -> None:
    for task in list(desk.tasks):
        task.cancel()
    await asyncio.gather(*desk.tasks, return_exceptions=True)
    desk.readers.shutdown(wait=True)

"""What the router's operations work with, in one place.

Owns nothing itself: it names the parts, so that an operation is a plain function of them. Must never grow logic.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from caxton.config import Config, Shown
from caxton.protocol.errors import CaxtonError
from caxton.provenance import Trust
from caxton.router.agents import Registry
from caxton.router.auditing.service import Audit
from caxton.router.cluster.service import Cluster
from caxton.router.core import Core
from caxton.router.events import EventBus
from caxton.router.jobs import Jobs
from caxton.router.marks import Marks
from caxton.router.modules import ModuleFiles
from caxton.router.recordings import Recordings
from caxton.router.tracing.exporter import SpanExporter
from caxton.router.versions.kept import Versions
from caxton.router.versions.live import Rollouts
from caxton.store import Store

READER_THREADS: Final = 2
log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


def _reader_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")


@dataclass(slots=True)
class Desk:
    """The parts of a running router. `node` is its name; `started_at` in seconds since the epoch."""

    config: Config
    store: Store
    registry: Registry
    core: Core
    events: EventBus
    jobs: Jobs
    modules: ModuleFiles
    node: str
    marks: Marks
    audit: Audit
    exporter: SpanExporter
    recordings: Recordings
    cluster: Cluster | None = None
    """None: this node is alone."""
    trust: Trust = field(default_factory=Trust)
    settings: list[Shown] = field(default_factory=list)
    """The configuration with its origins, to be shown."""
    versions: Versions = field(default_factory=Versions)
    rollouts: Rollouts = field(default_factory=Rollouts)
    started_at: float = field(default_factory=time.time)
    draining: bool = False
    """The router is about to end."""
    drained: bool = False
    """An operator wants no work on this node."""
    low_disk: bool = False
    readers: ThreadPoolExecutor = field(default_factory=_reader_threads)
    names: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def read(self, query: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Runs a query of the store in a reader thread: the loop serves on while it takes its time."""
        return await asyncio.get_running_loop().run_in_executor(self.readers, lambda: query(*args, **kwargs))

    def lock(self, name: str) -> asyncio.Lock:
        """The lock that serialises what changes the agent called `name`."""
        return self.names.setdefault(name, asyncio.Lock())

    def spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Runs `work` beside everything else; it is cancelled when the router stops."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, CaxtonError):  # those are answers, told to whoever asked
            log.error("a task of the router failed", exc_info=error)


def require_known(desk: Desk, name: str) -> None:
    """`AGENT_NOT_FOUND` unless an agent has this name, here or elsewhere in the cluster."""
    if desk.cluster is None or not desk.cluster.forwarding.places.exists(name):
        desk.registry.require(name)

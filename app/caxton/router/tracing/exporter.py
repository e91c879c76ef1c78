"""The life of the exporter: started with the router, started again when it ends, ended with it.

Owns that child process and its counts. Must never wait for it while anybody waits for the router.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from typing import Final

import msgspec

from caxton.config import Config, node_name
from caxton.protocol.spans import Counts
from caxton.telemetry.sampling import Sampling
from caxton.telemetry.spans import Export, recorder, set_up_spans, spans_socket

PAUSE_SECONDS: Final = 5.0
PARTING_SECONDS: Final = 4.0
_COMMAND: Final = "caxton.telemetry.exporter"
log = logging.getLogger(__name__)


class SpanExporter:
    """One exporter after the other. `counts` are sums over all of them."""

    def __init__(self, config: Config) -> None:
        settings = config.observability
        Sampling.set_up(settings)
        self._told = b""
        if settings.enable_tracing and settings.otlp_endpoint is not None:
            path = str(spans_socket(config))
            given = Export(path, settings.otlp_endpoint, node_name(config), settings)
            self._told = msgspec.json.encode(given) + b"\n"
        self._before = self._now = Counts()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._config = config

    @property
    def counts(self) -> Counts:
        """What became of the node's spans."""
        return self._before.plus(self._now)

    def start(self) -> None:
        """Does nothing where no traces are wanted."""
        if self._told:
            loop = asyncio.get_running_loop()
            set_up_spans(self._config, "router", loop.call_later)
            self._task = loop.create_task(self._run())

    async def stop(self) -> None:
        """Gives the exporter a moment for the last spans."""
        if self._task is None:
            return
        own = recorder()
        if own is not None:
            own.flush()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), PARTING_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _run(self) -> None:
        while True:
            try:
                await self._one()
            except OSError as error:
                log.warning("the exporter of spans does not start: %s", error)
            self._before, self._now = self.counts, Counts()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _one(self) -> None:
        """From the start of an exporter to its end."""
        pipe = asyncio.subprocess.PIPE
        isolated = ["-I"] if sys.flags.isolated else []
        command = [sys.executable, *isolated, "-m", _COMMAND]
        self._process = process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(self._told)
        while line := await process.stdout.readline():
            with suppress(msgspec.MsgspecError):
                self._now = msgspec.json.decode(line, type=Counts)
        log.warning("the exporter of spans ended with status %s; it is started again", await process.wait())
        self._process = None

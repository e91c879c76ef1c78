"""Workers that die as soon as they start are started again, but not in a storm; slow ones are given more time."""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path

import pytest

from caxton.executor.artifacts import ArtifactCache
from caxton.executor.supervisor.pool import Pool
from caxton.executor.supervisor.settings import Settings


def test_early_deaths_slow_the_starts_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # a module that is no worker: it complains about its argument and exits, which is what a broken one does
    settings = Settings(tmp_path / "s", tmp_path, tmp_path, 1_000_000, (), 0, 1.0, worker_module="json.tool")
    cache = ArtifactCache(tmp_path / "artifacts", "key")
    cache.prepare()
    sent: list[object] = []

    async def run() -> float:
        pool = Pool(settings, cache, "node1", 1, lambda frame, _: sent.append(frame))
        started = asyncio.get_running_loop().time()
        async with asyncio.timeout(60):
            while len(caplog.records) < 5:
                await asyncio.sleep(0.02)
        await pool.close()
        return asyncio.get_running_loop().time() - started

    with caplog.at_level(logging.INFO, "caxton"):
        seconds = asyncio.run(run())
    assert seconds >= 0.1 + 0.2 + 0.4 + 0.8  # four pauses between five starts
    assert sent == []  # the router never knew of them
    cache.close()


def test_a_worker_has_longer_to_be_ready_where_the_one_before_was_too_slow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a host that is busy for a while has none for as long: each is killed before it is ready."""
    # a module that is no worker: it computes for more than a second with its argument, and is never ready
    settings = Settings(
        tmp_path / "s", tmp_path, tmp_path, 1_000_000, (), 0, 1.0, worker_module="timeit", ready_seconds=0.1
    )
    cache = ArtifactCache(tmp_path / "artifacts", "key")
    cache.prepare()

    def late() -> list[float]:
        return [record.created for record in caplog.records if record.getMessage() == "worker not ready in time"]

    async def run() -> None:
        pool = Pool(settings, cache, "node1", 1, lambda *_: None)
        async with asyncio.timeout(60):
            while len(late()) < 5:
                await asyncio.sleep(0.02)
        await pool.close()

    with caplog.at_level(logging.INFO, "caxton"):
        asyncio.run(run())
    waited = [later - earlier for earlier, later in itertools.pairwise(late())]
    assert [seconds >= least for seconds, least in zip(waited, (0.2, 0.4, 0.8, 0.8), strict=True)] == [True] * 4
    cache.close()

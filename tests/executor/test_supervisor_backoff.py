"""Workers that die as soon as they start are started again, but not in a storm; slow ones are given more time."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from pathlib import Path

import pytest

from caxton.executor.artifacts import ArtifactCache
from caxton.executor.supervisor.pool import Pool
from caxton.executor.supervisor.settings import Settings
from caxton.executor.supervisor.vitals import self_check
from caxton.protocol.errors import CaxtonError, Code


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


def never_ready(folder: Path) -> Settings:
    """A module that is no worker: it computes for more than a second with its argument, and is never ready."""
    return Settings(folder / "s", folder, folder, 1_000_000, (), 0, 1.0, worker_module="timeit", ready_seconds=0.1)


def test_the_check_at_the_start_has_the_longest_time_at_once(tmp_path: Path) -> None:
    """It is made once: who ended it early would be started again by the service manager, and again."""
    cache = ArtifactCache(tmp_path / "artifacts", "key")
    cache.prepare()
    begun = time.monotonic()
    with pytest.raises(CaxtonError) as failed:
        asyncio.run(self_check(never_ready(tmp_path), cache))
    assert failed.value.code is Code.NOT_READY
    assert time.monotonic() - begun >= 0.8
    cache.close()


def test_a_worker_has_longer_to_be_ready_where_the_one_before_was_too_slow(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a host that is busy for a while has none for as long: each is killed before it is ready."""
    settings = never_ready(tmp_path)
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

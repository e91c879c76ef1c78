"""Where recordings are kept: never more than allowed, the newest, for their owner alone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.recordings import MAX_PACKED_BYTES
from caxton.router import recordings
from caxton.router.recordings import FOLDER, MAX_BYTES, MAX_COUNT, Recordings

AGENT = "team/one"


def execution(number: int) -> str:
    return f"0123456789ab-{number:x}"


def kept_in(
    data: Path, use: Callable[[Recordings], Awaitable[None]], *, max_count: int = 3, max_bytes: int = 1_000
) -> None:
    """`use` has recordings that keep so much."""

    async def main() -> None:
        made = Recordings(data, max_count, max_bytes)
        try:
            await use(made)
        finally:
            made.close()

    asyncio.run(main())


async def names(made: Recordings, agent: str = AGENT) -> list[int]:
    return [int(name.split("-")[1], 16) for name, _ in await made.names(agent)]


def test_a_node_keeps_what_the_documents_say() -> None:
    assert (MAX_COUNT, MAX_BYTES, MAX_PACKED_BYTES) == (1_000, 64 * 1024 * 1024, MAX_BYTES // 4)


def test_the_newest_are_kept_by_number_and_by_bytes(tmp_path: Path) -> None:
    async def use(made: Recordings) -> None:
        for number in range(5):
            made.keep(AGENT, execution(number), b"x")
        made.keep("other", execution(9), b"y")
        assert await names(made) == [4, 3, 2]
        for number in range(5, 8):
            made.keep(AGENT, execution(number), b"x" * 250)
        made.keep(AGENT, execution(8), b"x" * 251)  # more than a quarter for one
        made.keep(AGENT, execution(7), b"x" * 10)  # the same again is one
        assert await names(made) == [7, 6, 5]
        assert made.figures() == {"counts": {"kept": 10, "dropped": 1}, "bytes": 766}
        with pytest.raises(CaxtonError) as gone:
            await made.get(execution(0))
        assert gone.value.code is Code.NOT_FOUND
        assert await made.get(execution(9)) == b"y"

    kept_in(tmp_path, use)
    files = {file.name: file for file in (tmp_path / FOLDER / AGENT.replace("/", "%")).iterdir()}
    assert sorted(files) == [execution(5), execution(6), execution(7)]
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}
    assert {folder.stat().st_mode & 0o777 for folder in (tmp_path / FOLDER).iterdir()} == {0o700}


def test_four_of_a_quarter_fit_and_a_fifth_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async def use(made: Recordings) -> None:
        for number in range(5):
            made.keep(AGENT, execution(number), b"x" * 250)
        assert await names(made) == [4, 3, 2, 1]

    kept_in(tmp_path, use, max_count=100)


def test_a_later_life_finds_them_and_age_ends_them(tmp_path: Path) -> None:
    async def first(made: Recordings) -> None:
        for number in range(3):
            made.keep(AGENT, execution(number), b"x")

    async def later(made: Recordings) -> None:
        assert await names(made) == [2, 1, 0]
        made.keep(AGENT, execution(3), b"x")
        assert await made.expire(time.time() - 60) == 2
        assert await names(made) == [3, 2]
        made.forget(AGENT)
        assert await names(made) == []

    kept_in(tmp_path, first)
    for number in range(2):
        file = tmp_path / FOLDER / AGENT.replace("/", "%") / execution(number)
        os.utime(file, (number + 1, number + 1))
    kept_in(tmp_path, later, max_count=10)


def test_what_the_disk_does_not_take_is_dropped_and_counted(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")

    async def use(made: Recordings) -> None:
        made.keep(AGENT, execution(1), b"x")
        assert await names(made) == []
        await asyncio.sleep(0)
        assert made.figures() == {"counts": {"kept": 0, "dropped": 1}, "bytes": 0}

    kept_in(tmp_path, use)


def test_no_more_waits_for_the_disk_than_may(tmp_path: Path) -> None:
    async def use(made: Recordings) -> None:
        for number in range(recordings.WAITING + 7):  # nothing is awaited: the loop hears of none that is written
            made.keep(AGENT, execution(number), b"x")
        assert made.counts["dropped"] == 7

    kept_in(tmp_path, use)


def test_one_that_cannot_be_written_takes_no_other_with_it(tmp_path: Path) -> None:
    async def use(made: Recordings) -> None:
        made.keep(AGENT, execution(1), b"x")
        made.keep("no\0name", execution(2), b"x")  # ValueError: no system takes it
        made.keep(AGENT, execution(3), b"x")
        assert await names(made) == [3, 1]
        await asyncio.sleep(0)
        assert made.figures() == {"counts": {"kept": 2, "dropped": 1}, "bytes": 2}

    kept_in(tmp_path, use)


def test_a_stray_file_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "stray").write_text("")

    async def use(made: Recordings) -> None:
        made.keep(AGENT, execution(1), b"x")
        assert await made.get(execution(1)) == b"x"
        with pytest.raises(CaxtonError) as gone:
            await made.get(execution(2))
        assert gone.value.code is Code.NOT_FOUND

    kept_in(tmp_path, use)

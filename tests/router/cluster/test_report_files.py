"""Reports of cuts and a disk that takes nothing: the cluster goes on, and they are written later."""

from __future__ import annotations

import asyncio
from pathlib import Path

from caxton.router.cluster.healing import Healing


def test_a_report_that_cannot_be_written_ends_nothing_and_is_written_later(tmp_path: Path) -> None:
    data = tmp_path / "data"
    healing = Healing(data)
    healing.cuts.parted("n2", 1.0, ["a"], minority=False)
    asyncio.run(healing.keep())  # no such directory: an OSError, as a full disk is one
    data.mkdir()
    asyncio.run(healing.keep())
    assert [(one.node, one.homes) for one in Healing(data).reports()] == [("n2", ["a"])]

"""What an agent had here when it turned out to live elsewhere: kept as a file, for an operator to look into.

Owns these files and their form: frames of msgpack, the first says whose they are, the others are pages of the agent's
tables. Must never delete one, nor let an agent run from it unasked: `caxton cluster adopt … --from FILE` does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.handover import HandoverPage
from caxton.router.agents import Agent
from caxton.router.cluster.homes import Homes
from caxton.router.rows import agent_row
from caxton.store import sync_directory
from caxton.store.departure import ARCHIVED
from caxton.store.reader import Reader

FOLDER: Final = "archive"
SUFFIX: Final = ".agent"
_CHUNK: Final = 1024 * 1024


class Heading(msgspec.Struct, frozen=True, tag="caxton-agent/1"):
    """Whose archive it is. `document`: JSON of the agent's row; `epoch` of the home that it was; `at`: seconds."""

    agent: str
    agent_id: str
    node: str
    epoch: int
    at: float
    document: bytes


def pages(reader: Reader, agent: str) -> Iterator[HandoverPage]:
    """All that a database has of an agent, what waits for it too."""
    number = 0
    for table in ARCHIVED:
        after = None
        while (found := reader.departures.page(agent, table, number, after)) is not None:
            page, after = found
            yield page
            number += 1


async def write_archive(homes: Homes, agent: Agent) -> Path:
    """Everything of the agent, durable in a file below `data/archive`; its path."""
    record = homes.cluster.records.agent(agent.name)
    epoch = 0 if record is None else record.epoch
    heading = Heading(
        agent.name, agent.agent_id, homes.node_id, epoch, time.time(), msgspec.json.encode(agent_row(agent))
    )
    path = await homes.desk.read(_write, homes.desk.config.paths.data / FOLDER, heading, homes.desk.store.reader)
    homes.counts["archived"] += 1
    homes.told("agent.home_archived", agent.name, file=str(path), epoch=epoch)
    return path


def _write(folder: Path, heading: Heading, reader: Reader) -> Path:
    folder.mkdir(mode=0o750, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(heading.at))
    path = folder / f"{quote(heading.agent, safe='')}-{heading.epoch}-{stamp}-{time.time_ns() % 1_000_000:06}{SUFFIX}"
    unfinished = path.with_suffix(".part")
    with unfinished.open("xb") as file:
        os.fchmod(file.fileno(), 0o640)
        file.write(encode_frame(heading))
        for page in pages(reader, heading.agent):
            file.write(encode_frame(page))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync_directory(folder)
    return path


def read_archive(path: Path) -> tuple[Heading, list[HandoverPage]]:
    """The inverse; `msgspec.MsgspecError` or `OSError` for what is no such file."""
    frames: list[bytes] = []
    decoder = FrameDecoder()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            frames += [bytes(frame) for frame in decoder.feed(chunk)]
    if not frames:
        raise msgspec.DecodeError("it is empty")
    heading = msgspec.msgpack.decode(frames[0], type=Heading)
    return heading, [msgspec.msgpack.decode(frame, type=HandoverPage) for frame in frames[1:]]

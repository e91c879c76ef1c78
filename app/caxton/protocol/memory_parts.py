"""Parts of a stored memory: from compressed bytes and changed blocks to what is not zero, and back.

Owns that translation. Must never know whose memory it is.
"""

from __future__ import annotations

from typing import Final

import zstandard

from caxton.protocol.snapshots import BLOCK_BYTES, PART_BYTES

_LEVEL: Final = 1
"""A MiB in 1 to 2 ms; level 3 takes twice as long and is not smaller."""
_ZERO: Final = bytes(BLOCK_BYTES)
Blocks = list[tuple[int, bytes]]


def merged(part: int, data: bytes, blocks: Blocks) -> bytearray:
    """The part as it is in memory. `blocks` by their number in the whole memory."""
    memory = bytearray(PART_BYTES)
    if data:
        before = zstandard.ZstdDecompressor().decompress(data, max_output_size=PART_BYTES)
        memory[: len(before)] = before
    for number, block in blocks:
        at = number * BLOCK_BYTES - part * PART_BYTES
        memory[at : at + BLOCK_BYTES] = block
    return memory


def folded(part: int, data: bytes, blocks: Blocks) -> bytes:
    """The part compressed, without the zeros at its end."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(merged(part, data, blocks).rstrip(b"\0"))


def runs_of(part: int, data: bytes, blocks: Blocks) -> Blocks:
    """What of the part is not zero: offset in the whole memory, bytes."""
    memory = bytes(merged(part, data, blocks))
    runs: Blocks = []
    start: int | None = None
    for at in range(0, PART_BYTES, BLOCK_BYTES):
        zero = memory[at : at + BLOCK_BYTES] == _ZERO
        if zero and start is not None:
            runs.append((part * PART_BYTES + start, memory[start:at]))
            start = None
        elif not zero and start is None:
            start = at
    if start is not None:
        runs.append((part * PART_BYTES + start, memory[start:]))
    return runs

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


def merged(part: int, data: bytes, blocks: Blocks) -> bytes | bytearray:
    """The part as it is in memory; zeros at its end may be missing. `blocks` by their number in the whole memory."""
    before = _unpacked(data) if data else b""
    if not blocks:
        return before  # a MiB is not copied where it need not be
    memory = bytearray(before)
    for number, block in sorted(blocks):
        at = number * BLOCK_BYTES - part * PART_BYTES
        if at > len(memory):
            memory.extend(bytes(at - len(memory)))
        memory[at : at + BLOCK_BYTES] = block
    return memory


def _unpacked(data: bytes) -> bytes:
    """`ZstdError` for no frame, or one of more than a part: the library believes the size that it claims."""
    if zstandard.frame_content_size(data) > PART_BYTES:
        raise zstandard.ZstdError("larger than a part of a memory")
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=PART_BYTES)


def folded(part: int, data: bytes, blocks: Blocks) -> bytes:
    """The part compressed, without the zeros at its end."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(merged(part, data, blocks).rstrip(b"\0"))


def runs_of(part: int, data: bytes, blocks: Blocks) -> list[tuple[int, memoryview]]:
    """What of the part is not zero, by whole blocks: offset in the whole memory, bytes."""
    memory = merged(part, data, blocks)
    view = memoryview(memory)
    runs: list[tuple[int, memoryview]] = []
    start: int | None = None
    for at in range(0, len(memory), BLOCK_BYTES):
        zero = memory.startswith(_ZERO, at)
        if zero and start is not None:
            runs.append((part * PART_BYTES + start, view[start:at]))
            start = None
        elif not zero and start is None:
            start = at
    if start is not None:
        runs.append((part * PART_BYTES + start, view[start:]))
    return runs

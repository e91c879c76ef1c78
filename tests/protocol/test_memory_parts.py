"""Parts of a memory, compressed and put together again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from caxton.protocol.memory_parts import folded, merged, runs_of
from caxton.protocol.snapshots import BLOCK_BYTES, PART_BYTES

EACH = PART_BYTES // BLOCK_BYTES
PARTS = st.integers(0, 3)
CONTENTS = st.sampled_from([bytes(BLOCK_BYTES), b"a" * BLOCK_BYTES, bytes(BLOCK_BYTES - 1) + b"z"])
BLOCKS = st.dictionaries(st.integers(0, EACH - 1), CONTENTS)


def memory_of(part: int, runs: list[tuple[int, memoryview]]) -> bytes:
    memory = bytearray(PART_BYTES)
    for offset, data in runs:
        at = offset - part * PART_BYTES
        memory[at : at + len(data)] = data
    assert len(memory) == PART_BYTES
    return bytes(memory)


@given(PARTS, BLOCKS, BLOCKS)
def test_what_was_folded_and_changed_comes_back(part: int, first: dict[int, bytes], then: dict[int, bytes]) -> None:
    at = part * EACH
    stored = folded(part, b"", [(at + number, data) for number, data in first.items()])
    changed = [(at + number, data) for number, data in then.items()]
    expected = bytearray(PART_BYTES)
    for number, data in [*first.items(), *then.items()]:
        expected[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES] = data
    assert memory_of(part, runs_of(part, stored, changed)) == expected
    again = folded(part, stored, changed)
    assert merged(part, again, []) == expected.rstrip(b"\0")


def test_zeros_are_in_no_run() -> None:
    block = b"\1" * BLOCK_BYTES
    runs = runs_of(1, b"", [(EACH + 3, block), (EACH + 4, block), (EACH + 9, block), (EACH + 5, bytes(BLOCK_BYTES))])
    assert [(offset, len(data)) for offset, data in runs] == [
        (PART_BYTES + 3 * BLOCK_BYTES, 2 * BLOCK_BYTES),
        (PART_BYTES + 9 * BLOCK_BYTES, BLOCK_BYTES),
    ]

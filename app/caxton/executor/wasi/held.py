"""What a guest holds of WASI outside of its memory.

Owns the comparison with the state that every instance begins with. Must never change a descriptor.
"""

from __future__ import annotations

from typing import Final

from caxton.executor.wasi.descriptors import Descriptor, Directory, File, Input, Output
from caxton.executor.wasi.state import WasiState

_STANDARD: Final[tuple[Input | Output, ...]] = (Input(b""), Output(is_log=False), Output(is_log=True))


def held_by(state: WasiState) -> str | None:
    """What is different from a fresh instance without granted directories, in words; None = nothing."""
    entries = state.table.entries
    for number, standard in enumerate(_STANDARD):
        found = entries.get(number)
        if found is None:
            return f"the standard descriptor {number} is closed"
        if not _same(found, standard):
            return f"the standard descriptor {number} is another one or has other flags"
    for number, found in entries.items():
        if number >= len(_STANDARD):
            what = "file" if isinstance(found, File) else "directory" if isinstance(found, Directory) else "stream"
            return f"descriptor {number} ({what}) is open"
    return None


def _same(found: Descriptor, standard: Input | Output) -> bool:
    if type(found) is not type(standard) or (found.flags, found.rights) != (standard.flags, standard.rights):
        return False
    return not isinstance(found, Output) or not isinstance(standard, Output) or found.is_log is standard.is_log

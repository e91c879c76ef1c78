"""WASI preview 1, whole, in Python: what a WASI program sees of the world.

Owns `wasi_snapshot_preview1`. Must never import wasmtime, and must never touch the host other than
through the directories that were granted and the system's clocks and random generator.

For the worker: link `functions_for(state.has_files)`, make a `new_state` for each instance, `renew` it for
each further message, `close` it in the end; `held_by` says what a snapshot of its guest would miss.
"""

from __future__ import annotations

from caxton.executor.wasi.functions import FUNCTIONS, IMPORT_MODULE, Function, functions_for
from caxton.executor.wasi.held import held_by
from caxton.executor.wasi.quota import ScratchShare
from caxton.executor.wasi.state import DeterministicSource, Wait, WasiState, new_state

__all__ = [
    "FUNCTIONS",
    "IMPORT_MODULE",
    "DeterministicSource",
    "Function",
    "ScratchShare",
    "Wait",
    "WasiState",
    "functions_for",
    "held_by",
    "new_state",
]

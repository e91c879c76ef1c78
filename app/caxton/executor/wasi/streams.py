"""Standard input, output and the log.

Owns what a guest reads from and writes to descriptors 0 to 2. These functions run on the fiber: they
check, copy, count and return. Must never touch the host's own streams.
"""

from __future__ import annotations

from caxton.executor.guest import GuestMemory, StopGuest
from caxton.executor.wasi.descriptors import Input, Output
from caxton.executor.wasi.state import WasiState
from caxton.executor.wasi.vectors import Vectors, gather, scatter, total_bytes
from caxton.protocol.errors import Code


def read_input(stream: Input, memory: GuestMemory, entries: Vectors) -> int:
    """Copies what is left of the input, as far as it fits; 0 at the end."""
    data = stream.data[stream.position : stream.position + total_bytes(entries)]
    scatter(memory, entries, data)
    stream.position += len(data)
    return len(data)


def write_output(state: WasiState, stream: Output, memory: GuestMemory, entries: Vectors) -> int:
    """Takes all of it, or stops the guest: output over its limit is an error, the log is cut and counted."""
    total = total_bytes(entries)
    if stream.is_log:
        kept = min(total, state.log_bytes - len(state.stderr))
        state.stderr += gather(memory, entries, kept)
        state.log_dropped += total - kept
        return total
    if len(state.stdout) + total > state.output_bytes:
        raise StopGuest(Code.OUTPUT_LIMIT, f"more than {state.output_bytes} bytes written to standard output")
    state.stdout += gather(memory, entries, total)
    return total

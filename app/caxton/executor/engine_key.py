"""Which compiled artifacts fit this node.

Owns the key under which artifacts are cached: everything that changes compiled code besides the module and
its profile. Must never import wasmtime.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Final

_CPU_FIELDS: Final = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")


def engine_key(stack_bytes: int, features: Iterable[str], *, pulley: bool = False) -> str:
    """16 hexadecimal digits: wasmtime's version, our engine configuration, features, stack and the CPU."""
    parts = (
        version("wasmtime"),
        Path(__file__).with_name("engine.py").read_text(),
        str(stack_bytes),
        ",".join(sorted(features)),
        platform.machine(),
        "pulley" if pulley else _cpu(),
    )
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def _cpu() -> str:
    """What /proc/cpuinfo says of the first CPU's model and features; empty where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines if line.partition("\t")[0].strip() in _CPU_FIELDS)

"""Builds the example agents into `app/examples/build/*.wasm`.

Owns the command line that turns each source into a module; prints it, so that people can copy it. Uses
clang with Debian's wasi-libc where they are installed, else the clang inside the `ziglang` package, which
needs no root. Must never run at import time of the package: nothing here ships with the node.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
EXAMPLES = {"wordcount": "command", "counter": "reactor", "memory": "reactor"}
"""Name of each example and its shape (docs: spec of agents in the README)."""

_WASI_LIBC = Path("/usr/lib/wasm32-wasi/libc.a")


def compiler() -> list[str]:
    """The C compiler for WASI that this machine has, as the start of a command line."""
    if shutil.which("clang") and shutil.which("wasm-ld") and _WASI_LIBC.exists():
        return ["clang", "--target=wasm32-wasi"]
    return [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-wasi", "-Wl,--strip-all"]


def command(source: Path, output: Path, shape: str) -> list[str]:
    """The command line that builds one C source file into a module of this shape."""
    model = ["-mexec-model=reactor"] if shape == "reactor" else []
    return [*compiler(), "-O2", "-Wall", "-Werror", *model, f"-I{HERE / 'include'}", "-o", str(output), str(source)]


def build(name: str) -> Path:
    """Builds one example unless its module is newer than its sources; returns the module."""
    source, output = HERE / name / f"{name}.c", BUILD / f"{name}.wasm"
    newest = max(path.stat().st_mtime for path in (source, HERE / "include" / "caxton.h", Path(__file__)))
    if output.exists() and output.stat().st_mtime > newest:
        return output
    BUILD.mkdir(exist_ok=True)
    partial = output.with_suffix(".partial")
    line = command(source, partial, EXAMPLES[name])
    print("+", shlex.join(line), file=sys.stderr)
    subprocess.run(line, check=True)
    partial.replace(output)
    return output


if __name__ == "__main__":
    for example in EXAMPLES:
        print(build(example))

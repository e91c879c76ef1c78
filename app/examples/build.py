"""Builds the example agents into `app/examples/build/*.wasm`.

Owns the command line that turns each source into a module; prints it, so that people can copy it. C and Zig are
compiled by the `ziglang` package, which needs no root (C by clang with Debian's wasi-libc where they are installed),
Rust by Debian's rustc, AssemblyScript by the npm package that package-lock.json pins. Must never run at import time
of the package: nothing here ships with the node.
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
"""Those that `make run` deploys, and their shape (docs: spec of agents in the README)."""

MODULES = {
    "wordcount": "wordcount/wordcount.c",
    "counter": "counter/counter.c",
    "memory": "memory/memory.c",
    "manager": "contract_net/manager.c",
    "bidder": "contract_net/bidder.c",
    "guesser": "chat/guesser.c",
    "thinker": "chat/thinker.c",
    "averager": "averager/averager.ts",
    "votes": "votes/votes.rs",
    "primes": "primes/primes.zig",
}
"""Every module and its source."""

COMMANDS = frozenset({"wordcount", "primes"})
HELPERS = {".c": "include/caxton.h", ".ts": "include/caxton.ts", ".rs": "include/caxton.rs"}

_WASI_LIBC = Path("/usr/lib/wasm32-wasi/libc.a")
_ASC = Path(sys.prefix) / "npm" / "node_modules" / "assemblyscript" / "bin" / "asc.js"
_RUST_TARGETS = ("wasm32-wasip1", "wasm32-wasi")  # the second is its name before Rust 1.78


def compiler() -> list[str]:
    """The C compiler for WASI that this machine has, as the start of a command line."""
    if shutil.which("clang") and shutil.which("wasm-ld") and _WASI_LIBC.exists():
        return ["clang", "--target=wasm32-wasi"]
    return [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-wasi", "-Wl,--strip-all"]


def missing(name: str) -> str | None:
    """What must be installed before this example can be built, in one line; None when it can be."""
    language = Path(MODULES[name]).suffix
    if language == ".ts" and not (shutil.which("node") and _ASC.exists()):
        return "AssemblyScript is missing: install node and npm, then make toolchains"
    if language == ".rs" and _rust() is None:
        return "Rust for WASI is missing; as root: apt install rustc libstd-rust-dev-wasm32 lld"
    return None


def command(source: Path, output: Path, shape: str) -> list[str]:
    """The command line that builds one source file into a module of this shape."""
    match source.suffix:
        case ".ts":
            return ["node", str(_ASC), str(source), "-o", str(output), "-O", "--use", "abort="]
        case ".rs":
            rustc = _rust() or ["rustc", "--target", _RUST_TARGETS[0]]
            kind = ["--crate-type", "cdylib" if shape == "reactor" else "bin"]
            return [*rustc, "--edition", "2021", *kind, "-O", "-C", "strip=symbols", "-C", "linker=wasm-ld",
                    "-o", str(output), str(source)]  # fmt: skip
        case ".zig":
            zig = [sys.executable, "-m", "ziglang", "build-exe", "-target", "wasm32-wasi", "-O", "ReleaseSmall"]
            return [*zig, f"-femit-bin={output}", str(source)]
        case _:
            model = ["-mexec-model=reactor"] if shape == "reactor" else []
            include = f"-I{HERE / 'include'}"
            return [*compiler(), "-O2", "-Wall", "-Werror", *model, include, "-o", str(output), str(source)]


def build(name: str) -> Path:
    """Builds one example unless its module is newer than its sources; returns the module."""
    source, output = HERE / MODULES[name], BUILD / f"{name}.wasm"
    sources = [source, Path(__file__), *(HERE / one for suffix, one in HELPERS.items() if suffix == source.suffix)]
    newest = max(path.stat().st_mtime for path in sources)
    if output.exists() and output.stat().st_mtime > newest:
        return output
    BUILD.mkdir(exist_ok=True)
    partial = output.with_suffix(".partial")
    line = command(source, partial, "command" if name in COMMANDS else "reactor")
    print("+", shlex.join(line), file=sys.stderr)
    subprocess.run(line, check=True)
    partial.replace(output)
    return output


def _rust() -> list[str] | None:
    """A Rust compiler that has the library for WASI, with its name of that target."""
    if shutil.which("wasm-ld") is None:
        return None
    for rustc in dict.fromkeys(filter(None, (shutil.which("rustc"), shutil.which("rustc", path="/usr/bin")))):
        for target in _RUST_TARGETS:
            asked = subprocess.run(
                [rustc, "--print", "target-libdir", "--target", target], capture_output=True, text=True
            )
            if asked.returncode == 0 and list(Path(asked.stdout.strip()).glob("libstd-*.rlib")):
                return [rustc, "--target", target]
    return None


if __name__ == "__main__":
    for example in MODULES:
        print(missing(example) or build(example))

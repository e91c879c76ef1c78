"""Takes out of the bundled tree what no node needs, or what says where and when it was built.

Owns the list of what goes. Must never touch a module that anything imports at run time.

    python3 prune.py SITE-PACKAGES
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

# METADATA stays (versions are read at run time), licences/ stays, entry_points.txt stays: all else is pip's own.
_RECORDS: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "WHEEL", "top_level.txt")
_TESTS: Final = ("tests", "testing")
_SOURCES: Final = ("*.c", "*.cc", "*.cpp", "*.h", "*.hpp", "*.pyx", "*.pxd", "*.pyi", "py.typed")
_BUILD_ONLY: Final = ("bin", "include", "wasmtime/bin")


def main(site: Path) -> None:
    """Prunes, and gives every file the mode of a library: readable, not executable, no interpreter line."""
    for path in [site / name for name in _BUILD_ONLY] + [path for name in _TESTS for path in site.rglob(name)]:
        shutil.rmtree(path, ignore_errors=True)
    for info in site.glob("*.dist-info"):
        for name in _RECORDS:
            (info / name).unlink(missing_ok=True)
    for pattern in _SOURCES:
        for path in site.rglob(pattern):
            path.unlink()
    for cache in list(site.rglob("__pycache__")):
        shutil.rmtree(cache)
    for path in sorted(site.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(0o644)
            if path.suffix == ".py":
                _drop_interpreter_line(path)
        elif not any(path.iterdir()):
            path.rmdir()


def _drop_interpreter_line(path: Path) -> None:
    """Modules are imported, never run as files; a `#!` would name an interpreter that is not ours."""
    data = path.read_bytes()
    if data.startswith(b"#!"):
        path.write_bytes(b"#" + data[2:])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

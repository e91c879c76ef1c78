"""The built package, what is in it, and machines that install it: lab `packaging`, 10.42.6.0/24.

The package is what `make deb` left in build/deb/$RELEASE; without it these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import caxton
from lab import requirements
from lab.labs import Lab
from support.installed_node import InstalledNode
from support.router_modules import ECHO, wasm

ROOT = Path(__file__).resolve().parents[2]
RELEASE = os.environ.get("RELEASE", "bookworm")
NEXT = "9.9.9"
ADDRESS = "10.42.6.11"


def built(version: str) -> Path:
    return ROOT / "build" / "deb" / RELEASE / f"caxton_{version}_amd64.deb"


@pytest.fixture(scope="session")
def package() -> Path:
    """This version's package."""
    path = built(caxton.__version__)
    if not path.exists():
        pytest.skip("no package: make deb")
    return path


@pytest.fixture(scope="session")
def newer(package: Path) -> Path:
    """The same tree under a higher version."""
    path = built(NEXT)
    if not path.exists():
        pytest.skip(f"no package to upgrade to: make deb VERSION={NEXT}")
    return path


@pytest.fixture(scope="session")
def tree(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files, unpacked."""
    root = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    return root


@pytest.fixture(scope="module")
def machine(package: Path) -> Iterator[InstalledNode]:
    """A fresh machine, one for each module. Nothing is installed on it."""
    if (lack := requirements.missing()) is not None:
        pytest.skip(lack)
    lab = Lab("packaging")
    lab.down()
    try:
        lab.up({"node1": ADDRESS}, release=RELEASE)
        yield InstalledNode(lab, "node1")
    finally:
        lab.down()


@pytest.fixture(scope="module")
def echo_wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent that answers what it is asked."""
    path = tmp_path_factory.mktemp("agents") / "echo.wasm"
    path.write_bytes(wasm(ECHO))
    return path


@pytest.fixture(scope="module")
def node(machine: InstalledNode, package: Path, echo_wasm: Path) -> InstalledNode:
    """The machine with the package installed, ready, and an agent `echo` on it."""
    machine.install(package)
    machine.until_ready()
    machine.make_key()
    machine.deploy(echo_wasm, "echo")
    return machine

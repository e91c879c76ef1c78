"""Every playbook can be read with every inventory. What the linters say is `make lint`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.ansible_tree import INVENTORIES, PLAYBOOKS

Call = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_syntax_of_every_playbook(inventory: Path, call: Call) -> None:
    done = call("ansible-playbook", "-i", str(inventory), "--syntax-check", *map(str, PLAYBOOKS))
    assert done.returncode == 0, done.stderr

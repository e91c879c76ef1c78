"""The linters have nothing to say, and every playbook can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.ansible_tree import INVENTORIES, PLAYBOOKS

Call = Callable[..., CompletedProcess[str]]


@pytest.mark.timeout(300)
def test_ansible_lint_in_its_strictest_profile(call: Call) -> None:
    done = call("ansible-lint", "--offline", "-q")
    assert done.returncode == 0, done.stdout + done.stderr


def test_yamllint(call: Call) -> None:
    done = call("yamllint", "--strict", ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_syntax_of_every_playbook(inventory: Path, call: Call) -> None:
    done = call("ansible-playbook", "-i", str(inventory), "--syntax-check", *map(str, PLAYBOOKS))
    assert done.returncode == 0, done.stderr

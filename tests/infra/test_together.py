"""Several calls at once: one lab is made once, and tests skip in one line where there can be none."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import cgroups, machine, paths
from lab.labs import Lab

pytestmark = pytest.mark.timeout(600)

HOSTS = {"node1": "10.42.5.11", "node2": "10.42.5.12"}


def test_a_lab_that_is_asked_for_four_times_at_once_is_made_once(nothing: Lab) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Lab(nothing.name).up(HOSTS), range(4)))
    for host in HOSTS:
        processes = cgroups.members(cgroups.path(nothing.name, host))
        launchers = [pid for pid in processes if program(pid) == "systemd-nspawn"]
        assert len(launchers) == 1
        assert machine.leader(nothing.record, host)


def program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:  # it has ended
        return ""


def test_without_the_machinery_tests_are_skipped_in_one_line_and_the_rest_runs() -> None:
    rooms = ["tests/infra/test_hybrid.py", "tests/infra/test_refusals.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *rooms]
    environment = {**os.environ, "PATH": "/nonexistent"}
    done = subprocess.run(command, cwd=paths.REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]) == 1
    assert " passed" in done.stdout.splitlines()[-1]

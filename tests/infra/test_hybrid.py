"""A hybrid machine: the limits that systemd writes into control groups bind, after a reboot too."""

from __future__ import annotations

import os
import time

import pytest

from lab.labs import Lab

pytestmark = pytest.mark.timeout(600)

FORKS = "import os, time\nfor n in range(20):\n    if os.fork() == 0: time.sleep(60); os._exit(0)"
SECONDS = 4


def cpu_seconds(lab: Lab, unit: str) -> float:
    """What the unit's only process has used: systemd 252 keeps no CPUUsageNSec in a hybrid hierarchy."""
    pid = lab.run("node1", "systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip()
    fields = lab.run("node1", "cat", f"/proc/{pid}/stat").stdout.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(lab: Lab, unit: str, setting: str, *command: str) -> None:
    settings = ("--property", setting, "--collect")
    assert lab.run("node1", "systemd-run", "--unit", unit, *settings, *command).returncode == 0


@pytest.mark.parametrize("life", ["first", "after a reboot"])
def test_cpu_quota_and_task_limit_bind(hybrid: Lab, life: str) -> None:
    if life != "first":
        hybrid.stop("node1")
        hybrid.start("node1")
    start(hybrid, "burner", "CPUQuota=20%", "sh", "-c", "while :; do :; done")
    begun, before = time.monotonic(), cpu_seconds(hybrid, "burner")
    time.sleep(SECONDS)  # the quantity is CPU time per wall time: there is no condition to wait for
    share = (cpu_seconds(hybrid, "burner") - before) / (time.monotonic() - begun)
    hybrid.run("node1", "systemctl", "stop", "burner")
    assert 0.02 < share < 0.3  # it burns, as far as others let it, and no more than the quota

    start(hybrid, "forker", "TasksMax=5", "python3", "-c", FORKS)
    end = time.monotonic() + 30
    while "BlockingIOError" not in hybrid.run("node1", "journalctl", "-b", "-u", "forker").stdout:
        assert time.monotonic() < end
        time.sleep(0.1)

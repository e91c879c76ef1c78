"""What production.toml says of the executor's resources binds in a real kernel, and only there."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from support.served_node import until
from support.virtual_machine import VirtualMachine

pytestmark = [pytest.mark.limits, pytest.mark.timeout(1800)]
EXECUTOR = "caxton-executor.service"
OTHERS = ("caxton.service", "caxton-admin.service", "caxton-router.service")


def kills(machine: VirtualMachine, unit: str) -> int:
    """How many processes the kernel has killed in a unit's cgroup for want of memory."""
    return machine.counters(unit, "memory.events")["oom_kill"]


def test_nothing_of_the_boot_was_left_out(node: Any) -> None:
    """A cycle in the order of units is broken by dropping one of them: once it was the settings, with every limit."""
    assert "ordering cycle" not in node.machine.run("journalctl -b --no-pager")
    assert node.machine.properties("sockets.target", "ActiveState") == {"ActiveState": "active"}


def test_nobody_is_watched_who_never_says_that_he_lives(node: Any) -> None:
    """The tests' own patience once gave the API a watchdog: it ended the node ten minutes after its start."""
    for unit in OTHERS:
        watched = unit == "caxton-router.service"
        assert (node.machine.properties(unit, "WatchdogUSec")["WatchdogUSec"] != "0") is watched


def test_the_settings_are_in_the_unit_and_in_the_kernel(node: Any) -> None:
    machine: VirtualMachine = node.machine
    shown = machine.properties(EXECUTOR, "MemoryMax", "CPUQuotaPerSecUSec", "TasksMax", "OOMPolicy")
    assert (shown["MemoryMax"], shown["CPUQuotaPerSecUSec"]) == ("400000000", "1s")
    assert shown["OOMPolicy"] == "continue"
    assert machine.run("stat -f -c %T /sys/fs/cgroup").strip() == "cgroup2fs"
    page = 4096
    assert int(machine.cgroup(EXECUTOR, "memory.max")) == 400_000_000 // page * page
    quota, period = map(int, machine.cgroup(EXECUTOR, "cpu.max").split())
    assert quota == period
    assert machine.cgroup(EXECUTOR, "pids.max") == shown["TasksMax"]
    for unit in OTHERS:
        assert machine.cgroup(unit, "memory.max") == "max"


def test_memory_ends_a_worker_and_nothing_else(node: Any) -> None:
    machine: VirtualMachine = node.machine
    before, pids = node.balanced(), node.main_pids()
    node.caxton("message", "send", "eater", "1")
    until(lambda: kills(machine, EXECUTOR) >= 1, "the kernel kills in the executor's cgroup", 600)
    after = node.balanced()
    assert after["dead"] == before["dead"] + 1  # its attempts are used up
    assert after["done"] == before["done"]
    assert int(machine.cgroup(EXECUTOR, "memory.peak" if peak_is_there(machine) else "memory.current")) <= 400_000_000
    assert [kills(machine, unit) for unit in OTHERS] == [0, 0, 0]
    assert "oom_memcg=/system.slice/caxton-executor.service" in machine.run("journalctl -k --no-pager")
    assert node.main_pids() == pids  # the supervisor and everybody else are who they were
    assert node.answers()
    assert node.balanced()["done"] == before["done"] + 1


def peak_is_there(machine: VirtualMachine) -> bool:
    """memory.peak came with Linux 5.19."""
    return "memory.peak" in machine.run("ls /sys/fs/cgroup/system.slice/caxton-executor.service")


def test_the_processor_is_shared_as_the_quota_says(node: Any) -> None:
    machine: VirtualMachine = node.machine
    done = node.balanced()["done"]
    node.caxton("message", "send", "spinner", "1")
    until(lambda: node.json("ledger")["node"]["in_flight"] == 1, "the agent computes", 120)
    machine.run("nohup python3 /root/burn.py >/dev/null 2>&1 &")  # three that compute, and two cores
    start, then = machine.counters(EXECUTOR, "cpu.stat"), uptime(machine)
    until(lambda: uptime(machine) > then + 30, "half a minute to measure over", 120)
    end, now = machine.counters(EXECUTOR, "cpu.stat"), uptime(machine)
    assert 0.7 < (end["usage_usec"] - start["usage_usec"]) / 1e6 / (now - then) < 1.1
    assert end["nr_throttled"] > start["nr_throttled"]
    node.caxton("agent", "stop", "spinner")
    node.caxton("agent", "remove", "spinner", "--yes")  # its message waits no longer, it is a dead letter
    assert node.balanced()["done"] == done


def uptime(machine: VirtualMachine) -> float:
    """The machine's own seconds."""
    return float(machine.run("cut -d' ' -f1 /proc/uptime"))


def test_forks_end_at_the_task_limit_and_the_node_lives_on(node: Any) -> None:
    machine: VirtualMachine = node.machine
    limit, pids = int(machine.cgroup(EXECUTOR, "pids.max")), node.main_pids()
    made, error, tasks = map(int, machine.run("python3 /root/forks.py", 600).split())
    assert error == errno.EAGAIN
    assert 0 < made < tasks == limit
    assert machine.counters(EXECUTOR, "pids.events")["max"] >= 1
    assert node.answers()
    node.balanced()
    assert node.main_pids() == pids

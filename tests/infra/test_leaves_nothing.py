"""`down` leaves nothing, however the machines and the tool that started them ended; the host is as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from lab import cgroups, machine, names, paths
from lab.labs import Lab
from lab.run import run
from support import lab_traces

pytestmark = pytest.mark.timeout(600)

SUBNETS = (5, 7)
HOSTS = {"node1": "10.42.5.11", "node2": "10.42.5.12"}
UP = ("up", "infra", *(f"{host}={address}" for host, address in HOSTS.items()))


@pytest.fixture
def clean(nothing: Lab) -> Iterator[Lab]:
    """The lab; afterwards the host must be what it was before."""
    before = lab_traces.host(SUBNETS)
    yield nothing
    nothing.down()
    nothing.down()  # twice is no error
    assert lab_traces.of_lab(nothing.name, 5) == set()
    assert lab_traces.host(SUBNETS) == before


def leaders(lab: Lab) -> list[int]:
    return [machine.leader(lab.record, host) for host in HOSTS]


def supervisors(lab: Lab) -> list[int]:
    inner = {pid for host in HOSTS for pid in cgroups.members(cgroups.path(lab.name, host) / "payload")}
    return sorted(set(cgroups.members(cgroups.path(lab.name))) - inner)


def kill_all(lab: Lab, victims: Callable[[Lab], list[int]]) -> None:
    for pid in victims(lab):
        os.kill(pid, signal.SIGKILL)


def nobody(lab: Lab) -> list[int]:
    return []


@pytest.mark.parametrize("victims", [nobody, leaders, supervisors], ids=lambda victims: victims.__name__)
def test_after_machines_that_run_or_were_killed(clean: Lab, victims: Callable[[Lab], list[int]]) -> None:
    clean.up(HOSTS)
    assert lab_traces.of_lab(clean.name, 5)  # else this test would see nothing
    assert lab_traces.host(SUBNETS) != lab_traces.host(())
    kill_all(clean, victims)


def test_after_faults(clean: Lab) -> None:
    clean.up(HOSTS, hybrid=frozenset({"node1"}))
    clean.cut("node1", "node2")
    clean.freeze("node1")
    clean.plug("node2", False)


def test_after_an_orderly_shutdown_from_inside(clean: Lab) -> None:
    clean.up(HOSTS)
    clean.run("node1", "systemctl", "poweroff")
    machine.until(lambda: not clean.running("node1"), 60, "still on")


def kill_tool(arguments: tuple[str, ...], seconds: float) -> None:
    environment = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY / "molecule/shared")}
    command = [sys.executable, "-m", "lab", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as tool:
        try:
            tool.wait(seconds)
        except subprocess.TimeoutExpired:
            tool.kill()


@pytest.mark.parametrize(("seconds", "again"), [(0.2, False), (0.4, True), (0.6, False), (0.8, True)])
def test_after_up_was_killed_at_any_moment(clean: Lab, seconds: float, again: bool) -> None:
    kill_tool(UP, seconds)  # its work before the wait for ssh takes 0.8 s
    if again:
        clean.up(HOSTS)  # what was begun is also completed
        assert clean.ssh("node2", "hostname").stdout == "node2\n"


@pytest.mark.parametrize("seconds", [0.15, 0.3])
def test_after_down_was_killed_at_any_moment(clean: Lab, seconds: float) -> None:
    clean.up(HOSTS)
    kill_tool(("down", clean.name), seconds)


def test_without_its_bridge_no_packet_takes_the_default_route(clean: Lab) -> None:
    clean.up(HOSTS)
    run("ip", "link", "delete", names.bridge(5))
    found = subprocess.run(["ip", "route", "get", "10.42.5.11"], capture_output=True, text=True)
    assert found.returncode != 0, found.stdout


def test_the_host_keeps_its_own_network_while_machines_run(clean: Lab) -> None:
    before = lab_traces.host(())
    clean.up(HOSTS)
    clean.cut("node1", "node2")
    ours = {line for line in lab_traces.host(()) - before if line.startswith(("ip ", "sysctl ", "mount "))}
    assert ours == set()

"""The node's limits bind: processor and tasks, on a machine whose kernel enforces them (`hybrid` in molecule.yml).

Memory does not: the lab's host keeps that controller. `make test-limits` shows it on a kernel of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from checks import site
from checks.waiting import until
from support.wat import LOOP

testinfra_hosts = ["ansible://caxton_nodes"]
BALANCER = "10.42.1.21"
QUOTA = 0.2
WATCHED_SECONDS = 4.0
TICKS_A_SECOND = 100
FORKS = """
import os, time
made = 0
try:
    while made < 5000:
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        made += 1
except BlockingIOError:
    pass
print(made)
"""


def used(host: Host) -> float:
    """Processor time of everything in the executor's unit so far, in seconds."""
    group = host.check_output("systemctl show -P ControlGroup caxton-executor")
    files = f"$(sed 's#.*#/proc/&/stat#' /sys/fs/cgroup/systemd{group}/cgroup.procs)"
    return (
        int(host.check_output(f"cat {files} | awk '{{ ticks += $14 + $15 }} END {{ print ticks }}'")) / TICKS_A_SECOND
    )


def cores(host: Host) -> float:
    """How many cores the executor uses now."""
    before, begun = used(host), time.monotonic()
    time.sleep(WATCHED_SECONDS)  # what is measured is a span of time
    return (used(host) - before) / (time.monotonic() - begun)


@pytest.fixture
def burning(host: Host) -> Iterator[None]:
    """An agent that never returns, at work."""
    client = site.through(BALANCER, site.key(host))
    client.deploy("burner", LOOP, limits={"execution_timeout_seconds": 30})
    assert (
        client.post("/api/v1/messages", {"performative": "request", "receiver": "burner", "content": 1}).status == 202
    )
    yield
    assert client.ask("DELETE", "/api/v1/agents/burner?purge=true").status in (200, 204)


@pytest.mark.usefixtures("burning")
def test_the_processor_quota_binds(host: Host) -> None:
    try:
        host.check_output("systemctl set-property --runtime caxton-executor CPUQuota=")
        until(lambda: cores(host) > QUOTA * 1.3, "without the quota it uses no more")  # a busy machine gives little
        host.check_output(f"systemctl set-property --runtime caxton-executor CPUQuota={QUOTA:.0%}")
        bound = cores(host)
    finally:
        host.check_output("rm -r /run/systemd/system.control/caxton-executor.service.d && systemctl daemon-reload")
    assert bound <= QUOTA * 1.2


def test_the_task_limit_binds(host: Host) -> None:
    limit = int(host.check_output("systemctl show -P TasksMax caxton-executor"))
    group = host.check_output("systemctl show -P ControlGroup caxton-executor")
    enter = f"echo $$ >/sys/fs/cgroup/pids{group}/cgroup.procs"
    made = int(host.check_output(f"sh -c '{enter} && exec python3 -c \"$0\"' '{FORKS}'"))
    assert 0 < made < limit

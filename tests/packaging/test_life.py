"""systemctl and an installed node: stop, restart, reload, crashes, settings."""

from __future__ import annotations

import pytest

from support.installed_node import SERVICES, Clients, InstalledNode, request
from support.served_node import until

CONFIG = "/opt/caxton/config/production.toml"


@pytest.fixture(autouse=True)
def well(node: InstalledNode) -> None:
    """Every test finds a node that is ready and configured as it was installed, whatever the one before it did."""
    node.sh("systemctl start caxton")
    node.until_ready()


def configure(node: InstalledNode, *lines: str) -> None:
    """Writes the configuration; no lines: the one that the package brings. Nobody is told."""
    default = "cat /usr/share/caxton/production.toml" if not lines else "cat"
    node.sh(f"{default} >{CONFIG}", stdin="\n".join(lines) + "\n")


def test_a_stopped_node_stays_stopped_while_somebody_knocks(node: InstalledNode) -> None:
    with Clients(node, "echo") as clients:
        node.stop()
        refused = clients.answers[0]
        until(lambda: clients.answers[0] > refused + 200, "many knocks")
        assert set(node.states().values()) == {"inactive"}
        node.sh("systemctl start caxton")
    node.until_ready()


def test_a_restart_fails_no_request(node: InstalledNode) -> None:
    pids = [node.pid(unit) for unit in SERVICES]
    with Clients(node, "echo") as clients:
        node.sh("systemctl restart caxton")
    assert clients.failed == {}
    assert not set(pids) & {node.pid(unit) for unit in SERVICES}


def test_a_reload_replaces_the_apis_workers_and_keeps_the_agents_warm(node: InstalledNode) -> None:
    pids = [node.pid(unit) for unit in SERVICES]
    of_workers = f"pgrep -P {pids[0]} | sort"
    workers = node.sh(of_workers)
    configure(node, "[messaging]", 'max_message_size = "2kB"')
    try:
        with Clients(node, "echo") as clients:
            node.sh("systemctl reload caxton")
            until(lambda: not set(workers.split()) & set(node.sh(of_workers).split()), "other workers")
        assert clients.failed == {}
        assert [node.pid(unit) for unit in SERVICES] == pids
        until(lambda: (answer := node.invoke("echo", "x" * 3_000)) and answer[0] == 413, "the new limit")
    finally:
        configure(node)
        node.sh("systemctl reload caxton")


@pytest.mark.parametrize("unit", SERVICES)
def test_a_killed_process_comes_back_and_the_address_stays_open(node: InstalledNode, unit: str) -> None:
    pid = node.pid(unit)
    with Clients(node, "echo") as clients:
        node.sh(f"systemctl kill --signal KILL --kill-whom main {unit}")
        until(lambda: node.pid(unit) not in (0, pid), f"another {unit}")
        until(lambda: set(node.states().values()) == {"active"}, "all units active")
        node.until_ready()
    # who was being served loses the answer; who connects meanwhile is not refused
    assert clients.answers[0] <= 6


@pytest.mark.parametrize("unit", ["caxton-router.service", "caxton-executor.service"])
def test_a_process_that_hangs_is_replaced_by_the_watchdog(node: InstalledNode, unit: str) -> None:
    drop_in = f"/run/systemd/system/{unit}.d/99-test.conf"
    node.sh(f"mkdir -p $(dirname {drop_in}); cat >{drop_in}", stdin="[Service]\nWatchdogSec=4\n")
    node.sh(f"systemctl daemon-reload; systemctl restart {unit}")
    node.until_ready()
    pid = node.pid(unit)
    try:
        node.sh(f"kill -STOP {pid}")
        until(lambda: node.pid(unit) not in (0, pid), f"another {unit}", 60)
    finally:
        node.sh(f"rm {drop_in}; systemctl daemon-reload")


def test_the_configuration_reaches_the_units(node: InstalledNode) -> None:
    node.sh("mkdir -p /srv/shared; chmod 755 /srv/shared; echo seen >/srv/shared/file")
    configure(
        node,
        *("[runtime]", 'memory_limit = "1GiB"', "cpu_quota = 0.5", 'shareable_dirs = ["/srv/shared"]'),
        *("[networking]", "max_connections = 500"),
    )
    try:
        node.sh("systemctl restart caxton")
        node.until_ready()
        show = "systemctl show --value -p MemoryMax -p CPUQuotaPerSecUSec caxton-executor.service"
        assert set(node.sh(show).split()) == {str(1 << 30), "500ms"}
        pid = node.pid("caxton-executor.service")
        assert node.sh(f"cat /proc/{pid}/root/srv/shared/file") == "seen"
        limit = node.sh(f"grep 'open files' /proc/{node.pid('caxton.service')}/limits").split()
        assert int(limit[4]) >= 500
    finally:
        configure(node)
        node.sh("systemctl restart caxton")


def test_another_address_holds_from_the_next_start(node: InstalledNode) -> None:
    configure(node, "[networking]", 'bind_address = "0.0.0.0:8443"')
    try:
        node.sh("systemctl stop caxton; systemctl start caxton")
        until(lambda: (answer := node.get("/ready", port=8443)) and answer[0] == 200, "ready at the other port")
        assert node.get("/ready") is None
    finally:
        configure(node)
        node.sh("systemctl stop caxton; systemctl start caxton")


def test_nothing_starts_while_a_restore_runs(node: InstalledNode) -> None:
    node.stop()
    node.sh("touch /opt/caxton/data/maintenance")
    try:
        node.sh("systemctl start caxton.service caxton.socket caxton-router.service", check=False)
        assert set(node.states().values()) == {"inactive"}
        assert request(node.address, "GET", "/health") is None
    finally:
        node.sh("rm /opt/caxton/data/maintenance")


def test_a_configuration_that_does_not_hold_stops_nobody_who_runs(node: InstalledNode) -> None:
    refused = "journalctl -q -o cat -u caxton.service | grep -c 'reload refused' || true"
    pids = [node.pid(unit) for unit in SERVICES]
    of_workers = f"pgrep -P {pids[0]} | sort"
    configure(node, "[runtime]", "max_agents = 0")
    try:
        workers, begun = node.sh(of_workers), int(node.sh(refused))
        with Clients(node, "echo") as clients:
            for number in range(1, 9):
                node.sh("systemctl reload caxton")
                until(lambda known=begun + number: int(node.sh(refused)) == known, "the refusal")  # type: ignore[misc]
        assert clients.failed == {}
        assert node.sh(of_workers) == workers
        assert [node.pid(unit) for unit in SERVICES] == pids
    finally:
        configure(node)

"""Five machines: they are ordinary Debian hosts with a name, an address, ssh and apt, and no way out."""

from __future__ import annotations

import pytest

from lab import machine
from lab.labs import Lab
from lab.recipe import OFFERED_PACKAGES

pytestmark = pytest.mark.timeout(600)  # the first use of a recipe builds its image

HOSTS = ("node1", "node2", "node3", "lb1", "lb2")
CONNECT = "import socket; socket.create_connection(('{address}', {port}), 3)"


def connects(lab: Lab, host: str, address: str, port: int = 22) -> bool:
    return lab.run(host, "python3", "-c", CONNECT.format(address=address, port=port)).returncode == 0


@pytest.mark.parametrize("host", HOSTS)
def test_each_answers_ssh_under_its_name_with_all_of_systemd_running(five: Lab, host: str) -> None:
    answer = five.ssh(host, "hostname; systemctl is-system-running --wait")
    assert answer.stdout.split() == [host, "running"]


def test_each_is_debian_with_a_systemd_of_its_own(five: Lab) -> None:
    identities = {five.run(host, "cat", "/etc/machine-id").stdout for host in HOSTS}
    assert len(identities) == len(HOSTS)
    assert "VERSION_CODENAME=bookworm" in five.run("node1", "cat", "/etc/os-release").stdout.splitlines()
    assert five.run("node1", "cat", "/proc/1/comm").stdout == "systemd\n"


def test_a_second_up_leaves_running_machines_alone(five: Lab) -> None:
    record = five.record
    before = [machine.leader(record, host) for host in HOSTS]
    five.up({host: record.machines[host].address for host in HOSTS})
    assert [machine.leader(record, host) for host in HOSTS] == before


def test_machines_find_each_other_by_name(five: Lab) -> None:
    for host in HOSTS:
        for other in HOSTS:
            assert connects(five, host, other), (host, other)
    assert connects(five, "node1", "10.42.5.22")
    assert not connects(five, "node1", "10.42.5.99")


def test_there_is_no_way_out(five: Lab) -> None:
    assert five.run("node1", "ip", "route", "show", "default").stdout == ""
    assert five.run("node1", "ip", "route", "get", "192.0.2.1").returncode != 0
    assert five.run("node1", "ip", "-6", "route", "show", "default").stdout == ""


def test_apt_installs_and_removes_without_network(five: Lab) -> None:
    assert five.run("lb2", "haproxy", "-v").returncode != 0
    assert five.ssh("lb2", "apt-get update && apt-get install -y haproxy", timeout=300).returncode == 0
    assert five.ssh("lb2", "systemctl is-active haproxy").stdout == "active\n"
    assert five.ssh("lb2", "apt-get purge -y haproxy").returncode == 0


def test_all_offered_packages_can_be_installed(five: Lab) -> None:
    together = [name for name in OFFERED_PACKAGES if name != "systemd-timesyncd"]  # it and chrony exclude each other
    for packages in (together, ["systemd-timesyncd"]):
        held = five.run("lb1", "apt-get", "install", "-y", "--download-only", *packages)
        assert held.returncode == 0, held.stderr

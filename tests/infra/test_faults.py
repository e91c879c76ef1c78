"""Faults: what each takes away, what it leaves, and that it is undone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from lab import machine
from lab.errors import Code, LabError
from lab.labs import Lab

pytestmark = pytest.mark.timeout(600)

WITH_LAST_WORDS = (
    *("systemd-run", "--unit", "witness", "--property", "ExecStop=touch /root/stopped"),
    *("--property", "RemainAfterExit=yes", "true"),
)


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def reaches(lab: Lab, host: str, other: str) -> bool:
    return lab.run(host, "ping", "-q", "-c", "1", "-W", "1", other).returncode == 0


def write(lab: Lab, host: str, text: str) -> None:
    assert lab.run(host, "sh", "-c", f"echo {text} >/root/kept && sync").returncode == 0


def read(lab: Lab, host: str) -> str:
    return lab.ssh(host, "cat /root/kept").stdout.strip()


def test_a_reboot_keeps_files_and_address(three: Lab) -> None:
    write(three, "node1", "reboot")
    before = machine.leader(three.record, "node1")
    three.run("node1", "systemctl", "reboot")
    until(lambda: three.running("node1") and leader(three, "node1") not in (None, before))
    until(lambda: read(three, "node1") == "reboot")
    until(lambda: reaches(three, "node2", "node1"))


def leader(lab: Lab, host: str) -> int | None:
    try:
        return machine.leader(lab.record, host)
    except LabError:
        return None


def test_a_power_cut_keeps_the_disk_and_lets_nothing_finish(three: Lab) -> None:
    write(three, "node1", "cut")
    assert three.run("node1", *WITH_LAST_WORDS).returncode == 0
    three.kill("node1")
    assert not three.running("node1")
    assert not reaches(three, "node2", "node1")
    three.kill("node1")  # it is off: no error
    three.start("node1")
    assert read(three, "node1") == "cut"
    assert three.ssh("node1", "test -e /root/stopped").returncode == 1


def test_an_orderly_stop_lets_units_finish(three: Lab) -> None:
    three.run("node2", "systemctl", "is-system-running", "--wait")
    assert three.run("node2", *WITH_LAST_WORDS).returncode == 0
    three.stop("node2")
    assert not three.running("node2")
    three.start("node2")
    assert three.ssh("node2", "test -e /root/stopped").returncode == 0


def test_a_wiped_machine_comes_back_as_a_fresh_one(three: Lab) -> None:
    write(three, "node3", "wiped")
    keys = three.run("node3", "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout
    three.wipe("node3")
    three.start("node3")
    assert read(three, "node3") == ""
    assert three.run("node3", "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout not in ("", keys)
    assert three.ssh("node3", "hostname").stdout == "node3\n"


def test_a_frozen_machine_is_silent_and_goes_on_where_it_was(three: Lab) -> None:
    address, before = three.record.machines["node2"].address, machine.leader(three.record, "node2")
    three.freeze("node2")
    assert three.running("node2")
    assert not machine.wait_for_ssh(address, 1)
    three.freeze("node2", False)
    assert machine.wait_for_ssh(address, 30)
    assert machine.leader(three.record, "node2") == before


def test_an_unplugged_machine_runs_unreachable(three: Lab) -> None:
    three.plug("node3", False)
    try:
        assert not reaches(three, "node1", "node3")
        assert three.run("node3", "hostname").stdout == "node3\n"
    finally:
        three.plug("node3", True)
    until(lambda: reaches(three, "node1", "node3"))


def test_a_cut_parts_two_machines_and_nobody_else(three: Lab) -> None:
    three.cut("node1", "node2")
    three.cut("node3", "node2")
    try:
        assert not reaches(three, "node1", "node2")
        assert not reaches(three, "node2", "node1")
        assert not reaches(three, "node2", "node3")
        assert reaches(three, "node1", "node3")
        assert machine.wait_for_ssh(three.record.machines["node2"].address, 10)
        three.heal("node2", "node3")
        until(lambda: reaches(three, "node2", "node3"))  # they have yet to forget that the other does not answer
        assert not reaches(three, "node1", "node2")
    finally:
        three.heal()
    until(lambda: reaches(three, "node1", "node2"))


def test_a_host_that_the_lab_has_not_is_refused(three: Lab) -> None:
    def cut(host: str) -> None:
        three.cut("node1", host)

    for fault in (three.kill, three.wipe, three.start, three.stop, three.freeze, cut):
        with pytest.raises(LabError) as caught:
            fault("node9")
        assert caught.value.code is Code.REFUSED

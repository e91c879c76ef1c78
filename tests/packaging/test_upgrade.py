"""Upgrade, downgrade, removal, purge, and a dpkg that was killed: requests do not fail and nothing is lost."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

import caxton
from support.installed_node import SERVICES, Clients, InstalledNode
from support.served_node import until

DENY = "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"


def version(node: InstalledNode) -> str:
    return node.sh("dpkg-query -W -f '${Version}' caxton")


def remember(node: InstalledNode) -> None:
    """A durable message and its trace in the ledger."""
    node.sh(f"CAXTON_API_KEY={node.key} caxton message send echo '\"remember\"'")


def ledger(node: InstalledNode) -> int:
    """How many messages the agent has accepted in its life."""
    answer = node.get("/api/v1/ledger")
    assert answer is not None
    assert answer[0] == 200
    return int(answer[1]["node"]["accepted"])


def test_an_upgrade_under_load_fails_no_request(node: InstalledNode, newer: Path) -> None:
    pids = [node.pid(unit) for unit in SERVICES]
    with Clients(node, "echo") as clients:
        node.install(newer)
    assert clients.failed == {}
    node.until_ready()
    assert version(node) == node.sh("caxton --version").split()[-1] != caxton.__version__
    assert not set(pids) & {node.pid(unit) for unit in SERVICES}


def test_a_downgrade_under_load_fails_no_request_either(node: InstalledNode, package: Path) -> None:
    before = ledger(node)
    with Clients(node, "echo") as clients:
        node.install(package, "--allow-downgrades")
    assert clients.failed == {}
    node.until_ready()
    assert version(node) == caxton.__version__
    assert ledger(node) > before


def test_an_upgrade_leaves_everything_running_where_policy_says_so(
    node: InstalledNode, newer: Path, package: Path
) -> None:
    pids = [node.pid(unit) for unit in SERVICES]
    node.sh(DENY)
    try:
        node.install(newer)
        assert version(node) != caxton.__version__
        assert [node.pid(unit) for unit in SERVICES] == pids
    finally:
        node.sh("rm /usr/sbin/policy-rc.d")
    node.install(package, "--allow-downgrades")
    node.until_ready()


def test_a_unit_that_somebody_disabled_stays_disabled(node: InstalledNode, newer: Path, package: Path) -> None:
    node.sh("systemctl disable --now caxton-backup.timer")
    node.install(newer)
    node.install(package, "--allow-downgrades")
    assert node.sh("systemctl is-enabled caxton-backup.timer", check=False) == "disabled"
    assert node.states("caxton-backup.timer") == {"caxton-backup.timer": "inactive"}
    node.sh("systemctl enable --now caxton-backup.timer")
    node.until_ready()


@pytest.mark.parametrize("seed", range(4))
def test_a_dpkg_that_is_killed_is_finished_by_configure(
    node: InstalledNode, newer: Path, package: Path, seed: int
) -> None:
    target = newer if version(node) == caxton.__version__ else package
    path = node.push(target)
    dice = random.Random(seed)
    install = [*node.lab.ssh_command(node.host), f"dpkg --force-downgrade -i {path}"]
    with subprocess.Popen(install, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        until(lambda: not node.fails("pgrep -x dpkg"), "dpkg at work")
        time.sleep(dice.uniform(0, 4))  # the moment is the point of the test
        node.sh("pkill -KILL -x dpkg; pkill -KILL -x dpkg-deb; pkill -KILL -f caxton.postinst", check=False)
        running.wait(60)
    node.sh("dpkg --configure -a", check=False)
    if version(node) != target.name.split("_")[1] or node.fails("dpkg --verify caxton"):
        node.sh(
            f"dpkg --force-downgrade -i {path}"
        )  # it was killed while it unpacked: dpkg says so, and this is the way on
    node.until_ready()
    assert node.sh("dpkg --audit") == ""
    assert node.sh("dpkg --verify caxton") == ""
    assert node.invoke("echo", seed) is not None


def test_remove_keeps_data_configuration_and_backups(node: InstalledNode) -> None:
    remember(node)
    node.sh("systemctl start caxton-backup.service", timeout=300)
    node.sh("echo '# mine' >>/opt/caxton/config/production.toml")
    before = ledger(node)
    node.sh("apt-get remove -y -q caxton", timeout=300)
    assert node.get("/health") is None
    assert node.fails("pgrep -u caxton,caxton-executor")
    assert node.sh("systemctl list-units --all --plain --no-legend 'caxton*'") == ""
    assert node.sh(
        "ls /opt/caxton/data/local.db /opt/caxton/config/production.toml; ls /opt/caxton/backups/state_*.gz"
    )
    assert node.sh("id caxton && id caxton-executor")
    reinstall(node)
    assert ledger(node) >= before
    assert node.sh("tail -n 1 /opt/caxton/config/production.toml") == "# mine"


def test_purge_keeps_backups_and_data_and_reinstalling_finds_them(node: InstalledNode) -> None:
    before = ledger(node)
    node.sh("apt-get purge -y -q caxton", timeout=300)
    for gone in (
        "/var/cache/caxton-executor",
        "/run/caxton",
        "/run/caxton-executor",
        "/opt/caxton/logs",
        "/usr/lib/caxton",
    ):
        assert node.fails(f"test -e {gone}"), gone
    assert node.sh("ls /opt/caxton/backups/state_*.gz; ls /opt/caxton/data/local.db")
    assert node.sh("find /etc /usr /var -xdev -name '*caxton*'") == ""
    assert node.sh("id caxton")
    reinstall(node)
    assert ledger(node) >= before
    answer = node.invoke("echo", "after the purge")
    assert answer is not None
    assert answer[0] == 200


def test_purge_removes_the_data_only_with_the_marker_and_never_the_backups(node: InstalledNode) -> None:
    node.sh("touch /opt/caxton/config/PURGE_STATE; apt-get purge -y -q caxton", timeout=300)
    assert node.fails("test -e /opt/caxton/data")
    assert node.fails("test -e /opt/caxton/config")
    assert node.sh("ls /opt/caxton/backups/state_*.gz")
    assert node.sh("id caxton")


def reinstall(node: InstalledNode) -> None:
    """The package that was pushed last, of this version."""
    node.sh(f"apt-get install -y -q /root/caxton_{caxton.__version__}_amd64.deb", timeout=300)
    node.until_ready()

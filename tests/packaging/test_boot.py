"""A machine with the package that starts anew."""

from __future__ import annotations

from support.installed_node import InstalledNode


def test_a_boot_leaves_out_nothing_and_brings_the_limits(node: InstalledNode) -> None:
    """A cycle in the order of units shows at a boot only; systemd drops some unit then, once those of the limits."""
    node.sh("sed -i 's/^# memory_limit = .*/memory_limit = \"1GB\"/' /opt/caxton/config/production.toml")
    node.lab.kill(node.host)
    node.lab.start(node.host)
    node.until_ready()
    assert node.states("sockets.target", "basic.target", "caxton-node.target") == {
        "sockets.target": "active",
        "basic.target": "active",
        "caxton-node.target": "active",
    }
    assert node.sh("systemctl show -p MemoryMax --value caxton-executor") == "1000000000"

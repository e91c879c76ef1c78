"""The lab's inventory: what `make lab-up` boots is what the lab accepts and the playbooks expect."""

from __future__ import annotations

import yaml

from lab import names, paths

HOSTS = paths.REPOSITORY / "inventories/lab/hosts.yml"


def groups() -> dict[str, dict[str, dict[str, str] | None]]:
    children = yaml.safe_load(HOSTS.read_text())["all"]["children"]
    return {group: content["hosts"] for group, content in children.items()}


def test_the_lab_accepts_its_hosts() -> None:
    addresses = {
        host: variables["ansible_host"]
        for hosts in groups().values()
        for host, variables in hosts.items()
        if variables
    }
    assert names.subnet_of(addresses) == 0
    assert set(addresses) == {"node1", "node2", "node3", "lb1", "lb2"}


def test_the_groups_are_those_of_the_playbooks() -> None:
    found = {group: sorted(hosts) for group, hosts in groups().items()}
    assert found == {
        "caxton_nodes": ["node1", "node2", "node3"],
        "caxton_balancers": ["lb1", "lb2"],
        "caxton_monitoring": ["lb1"],
    }

"""add_node, remove_node and rotate_secrets refuse what cannot be meant before they touch a host: none can be reached.

What they do on machines: molecule/cluster/tests/test_membership.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Call = Callable[..., CompletedProcess[str]]
MEMBERS = "{{ groups['caxton_nodes'] | difference([caxton_remove_node | default('')]) }}"
INVENTORY = f"""
all:
  vars: {{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1, caxton_members: "{MEMBERS}"}}
  children:
    caxton_nodes: {{hosts: {{NODES}}}}
    caxton_balancers: {{hosts: {{lb1: }}}}
"""
TWO, ONE = "node1: , node2: ", "node1: "
UNKNOWN = "Refuse a name that the inventory does not hold"
SUBSET = "Refuse a run on some of the hosts"
LAST = "Refuse to remove the last node"
COUNTED = "Refuse an inventory that goes on counting the node"
PART = "Refuse a run on some of the nodes"
CLUSTER = '{"caxton_node_coordination_cluster_enabled": true}'
KEPT = '{"caxton_members": ["node1", "node2"]}'


@pytest.mark.parametrize(
    ("playbook", "nodes", "arguments", "task"),
    [
        ("add_node", TWO, [], UNKNOWN),
        ("add_node", TWO, ["-e", "caxton_add_node=lb1"], UNKNOWN),
        ("add_node", "", ["-e", "caxton_add_node=node1"], UNKNOWN),
        ("add_node", TWO, ["-e", "caxton_add_node=node2", "--limit", "node2"], SUBSET),
        ("remove_node", TWO, [], UNKNOWN),
        ("remove_node", TWO, ["-e", "caxton_remove_node=node9"], UNKNOWN),
        ("remove_node", "", ["-e", "caxton_remove_node=node1"], UNKNOWN),
        ("remove_node", TWO, ["-e", "caxton_remove_node=node2", "--limit", "node2"], SUBSET),
        ("remove_node", TWO, ["-e", "caxton_remove_node=node2", "--limit", "lb1"], SUBSET),
        ("remove_node", ONE, ["-e", "caxton_remove_node=node1"], LAST),
        ("remove_node", TWO, ["-e", "caxton_remove_node=node2", "-e", KEPT], COUNTED),
        ("rotate_secrets", TWO, ["-e", CLUSTER, "--limit", "node2"], PART),
    ],
)
def test_refused(playbook: str, nodes: str, arguments: list[str], task: str, call: Call, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(INVENTORY.replace("NODES", nodes))
    done = call("ansible-playbook", "-i", str(inventory), f"playbooks/{playbook}.yml", *arguments)
    assert done.returncode != 0
    begun = re.findall(r"^TASK \[(.+)\]", done.stdout, re.MULTILINE)
    assert begun[-1] == task
    assert "Gathering Facts" not in begun

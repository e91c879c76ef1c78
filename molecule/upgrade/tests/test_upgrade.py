"""A rolling upgrade and its way back, under load: no request fails, nothing is lost or done twice.

The tests are steps of one story and run in their order.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from pathlib import Path

import pytest

from checks import site
from checks.pressure import Sum, load
from checks.token import token
from support.wat import TALLY

testinfra_hosts = ["ansible://caxton_balancers"]
NODES = {"node1": "10.42.3.11", "node2": "10.42.3.12", "node3": "10.42.3.13"}
BALANCER = "10.42.3.21"
INVOKE = json.dumps({"content": None, "delivery": "durable"})
PREVIOUS = Path(os.environ["CAXTON_PREVIOUS_PACKAGE"])
PRESENT = Path(os.environ["CAXTON_PACKAGE"])


def running() -> dict[str, set[str]]:
    """The versions of all that runs on each node: API, router and executor say theirs."""
    found = {}
    for node, address in NODES.items():
        with urllib.request.urlopen(f"http://{address}:9090/metrics", timeout=10) as metrics:
            said = re.findall(r'^caxton_build_info{.*version="([^"]+)"', metrics.read().decode(), re.MULTILINE)
        found[node] = set(said)
    return found


def everywhere(package: Path) -> dict[str, set[str]]:
    """What `running` gives when this package, and nothing else, runs on all nodes."""
    return {node: {package.name.split("_")[1]} for node in NODES}


def tally() -> int:
    """How many messages took effect. The agent is one for all nodes, and asking it is one more by each."""
    counts = [site.directly(address, bearer=token()).invoke("tally", None) for address in NODES.values()]
    assert counts == list(range(counts[0], counts[0] + len(NODES)))
    return int(counts[-1])


def assert_no_failure(total: Sum) -> None:
    assert total.ok > 100
    assert total.failed == 0, total


@pytest.fixture(scope="module", autouse=True)
def agents() -> None:
    for address in NODES.values():
        site.directly(address, bearer=token()).ensure("tally", TALLY)


def test_one_drained_node_costs_no_request() -> None:
    with load(BALANCER, "/api/v1/agents/tally/invoke", body=INVOKE) as total:
        site.playbook("drain", "--limit", "node2")
        assert site.directly(NODES["node2"]).get("/ready").body["reasons"] == ["draining"]
        site.playbook("undrain", "--limit", "node2")
    assert_no_failure(total)


def test_upgrade_under_load_and_nothing_is_lost_or_done_twice() -> None:
    before = tally()
    with load(BALANCER, "/api/v1/agents/tally/invoke", body=INVOKE) as total:
        site.playbook("upgrade", caxton_node_package=PRESENT)
    assert_no_failure(total)
    assert running() == everywhere(PRESENT)
    effects = tally() - before - len(NODES)
    assert total.ok <= effects <= total.ok + total.repeated


def test_a_second_upgrade_has_nothing_to_do() -> None:
    assert "changed=0" in site.playbook("upgrade", caxton_node_package=PRESENT).stdout


def test_a_package_that_does_not_work_is_taken_back_on_the_first_node(tmp_path: Path) -> None:
    broken = tmp_path / "caxton_99.0.0_amd64.deb"
    broken.write_bytes(b"no package at all")
    with load(BALANCER, "/api/v1/agents/tally/invoke", body=INVOKE) as total:
        done = site.playbook("upgrade", check=False, caxton_node_package=broken)
    assert done.returncode != 0
    assert running() == everywhere(PRESENT)
    assert_no_failure(total)
    for address in NODES.values():
        assert site.directly(address).get("/ready").status == 200


def test_the_way_back_under_load() -> None:
    before = tally()
    with load(BALANCER, "/api/v1/agents/tally/invoke", body=INVOKE) as total:
        site.playbook("rollback")
    assert_no_failure(total)
    assert running() == everywhere(PREVIOUS)
    effects = tally() - before - len(NODES)
    assert total.ok <= effects <= total.ok + total.repeated


def test_every_ledger_adds_up() -> None:
    for address in NODES.values():
        assert site.directly(address, bearer=token()).ledger()["imbalance"] == 0

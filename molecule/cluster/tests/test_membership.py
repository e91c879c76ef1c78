"""A node taken out for good and let in again under load, behind either engine; and one whose machine is gone.

The tests are steps of one story and run in their order. What is refused before any host is asked:
tests/ansible/test_membership_refusals.py.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checks import site
from checks.pressure import load
from checks.token import token
from checks.waiting import until
from lab.labs import Lab
from support.wat import TALLY

testinfra_hosts = ["ansible://caxton_balancers"]
NODES = {"node1": "10.42.2.11", "node2": "10.42.2.12", "node3": "10.42.2.13"}
GOING = "node3"
OTHERS = {"node1", "node2"}
HAPROXY, NGINX = "10.42.2.21", "10.42.2.22"
LAB = Lab("cluster")
INVOKE = json.dumps({"content": None, "delivery": "durable"})
RATE = 15
DATABASE = "/opt/caxton/data/local.db"
UNITS = [
    *("caxton.service", "caxton.socket", "caxton-router.service", "caxton-executor.service", "caxton-admin.service"),
    "caxton-gossip.service",
    *("caxton-backup.timer", "caxton-restore-drill.timer", "caxton-offsite.timer"),
]


def said(host: str, *command: str) -> str:
    """What a command in a machine prints; it must succeed."""
    done = LAB.run(host, *command)
    assert done.returncode == 0, done
    return done.stdout


def sent_to() -> dict[str, set[str]]:
    """The nodes that each engine sends requests to."""
    statistics = said("lb1", "curl", "-fsS", "http://127.0.0.1:8404/stats;csv").removeprefix("# ")
    rows = [row for row in csv.DictReader(statistics.splitlines()) if row["pxname"] == "caxton_backend"]
    lines = re.findall(r"^server \S+ max_fails=0; # (\S+)$", said("lb2", "cat", "/run/caxton-lb/in-force.conf"), re.M)
    return {"haproxy": {row["svname"] for row in rows if row["status"] == "UP"} - {"BACKEND"}, "nginx": set(lines)}


def known_to() -> dict[str, set[str]]:
    """The nodes that each engine has in its configuration at all, and those that are scraped."""
    cfg = said("lb1", "cat", "/etc/haproxy/haproxy.cfg")
    conf = said("lb2", "cat", "/run/caxton-lb/in-force.conf")
    targets = said("lb1", "curl", "-fsS", "http://127.0.0.1:9095/api/v1/targets")
    scraped = {target["labels"]["instance"] for target in json.loads(targets)["data"]["activeTargets"]}
    return {
        "haproxy": set(re.findall(r"^    server (\S+) ", cfg, re.MULTILINE)),
        "nginx": set(re.findall(r"; # (\S+)$", conf, re.MULTILINE)),
        "prometheus": scraped & set(NODES),
    }


def everywhere(nodes: set[str]) -> dict[str, set[str]]:
    """What `known_to` gives when these are the nodes."""
    return {"haproxy": nodes, "nginx": nodes, "prometheus": nodes}


def units(state: str) -> set[str]:
    """What `systemctl is-…` says of the node's units, each answer once."""
    return set(LAB.run(GOING, "systemctl", state, *UNITS).stdout.split())


def counted(node: str) -> int:
    """The node's own count of messages that took effect; to ask is one more."""
    return int(site.directly(NODES[node], bearer=token()).invoke("tally", None))


def changes(output: str) -> int:
    """How many tasks changed something, on all hosts."""
    recap = output[output.index("PLAY RECAP") :]
    return sum(int(count) for count in re.findall(r"changed=(\d+)", recap))


def last_task(output: str) -> str:
    """The task that a failed run ended at."""
    return re.findall(r"^TASK \[(.+)\]", output, re.MULTILINE)[-1]


def reached_through(address: str) -> bool:
    """Whether a few requests to a balancer reach the node that comes and goes."""
    before = counted(GOING)
    for _ in range(6):
        site.through(address, bearer=token()).invoke("tally", None)
    return counted(GOING) > before + 1


@contextmanager
def nobody_notices() -> Iterator[None]:
    """Load through either engine meanwhile: none of it fails."""
    path = "/api/v1/agents/tally/invoke"
    with load(HAPROXY, path, body=INVOKE, rate=RATE) as one, load(NGINX, path, body=INVOKE, rate=RATE) as other:
        yield
    for total in (one, other):
        assert total.ok > 100
        assert total.failed == 0, total


@pytest.fixture(scope="module", autouse=True)
def agents() -> None:
    for address in NODES.values():
        site.directly(address, bearer=token()).ensure("tally", TALLY)


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def count_before() -> int:
    return counted(GOING)


def test_a_node_where_messages_wait_stays(backups: Path) -> None:
    """An agent that is pinned there cannot move; what waits for it would be lost to sight."""
    client = site.directly(NODES[GOING], bearer=token())
    client.deploy("pinned", TALLY, node=GOING)
    said(GOING, "runuser", "-u", "caxton", "--", "caxton", "pause")
    assert client.post("/api/v1/messages", {"performative": "inform", "receiver": "pinned"}).status == 202
    done = site.playbook("remove_node", check=False, caxton_remove_node=GOING, caxton_backup_fetch_directory=backups)
    assert done.returncode != 0
    assert last_task(done.stdout) == "leave | Refuse to remove a node where messages wait"
    assert known_to() == everywhere(set(NODES))
    assert sent_to() == {"haproxy": OTHERS, "nginx": OTHERS}
    said(GOING, "runuser", "-u", "caxton", "--", "caxton", "resume")
    site.playbook("undrain", "--limit", GOING)
    assert client.ask("DELETE", "/api/v1/agents/pinned").status == 200
    assert sent_to() == {"haproxy": set(NODES), "nginx": set(NODES)}


def test_a_removed_node_is_known_to_nobody_and_keeps_what_it_has(backups: Path, count_before: int) -> None:
    assert count_before > 0
    with nobody_notices():
        site.playbook("remove_node", caxton_remove_node=GOING, caxton_backup_fetch_directory=backups)
    until(lambda: known_to() == everywhere(OTHERS), "somebody knows the node still")
    assert sent_to() == {"haproxy": OTHERS, "nginx": OTHERS}
    assert units("is-active") <= {"inactive", "failed"}
    assert "enabled" not in units("is-enabled")
    assert len(list((backups / GOING).glob("state_*.db.gz"))) == 1
    said(GOING, "test", "-s", DATABASE)


def test_to_remove_it_again_changes_nothing(backups: Path) -> None:
    before = said(GOING, "sha256sum", DATABASE)
    done = site.playbook("remove_node", caxton_remove_node=GOING, caxton_backup_fetch_directory=backups)
    assert changes(done.stdout) == 0
    assert said(GOING, "sha256sum", DATABASE) == before


def test_a_node_that_is_added_works_with_what_it_had(count_before: int) -> None:
    with nobody_notices():
        site.playbook("add_node", caxton_add_node=GOING)
        assert sent_to() == {"haproxy": set(NODES), "nginx": set(NODES)}
    assert site.directly(NODES[GOING]).get("/ready").status == 200
    assert counted(GOING) > count_before
    for address in (HAPROXY, NGINX):
        until(lambda address=address: reached_through(address), f"{address} sends nothing to the node")
    until(lambda: known_to() == everywhere(set(NODES)), "somebody does not know the node")
    assert units("is-active") == {"active"}


def test_to_add_it_again_changes_nothing() -> None:
    assert changes(site.playbook("add_node", caxton_add_node=GOING).stdout) == 0


def test_a_machine_that_is_gone_is_forgotten_and_comes_back() -> None:
    LAB.kill(GOING)
    try:
        site.playbook("remove_node", caxton_remove_node=GOING, caxton_remove_gone=True)
        until(lambda: known_to() == everywhere(OTHERS), "somebody knows the node still")
    finally:
        LAB.start(GOING)
    site.playbook("add_node", caxton_add_node=GOING)
    assert sent_to() == {"haproxy": set(NODES), "nginx": set(NODES)}
    assert site.directly(NODES[GOING], bearer=token()).ledger()["imbalance"] == 0

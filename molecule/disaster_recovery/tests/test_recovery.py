"""Backup, a disk that is gone, a fresh machine, restore: the same contents, and work goes on.

The tests are steps of one story and run in their order.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from checks import site
from checks.client import Client
from checks.token import token
from lab.labs import Lab
from support.wat import TALLY, sleeping

testinfra_hosts = ["ansible://caxton_balancers"]
NODE, BALANCER = "10.42.4.11", "10.42.4.21"
LAB = Lab("disaster_recovery")
READY_SECONDS = 60.0


@pytest.fixture(scope="module")
def client() -> Client:
    return site.through(BALANCER, bearer=token())


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def remembered() -> dict[str, Any]:
    """What the node held when it was backed up."""
    return {}


def contents(client: Client) -> dict[str, Any]:
    """Everything that must be the same after a restore."""
    agents = client.get("/api/v1/agents").body["items"]
    return {
        "agents": {one["name"]: (one["module_sha256"], one["status"], one["limits"]) for one in agents},
        "keys": client.get("/api/v1/agents/tally/state").body,
        "done": sorted(one["message_id"] for one in pages(client, "/api/v1/messages?state=done")),
        "ledger": client.ledger(),
    }


def pages(client: Client, path: str) -> list[Any]:
    found, cursor = [], ""
    while True:
        body = client.get(f"{path}&limit=200{cursor}").body
        found += body["items"]
        if not body.get("next_cursor"):
            return found
        cursor = f"&cursor={body['next_cursor']}"


def until_ready(client: Client) -> None:
    end = time.monotonic() + READY_SECONDS
    while client.get("/ready").status != 200:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_node_with_work_is_backed_up(client: Client, fetched: Path, remembered: dict[str, Any]) -> None:
    client.deploy("tally", TALLY)
    client.deploy("sleepy", sleeping(0.2))
    for _ in range(30):
        client.invoke("tally", None)
    site.playbook("backup", caxton_backup_fetch_directory=fetched)
    remembered.update(contents(client))
    names = [path.name for path in (fetched / "node1").iterdir()]
    assert any(name.startswith("state_") and name.endswith(".db.gz") for name in names)
    assert any(name.startswith("config_") for name in names)


def test_the_disk_is_gone_and_a_fresh_machine_becomes_a_node_again(client: Client) -> None:
    LAB.wipe("node1")
    LAB.start("node1")
    site.playbook("site")
    until_ready(client)
    assert client.get("/api/v1/agents").body["items"] == []


def test_a_damaged_backup_is_refused_and_the_node_stays_as_it_is(
    client: Client, fetched: Path, tmp_path: Path
) -> None:
    whole = newest(fetched)
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[:-1000])
    done = site.playbook("restore", check=False, caxton_restore_confirm="node1", caxton_restore_file=cut)
    assert done.returncode != 0
    assert "BACKUP_INVALID" in done.stdout or "damaged" in done.stdout
    LAB.run("node1", "systemctl", "start", "caxton")
    until_ready(client)


def newest(fetched: Path) -> Path:
    return max((fetched / "node1").glob("state_*.db.gz"))


def test_the_restore_brings_everything_back(client: Client, fetched: Path, remembered: dict[str, Any]) -> None:
    site.playbook("restore", caxton_restore_confirm="node1", caxton_restore_file=newest(fetched))
    until_ready(client)
    assert contents(client) == remembered
    assert client.invoke("tally", None) == 31, "the agent goes on where it was"
    assert client.invoke("sleepy", None) is True, "its module came with the backup"
    assert client.ledger()["imbalance"] == 0


def test_the_restored_node_backs_itself_up(client: Client) -> None:
    done = LAB.run("node1", "systemctl", "start", "caxton-restore-drill.service", timeout=180)
    assert done.returncode == 0, LAB.run("node1", "journalctl", "-u", "caxton-restore-drill", "-n", "30").stdout

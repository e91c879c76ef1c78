"""Drain, schema and doctor on an installed node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.installed_node import Clients, InstalledNode
from support.served_node import until

DATABASE = "/opt/caxton/data/local.db"


@pytest.fixture(autouse=True)
def well(node: InstalledNode) -> None:
    node.sh("systemctl start caxton; until caxton undrain && caxton resume; do sleep 0.2; done")
    node.until_ready()


def examined(node: InstalledNode) -> dict[str, list[str]]:
    """Statuses of the doctor's findings by name."""
    found: dict[str, list[str]] = {}
    for check in json.loads(node.sh("caxton doctor --output json", check=False))["checks"]:
        found.setdefault(check["name"], []).append(check["status"])
    return found


def reasons(node: InstalledNode) -> Any:
    answer = node.get("/ready")
    return answer[1].get("reasons") if answer else None


def edit(node: InstalledNode, statement: str) -> None:
    """Changes the database behind the router's back, as the node's user."""
    code = f"import sqlite3; c = sqlite3.connect('{DATABASE}'); c.execute('{statement}'); c.commit()"
    node.sh(f'runuser -u caxton -- /usr/lib/caxton/bin/python3 -I -c "{code}"')


def test_an_installed_node_is_healthy_by_its_own_account(node: InstalledNode) -> None:
    found = examined(node)
    assert not [name for name, statuses in found.items() if "fail" in statuses]
    for name in ("units", "ports", "ready", "probe", "schema", "permissions", "maintenance"):
        assert found[name] == ["ok"]


def test_a_drained_node_stays_so_across_a_restart_and_still_proves_that_it_works(node: InstalledNode) -> None:
    node.sh("caxton drain --wait 30s")
    try:
        node.sh("systemctl restart caxton")
        until(lambda: reasons(node) == ["draining"], "drained, and nothing else amiss", 90)
        refused = node.invoke("echo", 1)
        assert refused is not None
        assert (refused[0], refused[1]["error"]["code"]) == (503, "DRAINING")
        found = examined(node)
        assert (found["ready"], found["probe"]) == (["warn"], ["ok"])
    finally:
        node.sh("caxton undrain")
    assert (answer := node.invoke("echo", 1)) is not None
    assert answer[0] == 200


def test_a_drain_loses_no_request_that_was_under_way(node: InstalledNode) -> None:
    with Clients(node, "echo") as clients:
        node.sh("caxton drain --wait 30s")
        until(lambda: clients.answers[503] > 20, "requests sent elsewhere")
        node.sh("caxton undrain")
    assert set(clients.failed) == {503}


def test_a_router_that_waits_for_its_schema_is_a_service_that_runs(node: InstalledNode) -> None:
    edit(node, "UPDATE schema_info SET version = 99, compat = 99")
    try:
        node.sh("systemctl restart caxton")
        until(lambda: reasons(node) == ["schema"], "the schema is named", 90)
        until(lambda: set(node.states().values()) == {"active"}, "every unit active", 30)  # the address answers first
        assert node.sh("systemctl show -p NRestarts --value caxton-router.service") == "0"
        assert "schema" in node.sh("systemctl show -p StatusText --value caxton-router.service")
        assert examined(node)["schema"] == ["fail"]
    finally:
        edit(node, "UPDATE schema_info SET version = 1, compat = 1")
    node.until_ready()

"""`caxton cluster` and `caxton ledger --cluster`, against a node that is alone."""

from __future__ import annotations

from support.served_node import ServedNode


def test_status_says_whether_the_cluster_is_whole(node: ServedNode) -> None:
    shown = node.cli("cluster", "status")
    assert shown.returncode == 0
    view = node.json("cluster", "status", "--wait", "1s")
    assert view["node_id"] in shown.stdout
    assert "alone" in shown.stdout
    assert node.json("cluster", "status", "--here") == view
    assert [one["node_id"] for one in node.json("cluster", "members")] == [view["node_id"]]
    assert node.json("cluster", "nodes") == node.json("cluster", "members")
    assert node.json("cluster", "report") == []


def test_a_drained_node_is_no_whole_cluster_except_without_it(node: ServedNode) -> None:
    name = node.json("cluster", "status")["node_id"]
    assert node.cli("cluster", "drain", name, "--wait", "5s").returncode == 0
    try:
        shown = node.cli("cluster", "status")
        assert shown.returncode == 1
        assert f"draining {name}" in shown.stdout
        assert node.cli("cluster", "status", "--here", "--without", name).returncode == 0
        about = node.cli("cluster", "status", "--about", "another")
        assert about.returncode == 1
        assert "missing another" in about.stdout
        assert node.cli("cluster", "status", "--about", name).returncode == 1
    finally:
        assert node.cli("cluster", "undrain", name).returncode == 0
    assert node.cli("cluster", "status", "--wait", "10s").returncode == 0
    assert node.cli("cluster", "drain", "nowhere").returncode == 1


def test_the_ledger_of_every_node(node: ServedNode, echo: str) -> None:
    assert node.cli("agent", "invoke", echo, "1").returncode == 0
    shown = node.cli("ledger", "--cluster")
    assert shown.returncode == 0
    assert "cluster" in shown.stdout
    assert node.json("ledger", "--cluster")["balanced"] is True

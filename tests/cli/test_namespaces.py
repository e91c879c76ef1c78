"""`caxton namespace`, against a real node."""

from __future__ import annotations

from support.served_node import ServedNode


def test_quotas_are_set_shown_listed_and_removed(node: ServedNode) -> None:
    made = node.json("namespace", "set", "team", "--agents", "3", "--stored-bytes", "5MB")
    assert made["quota"] == {"agents": 3, "stored_bytes": 5_000_000}
    shown = node.cli("namespace", "show", "team").stdout
    assert "stored_bytes" in shown
    assert "5000000" in shown
    assert [one["name"] for one in node.json("namespace", "list")] == ["team"]
    changed = node.json("namespace", "set", "team", "--messages-per-second", "2.5", "--cpu-seconds-per-minute", "30")
    assert changed["quota"] == {"messages_per_second": 2.5, "cpu_seconds_per_minute": 30.0}
    assert node.json("namespace", "remove", "team") == {"count": 1}
    assert node.cli("namespace", "show", "team").returncode == 1
    assert node.cli("namespace", "set", "team", "--messages-per-second", "0").returncode == 2

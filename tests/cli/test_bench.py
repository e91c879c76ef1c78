from __future__ import annotations

from support.served_node import ServedNode


def test_bench_measures_and_leaves_nothing_behind(node: ServedNode) -> None:
    before = node.json("ledger")["node"]
    rows = node.json("bench", "--duration", "1s", "--connections", "2")
    assert [row["errors"] for row in rows] == [0, 0]
    for row in rows:
        assert row["count"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    after = node.json("ledger")["node"]
    assert after["accepted"] - before["accepted"] == rows[0]["count"] + rows[1]["count"]
    assert after["dead"] == before["dead"]
    assert not [agent for agent in node.json("agent", "list") if agent["name"].startswith("caxton-bench")]

"""What a scrape shows: the documented metrics, no other, and true ones."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import httpx
import pytest
from api.conftest import Deploy

import caxton
from support import wat
from support.node import Node, until

PAGE = Path(__file__).resolve().parents[2] / "app" / "docs" / "metrics.md"


def scrape(node: Node) -> str:
    return httpx.get(f"{node.metrics_url}/metrics").text


def value(node: Node, sample: str) -> float:
    """The value of a sample, labels included; 0 when it is not there."""
    return next(
        (float(line.rpartition(" ")[2]) for line in scrape(node).splitlines() if line.startswith(sample + " ")), 0.0
    )


def families(text: str) -> dict[str, str]:
    """Type by name; counters without their `_total`."""
    return {name.removesuffix("_total") if kind == "counter" else name: kind
            for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)}  # fmt: skip


def documented() -> dict[str, str]:
    return dict(re.findall(r"^\| `(caxton_[a-z_*]+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE))


def test_every_metric_and_no_other_is_documented(http: httpx.Client, node: Node) -> None:
    http.get("/agents")
    shown, pages = families(scrape(node)), documented()
    alone = {name: kind for name, kind in pages.items() if not name.startswith("caxton_cluster_")}
    assert alone != pages  # those are of a node that is not alone
    exact = {name: kind for name, kind in alone.items() if "*" not in name}
    patterns = [name for name in pages if "*" in name]
    other = {name: kind for name, kind in shown.items() if not any(fnmatch(name, one) for one in patterns)}
    assert other == exact


def test_executions_are_counted_by_how_they_end(node: Node, http: httpx.Client, deploy: Deploy) -> None:
    samples = [
        'caxton_executions_total{status="ok"}',
        'caxton_executions_total{status="error"}',
        "caxton_execution_duration_seconds_count",
        'caxton_execution_failures_total{code="AGENT_FAILED"}',
    ]
    good, bad = deploy(wat.ECHO), deploy(wat.TRAP)
    before = [value(node, sample) for sample in samples]
    for _ in range(3):
        assert http.post(f"/agents/{good}/invoke", json={}).status_code == 200
    assert http.post(f"/agents/{bad}/invoke", json={}).status_code == 502
    after = [value(node, sample) for sample in samples]
    assert [b - a for a, b in zip(before, after, strict=True)] == [3, 1, 4, 1]
    assert value(node, 'caxton_execution_duration_seconds_bucket{le="+Inf"}') == after[2]


def test_dead_letters_are_those_held_now(node: Node, http: httpx.Client, deploy: Deploy) -> None:
    name, before = deploy(wat.TRAP), value(node, "caxton_dead_letters")
    http.post("/messages", json=[{"performative": "inform", "receiver": name}] * 3)
    until(lambda: value(node, "caxton_dead_letters") == before + 3, 20, "three dead letters")
    http.post("/dead-letters/purge", json={"agent": name})
    assert value(node, "caxton_dead_letters") == before


def test_a_node_that_takes_no_work_says_so_and_why(node: Node, paused: object) -> None:
    assert value(node, "caxton_ready") == 0
    assert value(node, 'caxton_not_ready{reason="paused"}') == 1
    assert value(node, "caxton_paused") == 1
    assert callable(paused)
    paused()
    assert value(node, "caxton_ready") == 1
    assert "caxton_not_ready{" not in scrape(node)


@pytest.mark.parametrize("component", ["api", "router", "executor"])
def test_what_runs_says_its_version(node: Node, component: str) -> None:
    sample = f'caxton_build_info{{component="{component}",version="{caxton.__version__}"}}'
    assert value(node, sample) == 1


def test_limits_and_commits_are_there_for_alerts(node: Node, http: httpx.Client) -> None:
    assert value(node, "caxton_executor_workers") >= 2
    assert 0 < value(node, "caxton_executor_resident_bytes") < value(node, "caxton_executor_memory_limit_bytes")
    before = value(node, "caxton_store_commits_total")
    http.post("/messages", json={"performative": "inform", "receiver": "echo"})
    assert value(node, "caxton_store_commits_total") > before
    assert value(node, "caxton_store_commit_seconds_total") > 0

"""What a scrape shows: the documented metrics, no other, and true ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import httpx
import pytest
from api.checks import settle
from api.conftest import Deploy

import caxton
from support import wat
from support.node import Node, until
from support.scrape import sample

PAGE = Path(__file__).resolve().parents[2] / "app" / "docs" / "metrics.md"


def scrape(node: Node) -> str:
    return httpx.get(f"{node.metrics_url}/metrics").text


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
    before = [sample(node, series) for series in samples]
    for _ in range(3):
        assert http.post(f"/agents/{good}/invoke", json={}).status_code == 200
    assert http.post(f"/agents/{bad}/invoke", json={}).status_code == 502
    after = [sample(node, series) for series in samples]
    assert [b - a for a, b in zip(before, after, strict=True)] == [3, 1, 4, 1]
    assert sample(node, 'caxton_execution_duration_seconds_bucket{le="+Inf"}') == after[2]


def test_dead_letters_are_those_held_now(node: Node, http: httpx.Client, deploy: Deploy) -> None:
    name, before = deploy(wat.TRAP), sample(node, "caxton_dead_letters")
    http.post("/messages", json=[{"performative": "inform", "receiver": name}] * 3)
    until(lambda: sample(node, "caxton_dead_letters") == before + 3, 20, "three dead letters")
    http.post("/dead-letters/purge", json={"agent": name})
    assert sample(node, "caxton_dead_letters") == before


def test_a_node_that_takes_no_work_says_so_and_why(node: Node, paused: object) -> None:
    assert sample(node, "caxton_ready") == 0
    assert sample(node, 'caxton_not_ready{reason="paused"}') == 1
    assert sample(node, "caxton_paused") == 1
    assert callable(paused)
    paused()
    assert sample(node, "caxton_ready") == 1
    assert "caxton_not_ready{" not in scrape(node)


@pytest.mark.parametrize("component", ["api", "router", "executor"])
def test_what_runs_says_its_version(node: Node, component: str) -> None:
    series = f'caxton_build_info{{component="{component}",version="{caxton.__version__}"}}'
    assert sample(node, series) == 1


def test_limits_and_commits_are_there_for_alerts(node: Node, http: httpx.Client) -> None:
    assert sample(node, "caxton_executor_workers") >= 2
    assert 0 < sample(node, "caxton_executor_resident_bytes") < sample(node, "caxton_executor_memory_limit_bytes")
    before = sample(node, "caxton_store_commit_seconds_count")
    http.post("/messages", json={"performative": "inform", "receiver": "echo"})
    assert sample(node, "caxton_store_commit_seconds_count") > before
    assert sample(node, "caxton_store_commit_seconds_sum") > 0


def test_an_agent_has_its_own_numbers(node: Node, http: httpx.Client, deploy: Deploy) -> None:
    good, bad = deploy(wat.ECHO, profile="deterministic"), deploy(wat.TRAP)
    for _ in range(2):
        assert http.post(f"/agents/{good}/invoke", json={}).status_code == 200
    assert http.post(f"/agents/{bad}/invoke", json={}).status_code == 502
    assert sample(node, f'caxton_agent_executions_total{{agent="{good}",status="ok"}}') == 2
    assert sample(node, f'caxton_agent_executions_total{{agent="{bad}",status="error"}}') == 1
    wall, cpu, fuel = (sample(node, f'caxton_agent_{name}_total{{agent="{good}"}}') for name in
                       ("execution_seconds", "cpu_seconds", "fuel"))  # fmt: skip
    assert wall >= cpu > 0
    assert 0 < fuel <= sample(node, "caxton_execution_fuel_total")
    assert sample(node, f'caxton_agent_fuel_total{{agent="{bad}"}}') == 0
    assert sample(node, f'caxton_agent_memory_bytes{{agent="{good}"}}') == 20 * 65_536


def test_what_waits_is_counted_and_has_an_age(
    node: Node, http: httpx.Client, deploy: Deploy, paused: Callable[[], object]
) -> None:
    name = deploy(wat.SILENT)
    assert sample(node, "caxton_queue_oldest_seconds") == 0
    http.post("/messages", json=[{"performative": "inform", "receiver": name}] * 3)
    assert sample(node, f'caxton_agent_messages{{agent="{name}",state="pending"}}') == 3
    assert sample(node, "caxton_queue_messages") == 3
    age = sample(node, "caxton_queue_oldest_seconds")
    until(lambda: sample(node, "caxton_queue_oldest_seconds") > age > 0, 10, "it grows")
    paused()
    until(lambda: sample(node, "caxton_queue_oldest_seconds") == 0, 20, "nothing waits")


def test_what_is_compiled_is_timed_and_what_is_refused_is_counted(
    node: Node, http: httpx.Client, deploy: Deploy
) -> None:
    refused = 'caxton_modules_refused_total{code="INVALID_WASM"}'
    compiled, before = sample(node, "caxton_module_compile_seconds_count"), sample(node, refused)
    deploy(wat.ECHO.replace("4096", "8192"))
    assert sample(node, "caxton_module_compile_seconds_count") == compiled + 1
    job = http.post("/agents", json={"name": "odd", "wat": '(module (import "who" "knows" (func)))'}).json()
    if "job_id" in job:
        settle(http, f"/jobs/{job['job_id']}", "failed")
    assert sample(node, refused) == before + 1
    assert sample(node, "caxton_module_compile_seconds_count") == compiled + 1

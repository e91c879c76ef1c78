from __future__ import annotations

import uuid

import httpx
import pytest
from api.checks import problem
from support.node import Node


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_health_and_readiness_are_open_everywhere(node: Node, guarded: Node, base: str) -> None:
    for url in (node.url, guarded.url, guarded.admin_url):
        assert httpx.get(f"{url}{base}/health").json() == {"status": "ok"}
        assert httpx.get(f"{url}{base}/ready").json()["ready"] is True


def test_the_ledger(http: httpx.Client) -> None:
    assert http.get("/ledger").json()["node"]["imbalance"] == 0


def test_an_unknown_job_is_404(http: httpx.Client) -> None:
    problem(http.get(f"/jobs/{uuid.uuid4()}"), 404, "JOB_NOT_FOUND")
    problem(http.get("/jobs/7"), 404, "JOB_NOT_FOUND")


def test_events_resume_after_the_last_id(http: httpx.Client) -> None:
    with http.stream("GET", "/events?types=agent.*", headers={"Last-Event-ID": "41"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert [next(lines), next(lines)] == ["id: 42", "event: agent.x"]
        assert next(lines).startswith('data: {"id":42,')


@pytest.mark.parametrize("last_id", ["-1", "x", "1" * 19])
def test_an_event_id_that_is_none_is_refused(http: httpx.Client, last_id: str) -> None:
    problem(http.get("/events", headers={"Last-Event-ID": last_id}), 400, "INVALID_REQUEST")

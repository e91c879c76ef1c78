"""GET /health, /ready and /ledger."""

from __future__ import annotations

import httpx
import pytest
from api.checks import BASE, problem
from api.conftest import Deploy

from support.node import Node, until
from support.wat import SILENT


@pytest.mark.parametrize("base", ["", BASE])
def test_health_and_readiness_are_open_everywhere(node: Node, guarded: Node, base: str) -> None:
    for url in (node.url, guarded.url, guarded.admin_url):
        assert httpx.get(f"{url}{base}/health").json() == {"status": "ok"}
        assert httpx.get(f"{url}{base}/ready").json()["ready"] is True


@pytest.mark.parametrize(
    "path", ["/health", "/ready", "/agents", "/agents/echo", "/ledger", "/openapi.json", "/docs"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_every_answer_says_which_request_it_answers(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path, headers={"X-Request-Id": "mine"})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "mine"
    assert len(answer.headers["x-trace-id"]) == 32


def test_a_paused_node_is_not_ready_and_says_why(node: Node, paused: object) -> None:
    answer = httpx.get(f"{node.url}/ready")
    assert problem(answer, 503, "NOT_READY")["reasons"] == ["paused"]
    assert (answer.json()["ready"], answer.json()["reasons"]) == (False, ["paused"])
    assert httpx.get(f"{node.url}/health").status_code == 200


def test_the_ledger_counts_and_balances(node: Node, http: httpx.Client, deploy: Deploy) -> None:
    name = deploy(SILENT)
    http.post("/messages", json=[{"performative": "inform", "receiver": name}] * 7)
    for _ in range(3):
        http.post(f"/agents/{name}/invoke", json={})

    def counted() -> object:
        rows = [row for row in http.get("/ledger").json()["agents"] if row["name"] == name]
        return rows[0] if rows and rows[0]["done"] == 10 else None

    row = until(counted, 10, "ten are done")
    assert (row["accepted"], row["pending"], row["in_flight"], row["imbalance"]) == (10, 0, 0, 0)
    total = node.settled()
    assert total["imbalance"] == 0
    assert total["accepted"] >= 10


def test_what_runs_is_in_the_ledger(node: Node, http: httpx.Client, deploy: Deploy, paused: object) -> None:
    name = deploy(SILENT)
    http.post("/messages", json=[{"performative": "inform", "receiver": name}] * 7)
    (row,) = (row for row in node.ledger()["agents"] if row["name"] == name)
    assert (row["accepted"], row["pending"], row["imbalance"]) == (7, 7, 0)

from __future__ import annotations

import httpx

from support.node import Node

NAME = "caxton_http_request_duration_seconds"


def count(node: Node, method: str, route: str, status: int) -> float:
    """How many requests the node has counted, over all API workers."""
    text = httpx.get(f"{node.metrics_url}/metrics").text
    start = f'{NAME}_count{{method="{method}",route="{route}",status="{status}"}} '
    return next((float(line[len(start) :]) for line in text.splitlines() if line.startswith(start)), 0.0)


def test_every_answer_of_every_worker_is_counted_once(http: httpx.Client, node: Node) -> None:
    route = "/api/v1/agents/<agent:name>"
    before = count(node, "GET", route, 404)
    for _ in range(10):  # a fresh connection each time: it may be any worker's
        httpx.get(f"{node.url}/api/v1/agents/nobody")
    assert count(node, "GET", route, 404) == before + 10


def test_the_short_cut_counts_like_flask(http: httpx.Client, node: Node) -> None:
    route = "/api/v1/agents/<agent:name>/invoke"
    before = count(node, "POST", route, 404), count(node, "POST", route, 400)
    assert http.post("/agents/nobody/invoke", json={}).status_code == 404  # plain
    chunked = http.post("/agents/nobody/invoke", content=iter([b"{}"]), headers={"Content-Type": "application/json"})
    assert chunked.status_code == 404  # through gunicorn
    assert http.post("/agents/nobody/invoke?x=1", json={}).status_code == 400  # through Flask
    assert count(node, "POST", route, 404) == before[0] + 2
    assert count(node, "POST", route, 400) == before[1] + 1


def test_what_has_no_route_is_one_label(http: httpx.Client, node: Node) -> None:
    before = count(node, "GET", "unknown", 404)
    for path in ("/nothing", "/nothing-else"):
        assert http.get(path).status_code == 404
    assert count(node, "GET", "unknown", 404) == before + 2

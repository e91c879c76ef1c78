from __future__ import annotations

import os
import re
import signal

import httpx
from api.conftest import brief_node

from support.node import Node, until

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


def test_nobody_makes_the_admin_servers_metrics_grow(http: httpx.Client, node: Node, admin: httpx.Client) -> None:
    for method, path in (("GET", "/a"), ("GET", "/b"), ("BREW", "/b"), ("STEEP", "/metrics"), ("PORE", "/health")):
        assert httpx.request(method, f"{node.metrics_url}{path}").status_code in (404, 405)
    assert admin.delete("/keys/some-key").status_code == 404
    text = httpx.get(f"{node.metrics_url}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("caxton_admin_http_request")]
    assert not [line for line in lines if re.search('/a"|/b|BREW|STEEP|PORE|some-key', line)]
    for labels in ('method="GET",route="unknown",status="404"', 'method="unknown",route="unknown",status="405"',
                   'method="DELETE",route="/api/v1/admin/keys/<key_id>",status="404"'):  # fmt: skip
        assert [line for line in lines if labels in line]


def test_workers_are_summed_those_that_ended_too_under_the_names_and_buckets_that_are_set() -> None:
    route, path = "/api/v1/agents/<agent:name>", "/api/v1/agents/nobody"
    settings = {"metrics_prefix": "acme", "histogram_buckets": [0.5, 60.0]}
    with brief_node(networking={"workers": 3}, observability=settings) as node:
        workers = until(lambda: len(found := node.gunicorn("api")[1]) == 3 and found, 20, "three workers")

        def sample(suffix: str, *labels: str) -> float:
            inside = ",".join((*labels, 'method="GET"', f'route="{route}"', 'status="404"'))
            start = f"acme_http_request_duration_seconds_{suffix}{{{inside}}} "
            lines = httpx.get(f"{node.metrics_url}/metrics").text.splitlines()
            assert not [line for line in lines if line.startswith("caxton_")]
            return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), 0.0)

        for number, worker in enumerate(workers, 1):
            stopped = [pid for pid in workers if pid != worker]
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)  # so that it is this one that answers
            for _ in range(number):
                assert httpx.get(node.url + path, timeout=30).status_code == 404
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        assert sample("count") == 1 + 2 + 3
        os.kill(workers[0], signal.SIGKILL)
        until(lambda: workers[0] not in node.gunicorn("api")[1], 20, "it is gone")
        assert sample("count") == 1 + 2 + 3
        assert sample("bucket", 'le="60.0"') == sample("bucket", 'le="+Inf"') == 1 + 2 + 3
        text = httpx.get(f"{node.metrics_url}/metrics").text
        for name in ("http_request", "execution"):
            bounds = [line for line in text.splitlines() if line.startswith(f"acme_{name}_duration_seconds_bucket")]
            assert {line.partition('le="')[2].partition('"')[0] for line in bounds} == {"0.5", "60.0", "+Inf"}

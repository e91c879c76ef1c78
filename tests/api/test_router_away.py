"""The API while the router is away, hangs or dies; the API's own processes ending."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from api.checks import BASE, problem
from api.conftest import furnished

from support.node import Node, until
from support.wat import sleeping


@pytest.fixture(scope="module")
def lonely() -> Iterator[Node]:
    """A node whose processes the tests may end; it is impatient with its router."""
    with furnished(networking={"request_timeout": "1s"}) as made:
        made.deploy("slow", sleeping(60))
        yield made


def status(node: Node, method: str, path: str, **options: object) -> int:
    """The status of a request on a connection of its own; 0 when it breaks."""
    try:
        return httpx.request(method, node.url + path, timeout=20, **options).status_code  # type: ignore[arg-type]  # httpx's own options
    except httpx.TransportError:
        return 0


def test_without_a_router_the_answer_is_503_until_it_is_back(lonely: Node) -> None:
    url = lonely.url + BASE
    assert httpx.get(f"{url}/ledger").status_code == 200
    assert lonely.process is not None
    with lonely.suspended(lonely.process.pid):  # or it would start another router at once
        lonely.kill("router")
        until(lambda: status(lonely, "GET", f"{BASE}/ledger") == 503, 5, "the router is missed")
        for _ in range(3):
            problem(httpx.get(f"{url}/ledger"), 503, "NOT_READY")
            problem(httpx.post(f"{url}/agents/echo/invoke", json={}), 503, "NOT_READY")
            problem(httpx.post(f"{url}/messages", json={"performative": "inform", "receiver": "a"}), 503, "NOT_READY")
            problem(httpx.get(f"{url}/events"), 503, "NOT_READY")
            problem(httpx.get(f"{url}/agents/echo/logs?follow=true"), 503, "NOT_READY")
        assert httpx.get(f"{lonely.url}/health").status_code == 200
        assert problem(httpx.get(f"{lonely.url}/ready"), 503, "NOT_READY")["reasons"] == ["router"]
        metrics = httpx.get(f"{lonely.metrics_url}/metrics")
        assert (metrics.status_code, "caxton_router_up 0.0" in metrics.text) == (200, True)
    lonely.wait_ready()
    assert httpx.post(f"{url}/agents/echo/invoke", json={}).status_code == 200


def test_a_router_that_hangs_is_not_waited_for_for_ever(lonely: Node) -> None:
    (router,) = lonely.pids("router")
    with lonely.suspended(router):
        started = time.monotonic()
        problem(httpx.get(f"{lonely.url}{BASE}/ledger", timeout=20), 503, "NOT_READY")
        assert time.monotonic() - started < 4
        assert httpx.get(f"{lonely.url}/health").status_code == 200
    lonely.wait_ready()


def test_who_waits_is_told_when_the_router_dies(lonely: Node) -> None:
    url = lonely.url + BASE
    answers: list[httpx.Response] = []

    def wait() -> None:
        answers.append(httpx.post(f"{url}/agents/slow/invoke", json={"timeout_seconds": 60}, timeout=30))

    threads = [threading.Thread(target=wait) for _ in range(5)]
    with httpx.stream("GET", f"{url}/events", timeout=20) as stream:
        lines = stream.iter_lines()
        assert next(lines)
        for thread in threads:
            thread.start()

        until(lambda: "caxton_queue_messages 5.0" in httpx.get(f"{lonely.metrics_url}/metrics").text, 10, "five wait")
        lonely.kill("router")
        assert "event: error" in list(lines)
    for thread in threads:
        thread.join(20)
    assert len(answers) == 5
    for answer in answers:
        problem(answer, 503, "NOT_READY")
    lonely.wait_ready()


def test_a_worker_that_dies_is_replaced_and_connects_by_itself(lonely: Node) -> None:
    _, (pid,) = lonely.gunicorn("api")
    os.kill(pid, signal.SIGKILL)
    until(lambda: lonely.gunicorn("api")[1] not in ([], [pid]), 20, "another worker")
    until(lambda: status(lonely, "GET", f"{BASE}/ledger") == 200, 20, "it answers")


def test_hup_takes_the_new_configuration_without_losing_the_router(lonely: Node) -> None:
    invoke = f"{BASE}/agents/echo/invoke"
    assert status(lonely, "POST", invoke, json={"content": "x" * 5000}) == 200
    (router,) = lonely.pids("router")
    lonely.reload("messaging", max_message_size="1kB")
    until(lambda: status(lonely, "POST", invoke, json={"content": "x" * 5000}) == 413, 20, "the new limit")
    assert lonely.pids("router") == [router]


def test_sigterm_ends_idle_connections_and_streams_soon(lonely: Node) -> None:
    master, _ = lonely.gunicorn("api")
    with httpx.Client() as client, httpx.stream("GET", f"{lonely.url}{BASE}/events", timeout=20) as stream:
        assert client.get(f"{lonely.url}/health").status_code == 200
        lines = stream.iter_lines()
        assert next(lines)
        os.kill(master, signal.SIGTERM)
        started = time.monotonic()
        list(lines)
        until(lambda: master not in lonely.pids("api"), 6, "the API has ended")
        assert time.monotonic() - started < 6
    lonely.wait_ready()

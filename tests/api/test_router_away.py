from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import httpx
import pytest
from api.checks import problem
from api.nodes import Node, await_true, make_node, workers_of


@pytest.fixture
def lonely() -> Iterator[Node]:
    """A node of its own, whose processes the test may end."""
    made = make_node()
    yield made
    made.stop()


def test_without_a_router_the_answer_is_503_until_it_is_back(lonely: Node) -> None:
    url = f"{lonely.url}/api/v1"
    assert httpx.get(f"{url}/ledger").status_code == 200
    lonely.kill("router")
    for _ in range(3):
        problem(httpx.get(f"{url}/ledger"), 503, "NOT_READY")
        problem(httpx.post(f"{url}/agents/a/invoke", json={}), 503, "NOT_READY")
        problem(httpx.post(f"{url}/messages", json={"performative": "inform", "receiver": "a"}), 503, "NOT_READY")
    assert httpx.get(f"{lonely.url}/health").status_code == 200
    assert problem(httpx.get(f"{lonely.url}/ready"), 503, "NOT_READY")["reasons"] == ["router"]
    lonely.start_router()
    await_true(lambda: httpx.get(f"{url}/ledger").status_code == 200, 3)


def test_who_waits_is_told_when_the_router_dies(lonely: Node) -> None:
    url = f"{lonely.url}/api/v1"
    httpx.post(f"{url}/agents", json={"name": "slow", "wat": "(module)"})
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(httpx.post(f"{url}/agents/slow/invoke", json={}, timeout=30)))
        for _ in range(5)
    ]
    with httpx.stream("GET", f"{url}/events", timeout=20) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "id: 1"
        for thread in threads:
            thread.start()
        await_true(lambda: connections(lonely) >= 6)
        lonely.kill("router")
        assert "event: error" in list(lines)
    for thread in threads:
        thread.join(20)
    assert len(answers) == 5
    for answer in answers:
        problem(answer, 503, "NOT_READY")


def connections(node: Node) -> int:
    """How many sockets the API worker has towards clients, one for each request under way."""
    (pid,) = workers_of(node.processes["api"])
    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return sum(link.startswith("socket:") for link in links) - 2


def test_a_worker_that_dies_is_replaced_and_connects_by_itself(lonely: Node) -> None:
    (pid,) = workers_of(lonely.processes["api"])
    os.kill(pid, signal.SIGKILL)
    await_true(lambda: workers_of(lonely.processes["api"]) not in ([], [pid]), 20)
    await_true(lambda: answers_200(f"{lonely.url}/api/v1/ledger"), 20)


def test_hup_takes_the_new_configuration_without_losing_the_router(lonely: Node) -> None:
    url = f"{lonely.url}/api/v1/agents"
    httpx.post(url, json={"name": "echo", "wat": "(module)"})
    assert httpx.post(f"{url}/echo/invoke", json={"content": "x" * 5000}).status_code == 200
    path = lonely.config
    path.write_text(path.read_text() + '[messaging]\nmax_message_size = "1kB"\n')
    lonely.processes["api"].send_signal(signal.SIGHUP)
    await_true(lambda: status(f"{url}/echo/invoke", "x" * 5000) == 413, 20)


def test_sigterm_ends_idle_connections_and_streams_soon(lonely: Node) -> None:
    with httpx.Client() as client, httpx.stream("GET", f"{lonely.url}/api/v1/events", timeout=20) as stream:
        assert client.get(f"{lonely.url}/health").status_code == 200
        lines = stream.iter_lines()
        assert next(lines) == "id: 1"
        lonely.processes["api"].send_signal(signal.SIGTERM)
        assert lonely.processes["api"].wait(6) == 0


def status(url: str, content: str) -> int:
    try:
        return httpx.post(url, json={"content": content}).status_code
    except httpx.TransportError:
        return 0


def answers_200(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False

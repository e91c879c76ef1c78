"""The API on a socket that is not its own: restarts, reloads and ends that no client notices."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from support import wat
from support.activated_api import ActivatedApi
from support.desk_node import until
from support.node import free_port

BODY = b'{"content": 1}'
HEADERS = {"Content-Type": "application/json"}
INVOKE = "/api/v1/agents/echo/invoke"


@pytest.fixture(scope="module")
def node() -> Iterator[ActivatedApi]:
    with ActivatedApi() as made:
        deploy(made, "echo", wat.ECHO)
        deploy(made, "sleeper", wat.SLEEP)
        yield made


def deploy(node: ActivatedApi, name: str, text: str) -> None:
    answer = httpx.post(f"{node.url}/api/v1/agents", json={"name": name, "wat": text}, timeout=60)
    assert answer.status_code in (201, 202)
    until(lambda: httpx.get(f"{node.url}/api/v1/agents/{name}").json().get("status") == "running")


@contextmanager
def clients(node: ActivatedApi, *, kept: int, fresh: int) -> Iterator[tuple[list[int], list[str]]]:
    """Clients that ask without pause and never try twice: `kept` keep their connection, `fresh` do not."""
    enough, answers, failures = threading.Event(), [], []

    def ask(keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        while not enough.is_set():
            try:
                connection.request("POST", INVOKE, BODY, HEADERS | ({} if keep else {"Connection": "close"}))
                answer = connection.getresponse()
                answer.read()
                answers.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection.close()
        connection.close()

    threads = [threading.Thread(target=ask, args=(number < kept,)) for number in range(kept + fresh)]
    for thread in threads:
        thread.start()
    try:
        yield answers, failures
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def go_on(answers: list[int], count: int = 200) -> None:
    """Until so many more were answered."""
    known = len(answers)
    until(lambda: len(answers) >= known + count)


def test_a_reload_under_load_fails_and_refuses_nothing(node: ActivatedApi) -> None:
    master = node.apis[-1]
    with clients(node, kept=4, fresh=2) as (answers, failures):
        for _ in range(3):
            go_on(answers)
            node.reload_api(master)
        go_on(answers)
    assert failures == []
    assert set(answers) == {200}


def test_a_restart_under_load_refuses_nothing(node: ActivatedApi) -> None:
    with clients(node, kept=4, fresh=2) as (answers, failures):
        for _ in range(2):
            go_on(answers)
            node.apis[-1].terminate()
            assert node.apis[-1].wait(30) == 0
            node.start_api()
            until(node.api_answers)
        go_on(answers)
    assert failures == []
    assert set(answers) == {200}


def test_an_end_waits_for_requests_and_not_for_idle_connections(node: ActivatedApi) -> None:
    idle = [http.client.HTTPConnection("127.0.0.1", node.port, timeout=30) for _ in range(20)]
    for connection in idle:
        connection.request("POST", INVOKE, BODY, HEADERS)
        assert connection.getresponse().read()
    under_way = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    under_way.request("POST", "/api/v1/agents/sleeper/invoke", b'{"content": null}', HEADERS)
    until(lambda: in_flight(node) == 1)
    started = time.monotonic()
    node.apis[-1].terminate()
    until(lambda: not node.workers(node.apis[-1]) or stopping(node))
    late = idle.pop()
    late.request("POST", INVOKE, BODY, HEADERS)
    answer = late.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    answer = under_way.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert node.apis[-1].wait(30) == 0
    assert time.monotonic() - started < 15  # far from keepalive_timeout (60 s) and graceful_timeout (30 s)
    for connection in idle:
        assert connection.sock is not None
        assert connection.sock.recv(1) == b""
    for connection in [*idle, late, under_way]:
        connection.close()
    node.start_api()
    until(node.api_answers)


def in_flight(node: ActivatedApi) -> int:
    with node.client() as client:
        return int(client.call("stats")["core"]["in_flight"])


def stopping(node: ActivatedApi) -> bool:
    """Whether the API accepts nothing any more: a new connection stays in the socket's queue."""
    with socket.create_connection(("127.0.0.1", node.port)) as probe:
        probe.settimeout(0.3)
        probe.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        try:
            return probe.recv(1) == b""
        except TimeoutError:
            return True


def test_a_worker_that_ends_waits_for_requests_that_are_on_their_way(node: ActivatedApi) -> None:
    """Whoever has connected before the reload is answered: who says nothing at first, and who has said a half."""
    head = f"POST {INVOKE} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
    request = head.encode() + b"\r\n" + BODY
    with contextlib.ExitStack() as held:
        connections = [held.enter_context(socket.create_connection(("127.0.0.1", node.port), 30)) for _ in range(20)]
        silent, begun, served = connections[:6], connections[6:12], connections[12:]
        for connection in begun:
            connection.sendall(request[:20])
        for connection in served:  # whoever is answered came after the others: workers have all of them
            connection.sendall(request)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        reload = threading.Thread(target=node.reload_api, args=(node.apis[-1],))
        reload.start()
        for connection in served:
            assert connection.recv(1) == b""  # those that are merely idle are ended first
        for connection, sent in [*((one, 0) for one in silent), *((one, 20) for one in begun)]:
            connection.sendall(request[sent:])
        for connection in silent + begun:
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"\r\nConnection: close\r\n" in answer
        reload.join()


def test_a_reload_with_a_bad_file_ends_nobodys_connection(node: ActivatedApi) -> None:
    master, text = node.apis[-1], node.config.read_text()
    workers, begun = node.workers(master), node.log.count("reload refused")
    with clients(node, kept=4, fresh=4) as (answers, failures), socket.create_connection(("127.0.0.1", node.port)):
        try:
            node.config.write_text("nonsense [")
            for number in range(1, 9):
                go_on(answers, 50)
                master.send_signal(signal.SIGHUP)
                until(lambda known=begun + number: node.log.count("reload refused") == known)  # type: ignore[misc]
            go_on(answers)
        finally:
            node.config.write_text(text)
    assert failures == []
    assert set(answers) == {200}
    assert node.workers(master) == workers


def test_another_address_changes_nothing_at_a_reload(node: ActivatedApi) -> None:
    master, text = node.apis[-1], node.config.read_text()
    other = text.replace(f":{node.port}", f":{free_port()}")
    assert other != text
    try:
        node.config.write_text(other)
        node.reload_api(master)
        assert node.api_answers()
        assert master.poll() is None
    finally:
        node.config.write_text(text)


def test_the_admin_server_leaves_the_socket_alone(node: ActivatedApi) -> None:
    admin = node.start_api("--admin")
    try:
        url = f"http://127.0.0.1:{node.metrics_port}/metrics"

        def metrics() -> str | None:
            try:
                return httpx.get(url).text
            except httpx.TransportError:
                return None

        assert "caxton_router_up 1.0" in until(metrics)
        assert {httpx.get(f"{node.url}/metrics").status_code for _ in range(50)} == {404}
    finally:
        admin.send_signal(signal.SIGTERM)
        assert admin.wait(30) == 0
        node.apis.remove(admin)


def test_a_socket_that_is_not_the_configured_one_is_said() -> None:
    with ActivatedApi(config_port=free_port()) as node:
        assert "the inherited socket is not" in node.log
    with ActivatedApi() as node:
        assert "the inherited socket is not" not in node.log


@pytest.mark.parametrize("most", [8])
def test_max_connections_binds_on_an_inherited_socket(most: int) -> None:
    with ActivatedApi(networking={"max_connections": most, "workers": 1, "connection_timeout": "60s"}) as node:
        held = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(most)]
        try:
            for one in held:
                one.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
                assert one.recv(100).startswith(b"HTTP/1.1 200")
            assert stopping(node)  # one more is not accepted
            held.pop().close()
            until(lambda: not stopping(node))
        finally:
            for one in held:
                one.close()

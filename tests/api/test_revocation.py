"""What was given is taken back: on every worker within a second, in streams that are open too."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

import httpx
import pytest
from api.checks import BASE, problem
from api.conftest import brief_node

from caxton.api import brief
from caxton.protocol.access import Role
from support.credentials import ADMIN_BASE, GUARDED, KEY_HEADER, bearer, make_key, token
from support.node import Node

WORKERS = 3
CLIENTS = 12
PROMISED_SECONDS = 1.0


@pytest.fixture(scope="module")
def many() -> Iterator[Node]:
    """A node with several API workers."""
    with brief_node(security=GUARDED, networking={"workers": WORKERS}) as made:
        yield made


@contextmanager
def workers_of(node: Node, headers: dict[str, str]) -> Iterator[list[httpx.Client]]:
    """Connections, so many that every worker has some of them with the credential in its memory."""
    with ExitStack() as stack:
        make = partial(httpx.Client, base_url=node.url + BASE, headers=headers, timeout=30)
        clients = [stack.enter_context(make()) for _ in range(CLIENTS)]
        for client in clients:
            assert client.get("/ledger").status_code == 200
        yield clients


def all_refused(clients: list[httpx.Client]) -> bool:
    with ThreadPoolExecutor(len(clients)) as pool:
        return set(pool.map(lambda client: client.get("/ledger").status_code, clients)) == {401}


@pytest.mark.parametrize("kind", ["key", "token"])
def test_every_worker_refuses_what_was_revoked(many: Node, kind: str) -> None:
    if kind == "key":
        made = make_key(many, f"gone-{time.time_ns()}", Role.VIEWER)
        headers, path = {KEY_HEADER: made["key"]}, f"keys/{made['key_id']}"
    else:
        headers, path = {"Authorization": f"Bearer {token(Role.VIEWER, jti='gone')}"}, "tokens/gone"
    with workers_of(many, headers) as clients:
        stop = threading.Event()
        warm = threading.Thread(target=_use, args=(clients[: CLIENTS // 2], stop))
        warm.start()  # a credential in use is not asked about more often than one at rest
        assert httpx.delete(f"{many.admin_url}{ADMIN_BASE}/{path}", headers=bearer()).status_code == 200
        time.sleep(PROMISED_SECONDS)  # the promise itself: afterwards nobody may be let in, however often he asks
        stop.set()
        warm.join()
        assert all(all_refused(clients) for _ in range(3))


def _use(clients: list[httpx.Client], stop: threading.Event) -> None:
    while not stop.is_set():
        for client in clients:
            client.get("/ledger")


def test_the_memory_of_a_worker_is_shorter_than_the_promise() -> None:
    assert brief.SECONDS <= PROMISED_SECONDS / 2


def test_an_open_stream_ends_with_the_key(many: Node) -> None:
    made = make_key(many, "listener", Role.VIEWER)
    with httpx.stream("GET", f"{many.url}{BASE}/events", headers={KEY_HEADER: made["key"]}, timeout=30) as stream:
        lines = stream.iter_lines()
        next(lines)
        revoked = f"{many.admin_url}{ADMIN_BASE}/keys/{made['key_id']}"
        assert httpx.delete(revoked, headers=bearer()).status_code == 200
        rest = "\n".join(lines)
    assert "UNAUTHORIZED" in rest


def test_two_keys_live_and_a_third_is_refused(many: Node) -> None:
    ids = [make_key(many, "twice")["key_id"] for _ in range(2)]
    url = f"{many.admin_url}{ADMIN_BASE}/keys"
    third = httpx.post(url, json={"subject": "twice", "role": "viewer"}, headers=bearer())
    assert problem(third, 409, "CONFLICT")["key_ids"] == ids
    assert httpx.delete(f"{url}/{ids[0]}", headers=bearer()).status_code == 200
    make_key(many, "twice")


def test_at_the_same_time_too(many: Node) -> None:
    url = f"{many.admin_url}{ADMIN_BASE}/keys"
    body = {"subject": "at-once", "role": "viewer"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.post(url, json=body, headers=bearer(), timeout=30), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, *[409] * 6]


def test_an_expired_key_makes_room(many: Node) -> None:
    make_key(many, "brief", ttl_seconds=0.01)
    make_key(many, "brief", ttl_seconds=0.01)
    time.sleep(0.02)
    make_key(many, "brief")


def test_a_key_is_rotated(many: Node) -> None:
    made = make_key(many, "turning", Role.AGENT_CLIENT, namespace="team", agents=["team/a-*"])
    url = f"{many.admin_url}{ADMIN_BASE}/keys/{made['key_id']}/rotate"
    answer = httpx.post(url, json={"overlap_seconds": 3600}, headers=bearer())
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    fresh, old = answer.json()["made"], answer.json()["ends"]
    kept = ("subject", "role", "namespace", "agents")
    assert [fresh[name] for name in kept] == [made[name] for name in kept] == [old[name] for name in kept]
    assert old["expires_at"]
    assert "key" not in old
    for text in (made["key"], fresh["key"]):
        refused = httpx.get(f"{many.url}{BASE}/ledger", headers={KEY_HEADER: text})
        problem(refused, 403, "FORBIDDEN")  # known, and no reader
    problem(httpx.post(url, headers=bearer()), 409, "CONFLICT")
    assert httpx.delete(f"{many.admin_url}{ADMIN_BASE}/keys/{made['key_id']}", headers=bearer()).status_code == 200
    problem(httpx.post(url, headers=bearer()), 409, "CONFLICT")
    problem(httpx.post(url.replace(made["key_id"], "0" * 16), headers=bearer()), 404, "KEY_NOT_FOUND")

"""GET /ws, by a real client of another make than the browser that tests/console drives."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from api.checks import problem
from api.conftest import Deploy, brief_node
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from support.credentials import ADMIN_BASE, GUARDED, bearer, make_key, token
from support.node import Node
from support.wat import SILENT, TRAP

POLICY, RESTART, LATER = 1008, 1012, 1013


@contextlib.contextmanager
def opened(node: Node, **auth: str) -> Iterator[ClientConnection]:
    """A connection whose first message is said."""
    with connect(f"ws://127.0.0.1:{node.port}/ws", close_timeout=5) as client:
        say(client, type="auth", **auth)
        yield client


def say(client: ClientConnection, **message: Any) -> None:
    client.send(json.dumps(message))


def hear(client: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(client.recv(timeout=30)))


def refused(client: ClientConnection, code: str, closed: int) -> None:
    """The node says why, and closes."""
    assert hear(client)["error"]["code"] == code
    with pytest.raises(ConnectionClosed) as end:
        client.recv(timeout=30)
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == closed


def deployed(node: Node, name: str) -> None:
    answer = node.client.post("/api/v1/agents", json={"name": name, "wat": SILENT})
    assert answer.status_code in (201, 202), answer.text


def test_events_arrive_go_on_after_an_id_and_end_when_they_are_not_wanted(node: Node) -> None:
    with opened(node) as client:
        assert hear(client) == {
            "type": "welcome",
            "node": os.uname().nodename,
            "subject": "anonymous",
            "role": "admin",
        }
        say(client, type="subscribe", events=["agent.deployed"])
        begun = hear(client)
        assert begun == {"type": "subscribed", "subscription_id": 1, "last_event_id": begun["last_event_id"]}
        deployed(node, "live-one")
        seen = hear(client)
        assert seen["subscription_id"] == 1
        assert seen["event"]["data"]["name"] == "live-one"
    deployed(node, "live-two")
    with opened(node) as client:
        hear(client)
        say(client, type="subscribe", events=["agent.deployed"], last_event_id=seen["event"]["id"])
        assert hear(client)["type"] == "subscribed"
        assert hear(client)["event"]["data"]["name"] == "live-two"
        say(client, type="unsubscribe", subscription_id=1)
        assert hear(client) == {"type": "unsubscribed", "subscription_id": 1}
        deployed(node, "live-three")
        say(client, type="subscribe", events=["agent.removed"])
        assert hear(client)["subscription_id"] == 2  # and nothing of live-three


def test_what_happens_between_two_connections_is_told_though_nothing_had_happened_before(node: Node) -> None:
    with opened(node) as client:
        hear(client)
        say(client, type="subscribe", events=["agent.deployed"])
        begun = hear(client)["last_event_id"]
    deployed(node, "live-between")
    with opened(node) as client:
        hear(client)
        say(client, type="subscribe", events=["agent.deployed"], last_event_id=begun)
        assert hear(client) == {"type": "subscribed", "subscription_id": 1, "last_event_id": begun}
        assert hear(client)["event"]["data"]["name"] == "live-between"


@pytest.mark.parametrize("how", ["api_key", "token"])
def test_credentials_are_said_and_hold_as_long_as_they_do(guarded: Node, how: str) -> None:
    made = make_key(guarded, f"live-{how}", "viewer")
    jti = f"live-{how}"
    said = made["key"] if how == "api_key" else token("viewer", jti=jti)
    with opened(guarded, **{how: said}) as client:
        assert hear(client)["role"] == "viewer"
        say(client, type="subscribe")
        assert hear(client)["type"] == "subscribed"
        gone = f"/keys/{made['key_id']}" if how == "api_key" else f"/tokens/{jti}"
        assert httpx.delete(f"{guarded.admin_url}{ADMIN_BASE}{gone}", headers=bearer()).status_code == 200
        while (message := hear(client))["type"] == "event":
            pass
        assert message["error"]["code"] == "UNAUTHORIZED"


def test_who_may_not_read_is_told_so(guarded: Node) -> None:
    for auth, code in (
        ({}, "UNAUTHORIZED"),
        ({"api_key": "cxk_nobody"}, "UNAUTHORIZED"),
        ({"token": "x.y.z"}, "UNAUTHORIZED"),
        ({"token": token("agent-client")}, "FORBIDDEN"),
    ):
        with opened(guarded, **auth) as client:
            refused(client, code, POLICY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"type":"subscribe","events":"x"}',
        '{"type":"order"}',
        '{"type":"subscribe","last_event_id":-1}',
    ],
)
def test_what_is_no_message_is_refused(node: Node, text: str) -> None:
    with opened(node) as client:
        hear(client)
        client.send(text)
        refused(client, "INVALID_REQUEST", POLICY)


def test_patterns_and_subscriptions_are_bounded(node: Node) -> None:
    with opened(node) as client:
        hear(client)
        say(client, type="subscribe", events=["x" * 129])
        refused(client, "INVALID_REQUEST", POLICY)
    with opened(node) as client:
        hear(client)
        for _ in range(16):
            say(client, type="subscribe", events=["none.such"])
            assert hear(client)["type"] == "subscribed"
        say(client, type="subscribe", events=["none.such"])
        refused(client, "INVALID_REQUEST", POLICY)


def test_who_subscribes_again_and_again_pays_for_it() -> None:
    limits = {"rate_limit_enabled": True, "rate_limit_per_second": 0.01, "rate_limit_burst": 10}
    with brief_node(security={**GUARDED, **limits}) as made, opened(made, token=token()) as client:
        hear(client)
        said: dict[str, Any] = {"type": "subscribed"}
        for number in range(1, limits["rate_limit_burst"] + 1):
            say(client, type="subscribe", events=["nothing.*"])
            said = hear(client)
            if said["type"] == "error":
                break
            say(client, type="unsubscribe", subscription_id=number)
            hear(client)
        assert said["error"]["code"] == "RATE_LIMITED"


def test_a_message_may_come_in_pieces_but_not_grow_without_end(node: Node) -> None:
    with opened(node) as client:
        hear(client)
        client.send(iter(['{"type":"sub', 'scribe","events":', '["none.such"]}']))
        assert hear(client)["type"] == "subscribed"
        with contextlib.suppress(ConnectionClosed):  # the node may be quicker than the end of the message
            client.send(iter(["x" * 10_000, "x" * 10_000]))
        with pytest.raises(ConnectionClosed) as end:
            client.recv(timeout=30)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1009


def test_who_says_nothing_is_not_waited_for(node: Node) -> None:
    with connect(f"ws://127.0.0.1:{node.port}/ws") as client:
        refused(client, "REQUEST_TIMEOUT", LATER)


def test_a_reader_who_is_too_slow_is_told_to_come_again_and_others_hear_everything(node: Node) -> None:
    """1,000 events behind is too far. Who reads too slowly still reads: else nothing could be said to him."""
    dead, subscriptions = 1_300, 4
    node.deploy("doomed", TRAP)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", node.port))
    with connect(f"ws://127.0.0.1:{node.port}/ws", sock=narrow, max_queue=1) as slow, opened(node) as quick:
        say(slow, type="auth")
        for client, count in ((slow, subscriptions), (quick, 1)):
            assert hear(client)["type"] == "welcome"
            for _ in range(count):
                say(client, type="subscribe", events=["message.dead"])
                assert hear(client)["type"] == "subscribed"
        letters = [{"performative": "inform", "receiver": "doomed", "content": 1}] * dead
        assert node.client.post("/api/v1/messages", json=letters).status_code == 202
        all_dead = threading.Event()

        def trickle() -> None:
            while not all_dead.wait(0.05):
                with contextlib.suppress(TimeoutError):
                    slow.recv(timeout=0)

        reading = threading.Thread(target=trickle)
        reading.start()
        try:
            assert all(hear(quick)["type"] == "event" for _ in range(dead))
        finally:
            all_dead.set()
            reading.join()
        while (message := hear(slow))["type"] == "event":
            pass
        assert message["error"]["code"] == "RATE_LIMITED"
        with pytest.raises(ConnectionClosed) as end:
            list(slow)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == LATER


def test_a_burst_that_no_reader_could_follow_is_told_and_is_not_the_end(
    node: Node, paused: Callable[[], object], deploy: Deploy
) -> None:
    """A mailbox whose messages all expire at once puts more into a subscription than it holds."""
    count, held = 1_300, 1_000
    agent = deploy(SILENT)
    with opened(node) as client:
        hear(client)
        say(client, type="subscribe", events=["message.expired"])
        assert hear(client)["type"] == "subscribed"
        end = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
        letters = [{"performative": "inform", "receiver": agent, "reply_by": end}] * count
        assert node.client.post("/api/v1/messages", json=letters).status_code == 202
        told = [hear(client)["event"]["type"] for _ in range(held + 1)]
        assert told == ["message.expired"] * held + ["stream.lagged"]
        refused(client, "NOT_READY", LATER)


def test_a_router_that_stops_in_order_does_not_leave_readers_waiting() -> None:
    with brief_node() as brief, opened(brief) as client:
        assert hear(client)["type"] == "welcome"
        say(client, type="subscribe", events=["none.such"])
        assert hear(client)["type"] == "subscribed"
        (router,) = brief.pids("router")
        os.kill(router, signal.SIGTERM)
        refused(client, "NOT_READY", LATER)


def test_who_follows_nothing_is_looked_at_too(guarded: Node) -> None:
    made = make_key(guarded, "live-idle", "viewer")
    with opened(guarded, api_key=made["key"]) as client:
        assert hear(client)["type"] == "welcome"
        gone = httpx.delete(f"{guarded.admin_url}{ADMIN_BASE}/keys/{made['key_id']}", headers=bearer())
        assert gone.status_code == 200
        refused(client, "UNAUTHORIZED", POLICY)


def test_a_page_of_another_site_is_refused(node: Node) -> None:
    for origin, good in (
        (f"http://127.0.0.1:{node.port}", True),
        ("http://evil.test", False),
        ("http://127.0.0.1:1", False),
        ("null", False),
        ("http://[", False),
    ):
        if good:
            with connect(f"ws://127.0.0.1:{node.port}/ws", origin=origin) as client:  # type: ignore[arg-type]
                say(client, type="auth")
                assert hear(client)["type"] == "welcome"
            continue
        with pytest.raises(InvalidStatus) as end:
            connect(f"ws://127.0.0.1:{node.port}/ws", origin=origin)  # type: ignore[arg-type]
        assert end.value.response.status_code == 403


@pytest.mark.parametrize("missing", ["Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_another_request_is_told_what_is_expected(node: Node, missing: str) -> None:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    del headers[missing]
    problem(httpx.get(f"{node.url}/ws", headers=headers), 400, "INVALID_REQUEST")


def test_a_worker_that_ends_says_come_again(guarded: Node) -> None:
    with opened(guarded, token=token("viewer")) as client:
        assert hear(client)["type"] == "welcome"
        guarded.reload("networking")
        with pytest.raises(ConnectionClosed) as end:
            client.recv(timeout=30)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == RESTART

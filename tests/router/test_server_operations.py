"""The node's own operations over a real socket: messages, ledger, events, pause, readiness, the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import msgspec
import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import OPERATIONS, Events, Invoke, Item, Listing, Named, Reply, SetLogLevel, Submit
from caxton.router.boxes import RECENT_EXECUTIONS
from caxton.router.operations.table import ANSWERS, FOR_CALLER, STREAMS, STREAMS_FOR_CALLER
from support.desk_node import RouterNode, deploy, invoke, message, refusal, submit, until
from support.router_client import RouterClient
from support.router_modules import ECHO, SLEEPER


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode() as started, started.client() as client:
        deploy(client, "echo", ECHO)
        deploy(client, "sleeper", SLEEPER)
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def test_every_operation_of_the_protocol_has_a_handler() -> None:
    tables = (ANSWERS, STREAMS, FOR_CALLER, STREAMS_FOR_CALLER)
    assert sorted(name for table in tables for name in table) == sorted(OPERATIONS)


def test_a_bad_item_never_spoils_the_others(client: RouterClient) -> None:
    items = client.call("submit", Submit([message("echo"), message("nobody"), message("echo")]))
    assert [item.get("error", {}).get("code") for item in items] == [None, Code.AGENT_NOT_FOUND, None]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message_id", "not-a-uuid"),
        ("message_id", ""),
        ("priority", 0),
        ("priority", 11),
        ("reply_by", float("nan")),
        ("reply_by", float("inf")),
        ("performative", "shout"),
    ],
)
def test_what_no_api_would_send_is_refused_with_its_place(client: RouterClient, field: str, value: object) -> None:
    bad = message("echo", **{field: value})
    refused = refusal(client, "submit", Submit([message("echo"), bad]))
    assert (refused.code, refused.details["path"]) == (Code.INVALID_REQUEST, f"messages[1].{field}")
    refused = refusal(client, "invoke", Invoke(bad, 5.0))
    assert (refused.code, refused.details["path"]) == (Code.INVALID_REQUEST, f"message.{field}")


def test_a_message_is_shown_with_its_reply(client: RouterClient) -> None:
    [message_id] = submit(client, "echo")
    view = until(lambda: _done(client, message_id))
    assert (view["receiver"], view["sender"], view["performative"]) == ("echo", "client:test", "request")
    assert view["reply"]["performative"] == "inform"
    assert view["reply"]["content"]["message_id"] == message_id
    assert view["accepted_at"] <= view["finished_at"]


def test_what_leaves_no_row_is_in_the_books_at_once(client: RouterClient) -> None:
    def row() -> dict[str, int]:
        rows = client.call("ledger")["agents"]
        return next((row for row in rows if row["name"] == "echo"), {})

    before = row()
    asked = [invoke(client, "echo")["message_id"] for _ in range(50)]
    after = row()
    assert after["accepted"] == before.get("accepted", 0) + 50
    assert after["done"] == before.get("done", 0) + 50
    assert after["imbalance"] == 0
    shown = client.call("agent.executions", Listing(name="echo", limit=RECENT_EXECUTIONS))["items"]
    assert [one["message_id"] for one in shown] == asked[: -RECENT_EXECUTIONS - 1 : -1]


def _done(client: RouterClient, message_id: str) -> dict[str, object] | None:
    view: dict[str, object] = client.call("message.get", Named(message_id))
    return view if view["state"] == "done" else None


def test_messages_are_listed_by_agent_conversation_and_state(client: RouterClient) -> None:
    made = [message("echo", conversation_id="talk") for _ in range(3)]
    client.call("submit", Submit(made))
    until(lambda: all(_done(client, item.message_id) for item in made))
    page = client.call("message.list", Listing(conversation_id="talk", state="done", limit=2))
    assert len(page["items"]) == 2
    rest = client.call(
        "message.list", Listing(conversation_id="talk", state="done", limit=2, cursor=page["next_cursor"])
    )
    ids = [item["message_id"] for item in page["items"] + rest["items"]]
    assert sorted(ids) == sorted(item.message_id for item in made)
    assert client.call("message.list", Listing(name="sleeper", conversation_id="talk"))["items"] == []
    assert refusal(client, "message.list", Listing(state="lost")).code is Code.INVALID_REQUEST


def test_a_pause_starts_nothing_and_a_cancelled_message_stays_cancelled(client: RouterClient) -> None:
    client.call("node.pause")
    try:
        kept, dropped = submit(client, "echo", 2)
        assert client.call("message.cancel", Named(dropped))["state"] == "cancelled"
        assert client.call("message.get", Named(kept))["state"] == "pending"
    finally:
        client.call("node.resume")
    until(lambda: _done(client, kept))
    assert client.call("message.get", Named(dropped))["state"] == "cancelled"
    assert client.call("ledger")["node"]["imbalance"] == 0


def test_what_runs_is_in_flight(client: RouterClient) -> None:
    [message_id] = submit(client, "sleeper")
    until(lambda: client.call("message.get", Named(message_id))["state"] == "in_flight")
    row = next(row for row in client.call("ledger")["agents"] if row["name"] == "sleeper")
    assert (row["in_flight"], row["imbalance"]) == (1, 0)
    until(lambda: _done(client, message_id))


def test_events_are_streamed_filtered_and_resumed(node: RouterNode, client: RouterClient) -> None:
    with node.client() as reader:
        call = reader.send("events", Events(["agent.*"]))
        client.call("stats")
        until(lambda: client.call("stats")["events"]["subscribers"] == 1)
        deploy(client, "noticed", ECHO)
        client.call("node.pause")
        client.call("node.resume")
        deploy(client, "noticed-too", ECHO)
        first, second = (_event(reader) for _ in range(2))
        assert (first["type"], first["data"]["name"]) == ("agent.deployed", "noticed")
        assert second["data"]["name"] == "noticed-too"
        reader.hang_up(call)
        until(lambda: client.call("stats")["events"]["subscribers"] == 0)
    with node.client() as reader:
        reader.send("events", Events(["*"], last_id=first["id"]))
        assert [_event(reader)["type"] for _ in range(3)] == ["node.paused", "node.resumed", "agent.deployed"]


def _event(reader: RouterClient) -> dict[str, object]:
    frame = reader.receive()
    assert isinstance(frame, Item)
    event: dict[str, object] = msgspec.json.decode(frame.item)
    return event


def test_numbers_of_the_node(client: RouterClient) -> None:
    stats = client.call("stats")
    assert stats["agents"]["running"] >= 2
    assert stats["ready"] == {"ready": True, "reasons": []}
    assert stats["store"]["database"] > 0


def test_the_log_level(client: RouterClient) -> None:
    assert client.call("node.log_level", SetLogLevel("debug")) == {}
    assert client.call("node.log_level", SetLogLevel("info")) == {}
    assert refusal(client, "node.log_level", SetLogLevel("loud")).code is Code.INVALID_REQUEST


def test_without_an_executor_the_node_is_not_ready_and_comes_back() -> None:
    with RouterNode() as node, node.client() as client, node.client() as reader:
        assert node.executor is not None
        reader.send("events", Events(["node.ready", "node.not_ready"], last_id=0))
        seen = [_event(reader)["type"]]
        while seen[-1] != "node.ready":
            seen.append(_event(reader)["type"])
        node.executor.send_signal(signal.SIGKILL)
        node.executor.wait(10)
        until(lambda: "executor" in client.call("ready")["reasons"])
        assert _event(reader)["type"] == "node.not_ready"
        node.start_executor()
        until(lambda: client.call("ready")["ready"])
        assert _event(reader)["type"] == "node.ready"


def test_a_low_disk_is_named_and_stops_acceptance() -> None:
    node = RouterNode(messaging={"low_disk_bytes": "1000TB"})
    try:
        node.start_executor()
        node.start_router(ready=False)
        until(lambda: (node.directory / "run" / "router.sock").exists())
        with node.client() as client:
            until(lambda: client.call("ready")["reasons"] == ["low_disk"])
            with pytest.raises(CaxtonError) as caught:
                deploy(client, "a", ECHO)
            assert caught.value.code is Code.STORAGE_FULL
    finally:
        node.close()


def test_sigterm_lets_what_runs_end_and_keeps_the_rest() -> None:
    with RouterNode() as node, node.client() as client:
        deploy(client, "sleeper", SLEEPER)
        answers: list[object] = []

        def ask() -> None:
            with node.client() as other:
                answers.append(invoke(other, "sleeper")["content"])

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: client.call("stats")["core"]["in_flight"] == 1)
        assert node.stop_router() == 0
        thread.join(10)
        assert answers == [1]
        assert not (node.directory / "run" / "router.sock").exists()


def test_a_stream_ends_when_the_router_does() -> None:
    with RouterNode() as node, node.client() as reader:
        reader.send("events", Events(["node.draining"]))
        with node.client() as client:
            until(lambda: client.call("stats")["events"]["subscribers"] == 1)
        assert node.stop_router() == 0
        assert isinstance(reader.receive(), Item)
        assert isinstance(reader.receive(), Reply)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan"), float("inf"), 86_401.0])
def test_a_timeout_that_is_none_is_refused(client: RouterClient, timeout: float) -> None:
    assert refusal(client, "invoke", Invoke(message("echo"), timeout)).code is Code.INVALID_REQUEST

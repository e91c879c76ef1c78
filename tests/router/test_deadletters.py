"""Dead letters: listed, shown with their attempts, replayed, moved, purged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from caxton.protocol.errors import Code
from caxton.protocol.ids import new_id
from caxton.protocol.operations import DeadPurge, DeadReplay, Listing, Named
from support.desk_node import RouterNode, deploy, refusal, submit, until
from support.router_client import RouterClient
from support.router_modules import ECHO, TRAP


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode(messaging={"retry_delay": "0s", "max_deliveries": 2, "low_disk_bytes": "1MB"}) as started:
        with started.client() as client:
            deploy(client, "trap", TRAP)
            deploy(client, "echo", ECHO)
        yield started


@pytest.fixture
def client(node: RouterNode) -> Iterator[RouterClient]:
    with node.client() as connected:
        yield connected


def dead(client: RouterClient, count: int) -> list[str]:
    """Ids of messages that have just died."""
    ids = submit(client, "trap", count)
    until(lambda: all(state(client, message_id) == "dead" for message_id in ids))
    return ids


def state(client: RouterClient, message_id: str) -> Any:
    return client.call("message.get", Named(message_id))["state"]


def test_a_dead_letter_shows_every_attempt(client: RouterClient) -> None:
    [message_id] = dead(client, 1)
    view = client.call("dead.get", Named(message_id))
    assert [attempt["number"] for attempt in view["attempts"]] == [1, 2]
    assert {attempt["code"] for attempt in view["attempts"]} == {Code.AGENT_FAILED}
    assert view["error"]["code"] == Code.AGENT_FAILED
    assert view["attempts"][-1]["backtrace"]


def test_dead_letters_are_listed_by_agent_page_by_page(client: RouterClient) -> None:
    ids = set(dead(client, 5))
    seen: list[str] = []
    cursor = None
    while True:
        page = client.call("dead.list", Listing(name="trap", limit=2, cursor=cursor))
        seen += [item["message_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert ids <= set(seen)
    assert len(seen) == len(set(seen))
    assert client.call("dead.list", Listing(name="echo"))["items"] == []


def test_what_is_not_dead_is_no_dead_letter(client: RouterClient) -> None:
    [message_id] = submit(client, "echo")
    until(lambda: state(client, message_id) == "done")
    assert refusal(client, "dead.get", Named(message_id)).code is Code.MESSAGE_NOT_FOUND
    assert refusal(client, "dead.get", Named(new_id())).code is Code.MESSAGE_NOT_FOUND
    assert refusal(client, "message.get", Named("no-id")).code is Code.MESSAGE_NOT_FOUND
    assert client.call("dead.replay", DeadReplay([message_id]))["count"] == 0
    assert client.call("dead.purge", DeadPurge([message_id]))["count"] == 0
    assert state(client, message_id) == "done"


def test_a_replayed_letter_is_tried_anew(client: RouterClient) -> None:
    [message_id] = dead(client, 1)
    before = client.call("ledger")["node"]
    assert client.call("dead.replay", DeadReplay([message_id]))["count"] == 1
    until(lambda: state(client, message_id) == "dead")
    after = client.call("ledger")["node"]
    assert (after["imbalance"], after["accepted"], after["dead"]) == (0, before["accepted"], before["dead"])


def test_a_letter_moved_to_another_agent_is_handled_there_once(client: RouterClient) -> None:
    ids = dead(client, 3)
    done = client.call("agent.get", Named("echo"))["counters"]["done"]
    assert client.call("dead.replay", DeadReplay(ids, to="echo"))["count"] == 3
    until(lambda: client.call("agent.get", Named("echo"))["counters"]["done"] == done + 3)
    assert client.call("dead.replay", DeadReplay(ids, to="echo"))["count"] == 0
    assert all(refusal(client, "dead.get", Named(i)).code is Code.MESSAGE_NOT_FOUND for i in ids)
    assert client.call("ledger")["node"]["imbalance"] == 0
    assert refusal(client, "dead.replay", DeadReplay(ids, to="nobody")).code is Code.AGENT_NOT_FOUND


def test_purging_forgets_letters_and_keeps_the_books(client: RouterClient) -> None:
    ids = dead(client, 2)
    counted = client.call("ledger")["node"]["dead"]
    assert client.call("dead.purge", DeadPurge([ids[0], new_id()]))["count"] == 1
    assert refusal(client, "dead.get", Named(ids[0])).code is Code.MESSAGE_NOT_FOUND
    assert client.call("dead.purge", DeadPurge(agent="trap"))["count"] >= 1
    assert client.call("dead.list", Listing(name="trap"))["items"] == []
    assert client.call("ledger")["node"]["dead"] == counted
    assert client.call("ledger")["node"]["imbalance"] == 0


@pytest.mark.parametrize(("op", "args"), [("dead.replay", DeadReplay()), ("dead.purge", DeadPurge())])
def test_nothing_named_is_refused_rather_than_everything_taken(client: RouterClient, op: str, args: object) -> None:
    assert refusal(client, op, args).code is Code.INVALID_REQUEST

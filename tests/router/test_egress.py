"""Outbound HTTP end to end: a guest, the router's egress, a real server; and the attacks on it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

from caxton.protocol.agents import Grants, Instance, Limits
from caxton.protocol.errors import CaxtonError
from caxton.protocol.messages import Delivery
from support import router_agents as agents
from support.router_node import Node, message, running_node, until
from support.web import Web, web

DENIED, INVALID, LIMIT, UNAVAILABLE, TIMEOUT = 1, 2, 3, 6, 7
LOOPBACK = ["127.0.0.0/8"]


async def deploy(node: Node, name: str, server: Web, path: str = "/plain", **fields: Any) -> str:
    """An agent that makes one request; its URL."""
    host = fields.pop("host", "127.0.0.1")
    origin = f"http://{host}:{server.port}"
    request = {"url": fields.pop("url", origin + path), **fields.pop("request", {})}
    grants = Grants(http=fields.pop("http", [origin]))
    await node.deploy(name, agents.fetcher(msgspec.json.encode(request).decode()), grants=grants, **fields)
    return str(request["url"])


async def code(node: Node, name: str) -> int:
    """The negative code that the guest got, as a positive number; 0 when it got an answer."""
    view = await node.ask(name)
    content = msgspec.json.decode(view.content)
    return int(content["exit_code"]) if view.performative == "failure" else 0


def test_a_guest_gets_the_answer_and_the_call_is_recorded_counted_and_traced() -> None:
    async def run() -> None:
        with web() as server:
            async with running_node(runtime__egress_allow=LOOPBACK) as node:
                request = {"method": "POST", "headers": {"X-Mine": "1"}, "body": "päng"}
                url = await deploy(node, "out", server, request=request)
                trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                one = message("out", traceparent=trace)
                await node.send(one)
                assert await node.settled(one.message_id) == ["done"]
                outcome = node.row(one.message_id).outcome
                assert outcome is not None
                got = msgspec.json.decode(outcome.content or b"")
                assert (got["status"], got["url"], got["body"]) == (200, url, '{"hello":"guest"}')
                assert got["headers"]["content-type"] == "application/json"

                (asked,) = server.asked
                assert (asked.method, asked.body, asked.headers["x-mine"]) == ("POST", "päng".encode(), "1")
                parts = asked.headers["traceparent"].split("-")
                assert parts[1] == "0af7651916cd43dd8448eb211c80319c"
                assert parts[2] != "b7ad6b7169203331"

                (row,) = node.store.reader.http_calls("out").rows
                assert (row.method, row.url, row.status, row.error) == ("POST", url, 200, None)
                assert (row.message_id, row.address) == (one.message_id, "127.0.0.1")
                assert (row.request_bytes, row.response_bytes) == (len("päng".encode()), 17)
                assert row.digest == hashlib.sha256(b'{"hello":"guest"}').hexdigest()
                assert row.execution_id == outcome.execution.id if outcome.execution else False
                assert row.idempotency_key == asked.headers["idempotency-key"]
                figures = node.core.stats()["meters"]["egress"]
                assert figures["requests"]["ok"] == 1
                assert figures["bytes"]["received"] == 17
                await node.assert_balanced()

    asyncio.run(run())


def test_a_second_run_of_the_same_code_has_the_same_idempotency_key() -> None:
    async def run() -> None:
        with web() as server:
            async with running_node(runtime__egress_allow=LOOPBACK) as node:
                origin = f"http://127.0.0.1:{server.port}"
                data = msgspec.json.encode({"url": origin, "method": "POST"}).decode()
                call = f"(call $http (i32.const 0) (i32.const {len(data)}) (i32.const 65536) (i32.const 65536))"
                trap = "(if (call $first_instance) (then unreachable)) (i32.const 0)"
                await node.deploy(
                    "out", agents.reactor(f"(drop {call}){trap}", data=data), grants=Grants(http=[origin])
                )
                one, other = message("out"), message("out")
                await node.send(one)
                assert await node.settled(one.message_id) == ["done"]
                await node.send(other)
                await node.settled(other.message_id)
                first, again, next_message = [asked.headers["idempotency-key"] for asked in server.asked]
                assert first == again != next_message

    asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "127.1", "0x7f000001"])
def test_loopback_is_refused_in_every_spelling_unless_the_operator_lists_it(host: str) -> None:
    async def run() -> None:
        with web() as server:
            async with running_node() as node:
                await deploy(node, "out", server, host=host)
                assert await code(node, "out") == DENIED
                assert server.asked == []
                (row,) = node.store.reader.http_calls("out").rows
                assert (row.status, (row.error or "").split(":")[0]) == (None, "denied")

    asyncio.run(run())


def test_a_redirect_is_checked_like_a_request() -> None:
    async def run() -> None:
        with web() as server, web() as other:
            async with running_node(runtime__egress_allow=LOOPBACK) as node:
                here, there = f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{other.port}"
                await deploy(node, "one", server, "/redirect/302")
                metadata = "http://169.254.169.254"
                await deploy(node, "two", server, "/redirect/307", http=[here, there, metadata])
                for target in (there, metadata, f"{here}@{metadata[7:]}", "file:///etc/passwd", "//169.254.169.254"):
                    server.redirect_to = target
                    assert await code(node, "one") == DENIED
                assert other.asked == []
                server.redirect_to = metadata  # granted by the deployment, and refused by the node all the same
                assert await code(node, "two") == DENIED
                server.redirect_to = "/redirect/302"
                assert await code(node, "one") == LIMIT  # round and round
                server.redirect_to = f"{there}/plain"
                assert await code(node, "two") == 0
                rows = node.store.reader.http_calls("two").rows
                assert (rows[0].redirects, rows[0].url) == (1, f"{there}/plain")

    asyncio.run(run())


def test_credentials_do_not_follow_to_another_origin_and_303_becomes_get() -> None:
    async def run() -> None:
        with web() as server, web() as other:
            async with running_node(runtime__egress_allow=LOOPBACK) as node:
                here, there = f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{other.port}"
                server.redirect_to = f"{there}/plain"
                request = {"method": "POST", "body": "x", "headers": {"Authorization": "secret", "X-Other": "1"}}
                await deploy(node, "out", server, "/redirect/303", http=[here, there], request=request)
                assert await code(node, "out") == 0
                (asked,) = other.asked
                assert (asked.method, asked.body) == ("GET", b"")
                assert "authorization" not in asked.headers
                assert asked.headers["x-other"] == "1"

    asyncio.run(run())


def test_size_and_time_are_bounded() -> None:
    async def run() -> None:
        with web() as server:
            async with running_node(runtime__egress_allow=LOOPBACK, messaging__max_message_size="64KB") as node:
                await deploy(node, "huge", server, "/huge")
                await deploy(node, "drip", server, "/drip", request={"timeout_seconds": 0.4})
                await deploy(node, "fat", server, request={"method": "POST", "body": "x" * 1_000})
                assert await code(node, "huge") == LIMIT
                assert await code(node, "drip") == TIMEOUT
                assert await code(node, "fat") == 0
                (row,) = node.store.reader.http_calls("drip").rows
                assert 0.4 <= row.duration_seconds < 10

    asyncio.run(run())


def test_only_so_many_at_once_for_one_agent() -> None:
    async def run() -> None:
        with web() as server:
            async with running_node(runtime__egress_allow=LOOPBACK) as node:
                many = {"instance": Instance.PER_MESSAGE, "max_concurrency": 32}
                await deploy(node, "out", server, "/wait", **many)
                await deploy(node, "good", server)
                waiting = [asyncio.create_task(code(node, "out")) for _ in range(8)]
                await until(lambda: server.waiting == 8)
                assert await code(node, "out") == LIMIT
                assert await code(node, "good") == 0  # the others are not concerned
                server.release.set()
                assert await asyncio.gather(*waiting) == [0] * 8
                assert await code(node, "out") == 0

    asyncio.run(run())


def test_who_waits_for_an_answer_can_be_cancelled_and_holds_no_place() -> None:
    async def run() -> None:
        with web() as server:
            async with running_node(runtime__egress_allow=LOOPBACK, runtime__max_concurrent_executions=1) as node:
                await deploy(node, "out", server, "/wait")
                await node.deploy("echo", agents.ECHO)
                one = message("out")
                await node.send(one)
                await until(lambda: server.waiting == 1)
                assert (await node.ask("echo")).performative == "inform"
                await node.core.cancel(one.message_id)
                assert node.row(one.message_id).state == "cancelled"
                await until(lambda: bool(node.store.reader.http_calls("out").rows))
                (row,) = node.store.reader.http_calls("out").rows
                assert row.error == "cancelled"
                await node.assert_balanced()

    asyncio.run(run())


def test_an_execution_without_time_left_ends_its_request() -> None:
    async def run() -> None:
        with web() as server:
            async with running_node(runtime__egress_allow=LOOPBACK) as node:
                await deploy(node, "out", server, "/wait", limits=Limits(execution_timeout_seconds=0.3))
                with pytest.raises(CaxtonError) as caught:
                    await node.ask("out")
                assert caught.value.code == "EXECUTION_TIMEOUT"
                await until(lambda: node.core.stats()["meters"]["egress"]["requests"]["cancelled"] == 1)

    asyncio.run(run())


def test_without_a_server_or_a_name_the_guest_is_told() -> None:
    async def run() -> None:
        with web() as server:
            port = server.port
        async with running_node(runtime__egress_allow=LOOPBACK) as node:
            await deploy(node, "gone", server, http=[f"http://127.0.0.1:{port}"], url=f"http://127.0.0.1:{port}/")
            await deploy(
                node, "noname", server, http=["http://no.such.name.invalid"], url="http://no.such.name.invalid"
            )
            await deploy(node, "other", server, http=["https://example.com"])
            await deploy(node, "bad", server, request={"headers": {"X": "1\r\nHost: evil"}})
            assert await code(node, "gone") == UNAVAILABLE
            assert await code(node, "noname") == UNAVAILABLE
            assert await code(node, "other") == DENIED
            assert await code(node, "bad") == INVALID

    asyncio.run(run())


def test_after_a_crash_of_the_router_the_call_is_made_again_with_the_same_key() -> None:
    async def run() -> None:
        with web() as server:
            async with running_node(runtime__egress_allow=LOOPBACK) as node:
                await deploy(node, "out", server, "/wait")
                one = message("out")
                await node.send(one)
                await until(lambda: server.waiting == 1)
                await node.crash()
                server.release.set()
                await node.boot()
                assert await node.settled(one.message_id) == ["done"]
                assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
                await node.assert_balanced()
                assert (await node.ask("out", delivery=Delivery.DURABLE)).performative == "inform"

    asyncio.run(run())

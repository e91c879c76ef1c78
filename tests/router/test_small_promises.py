"""Promises that are easy to break unnoticed: bodies beyond the budget, isolation by grant, one commit, no polling."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import statistics
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from caxton.protocol.execution import HostCall, HostReply
from caxton.protocol.frames import FrameDecoder
from caxton.protocol.operations import Logs, Named, Remove
from caxton.router.boxes import Flight, Worker
from caxton.router.links import WorkerLink
from caxton.router.scheduler import PAUSED
from support import router_agents as agents
from support.desk_node import RouterNode, deploy, invoke, submit, until
from support.router_modules import ECHO, LOGS
from support.router_node import message, running_node

TIMEOUT = -7


def test_bodies_beyond_the_budget_are_read_again_from_the_store() -> None:
    async def run() -> None:
        async with running_node() as node:
            await node.deploy("echo", agents.ECHO)
            node.core._boxes._body_budget = 10_000
            node.core.hold(PAUSED)
            sent = [message("echo", str(number) * 2_000) for number in range(9)]
            await node.send(*sent)
            kept = [node.core._boxes.live[one.message_id].message is not None for one in sent]
            assert kept == [True] * 4 + [False] * 5
            node.core.release(PAUSED)
            assert set(await node.settled(*(one.message_id for one in sent))) == {"done"}
            for one in sent:
                outcome = node.row(one.message_id).outcome
                assert outcome is not None
                assert msgspec.json.decode(outcome.content or b"")["content"] == msgspec.json.decode(one.content)
            await node.assert_balanced()

    asyncio.run(run())


def test_the_router_itself_ends_a_request_at_its_reply_by() -> None:
    """The worker's own clock is not relied on: here the test is the worker, and it does not look at one."""

    async def run() -> None:
        async with running_node() as node:
            await node.deploy("slow", agents.sleeper(30))
            asker = await node.deploy("asker", agents.SILENT)
            ours, far = socket.socketpair()
            worker = Worker(99, 0, "")
            worker.link = await WorkerLink.adopt(far.detach(), lambda frames: None, lambda: None)
            box = node.core._boxes.get(asker.name)
            assert box is not None
            asked = message("slow", sender="asker", reply_by=time.time() + 0.3)
            flight = Flight(12345, box, None, worker, 0, time.time())
            node.core._hostcalls.called(flight, HostCall(flight.exec_id, 1, "request", None, asked))
            assert flight.waits_for == asked.message_id
            ours.setblocking(False)
            async with asyncio.timeout(5):
                data = await asyncio.get_running_loop().sock_recv(ours, 65_536)
            (body,) = FrameDecoder().feed(data)
            assert msgspec.msgpack.decode(body, type=HostReply) == HostReply(flight.exec_id, 1, TIMEOUT)
            assert flight.waits_for is None
            assert time.time() >= (asked.reply_by or 0)
            worker.link.close()
            ours.close()
            await node.core.cancel(asked.message_id)

    asyncio.run(run())


def test_an_agent_with_granted_directories_has_a_worker_of_its_own() -> None:
    shared = Path(tempfile.mkdtemp(prefix="cx", dir="/tmp"))
    try:
        with RouterNode(runtime={"shareable_dirs": [str(shared)]}) as node, node.client() as client:
            deploy(client, "plain", ECHO)
            deploy(client, "files", ECHO, grants={"dirs": [{"host": str(shared), "guest": "/data"}]})
            for name in ("plain", "files"):
                invoke(client, name)
            tags = {worker["tag"]: worker["pid"] for worker in client.call("stats")["core"]["workers"]}
            own = "files+dirs"
            assert set(tags) == {"", own}
            os.kill(tags[own], signal.SIGKILL)
            until(lambda: {w["pid"] for w in client.call("stats")["core"]["workers"]}.isdisjoint({tags[own]}))
            for name, incarnation in (("plain", 1), ("files", 2)):  # only the one that lived there lost its instance
                invoke(client, name)
                assert client.call("agent.get", Named(name))["resources"]["incarnation"] == incarnation
    finally:
        shared.rmdir()


def test_a_removal_is_one_commit() -> None:
    """Whatever moment a crash chose: agent and mail are both there, or both gone."""
    with RouterNode() as node, node.client() as client:
        deploy(client, "leaver", ECHO)
        client.call("node.pause")
        submit(client, "leaver", 300)
        seen: set[tuple[int, int]] = set()
        stop = threading.Event()

        def watch() -> None:
            with sqlite3.connect(node.data / "local.db", isolation_level=None) as connection:
                while not stop.is_set():
                    connection.execute("BEGIN")
                    (there,) = connection.execute("SELECT count(*) FROM agent").fetchone()
                    (rows,) = connection.execute("SELECT count(*) FROM message WHERE state = 'pending'").fetchone()
                    (dead,) = connection.execute("SELECT count(*) FROM message WHERE state = 'dead'").fetchone()
                    connection.execute("COMMIT")
                    seen.add((there, rows + dead))
            connection.close()

        watcher = threading.Thread(target=watch)
        watcher.start()
        until(lambda: seen)
        assert client.call("agent.remove", Remove("leaver", purge=True))["count"] == 300
        until(lambda: (0, 0) in seen)
        stop.set()
        watcher.join()
        assert seen == {(1, 300), (0, 0)}


def test_a_followed_log_comes_when_it_is_written() -> None:
    with RouterNode() as node, node.client() as client, node.client() as reader:
        deploy(client, "chatty", LOGS)
        invoke(client, "chatty")
        reader.send("agent.logs", Logs("chatty", limit=1, follow=True))
        reader.receive()  # the line of before: what comes from now on is followed
        waits = []
        for _ in range(15):
            invoke(client, "chatty")
            answered = time.monotonic()
            reader.receive()
            waits.append(time.monotonic() - answered)
        assert statistics.median(waits) < 0.05  # a poll five times a second would take twice that

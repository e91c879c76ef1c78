"""A router of its own process for the API's tests: the real operations and frames, answers from memory.

The tests of behaviour that depends on what the router decides use it to choose that decision exactly;
`test_real_node_*` use the real one.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec

from caxton.protocol.agents import EffectiveLimits, Grants, Instance, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.frames import FrameDecoder, encode_frame
from caxton.protocol.ids import new_id
from caxton.protocol.keys import new_key
from caxton.protocol.operations import OPERATIONS, Affected, Call, Fail, Hangup, Item, Reply, ToRouter
from caxton.protocol.views import (
    AgentView,
    InvokeView,
    ItemView,
    JobView,
    KeyRecord,
    KeyView,
    LogView,
    MessageView,
    NodeEvent,
    Page,
    Readiness,
)

NOW = "2026-01-01T00:00:00Z"
KEY = new_key()
AGENTS: dict[str, AgentView] = {}
MESSAGES: dict[str, MessageView] = {}
HUNG_UP: list[str] = []
COUNTS = dict.fromkeys(
    ("accepted", "done", "dead", "expired", "cancelled", "pending", "in_flight", "forwarded", "imbalance"), 0
)


def find(name: str) -> AgentView:
    if name not in AGENTS:
        raise CaxtonError(Code.AGENT_NOT_FOUND, f"no agent is called {name}", name=name)
    return AGENTS[name]


def deploy(args: Any) -> Any:
    if args.config.name in AGENTS:
        raise CaxtonError(Code.AGENT_ALREADY_EXISTS, "there already")
    if not args.module.startswith((b"\0asm", b"(module")):
        raise CaxtonError(Code.INVALID_WASM, "not wasm")
    if args.wait_seconds == 0:
        return {"job": job(new_id())}
    AGENTS[args.config.name] = view = AgentView(
        name=args.config.name,
        agent_id=new_id(),
        version=1,
        status="running",  # type: ignore[arg-type]
        shape=Shape.REACTOR,
        instance=Instance.PERSISTENT,
        module_sha256="0" * 64,
        module_bytes=len(args.module),
        node="n1",
        limits=EffectiveLimits(),
        grants=Grants(),
        config=args.config,
        counters={},
        resources={
            "resident": True,
            "incarnation": 1,
            "state_bytes": 0,
            "mailbox_bytes": 0,
            "cpu_seconds": 0,
            "peak_memory_bytes": 0,
        },  # type: ignore[arg-type]
        deployed_at=NOW,
        etag="e1",
    )
    return {"agent": view}


def job(job_id: str) -> JobView:
    return JobView(job_id=job_id, kind="deploy", state="running", progress=0.5, created_at=NOW)


async def invoke(args: Any) -> Any:
    message = args.message
    agent = find(message.receiver)
    if args.as_job:
        return {"job": job(message.message_id)}
    if agent.name == "slow":
        try:
            await asyncio.sleep(args.timeout_seconds)
        except asyncio.CancelledError:
            HUNG_UP.append(message.message_id)
            raise
        raise CaxtonError(Code.EXECUTION_TIMEOUT, "no answer in time")
    view = InvokeView(
        message_id=message.message_id,
        conversation_id=message.conversation_id,
        performative="inform",
        content=msgspec.Raw(message.content),
        execution=None,
    )
    return {"reply": view}


def submit(args: Any) -> list[ItemView]:
    return [accept(message) for message in args.messages]


def accept(m: Any) -> ItemView:
    if m.receiver not in AGENTS:
        return ItemView(m.message_id, error=CaxtonError(Code.AGENT_NOT_FOUND, "no such agent").body())
    if m.receiver == "full":
        return ItemView(m.message_id, error=CaxtonError(Code.MAILBOX_FULL, "full", retry_after_seconds=7).body())
    old = MESSAGES.get(m.message_id)
    if old is not None and bytes(old.content) != m.content:
        return ItemView(m.message_id, error=CaxtonError(Code.CONFLICT, "same id, other body").body())
    MESSAGES[m.message_id] = MessageView(
        message_id=m.message_id,
        state="pending",
        performative=m.performative,
        sender=m.sender,
        receiver=m.receiver,
        content=msgspec.Raw(m.content),
        conversation_id=m.conversation_id,
        accepted_at=NOW,
        priority=m.priority,
        trace_context=m.traceparent,
    )
    return ItemView(m.message_id, "pending")


def message(args: Any) -> MessageView:
    if args.name not in MESSAGES:
        raise CaxtonError(Code.MESSAGE_NOT_FOUND, "no such message")
    return MESSAGES[args.name]


def remove(args: Any) -> Affected:
    view = find(args.name)
    if args.etag not in (None, view.etag):
        raise CaxtonError(Code.CONFLICT, "changed meanwhile")
    del AGENTS[args.name]
    return Affected(0)


def page(args: Any) -> Page:
    if args.cursor is not None:
        raise CaxtonError(Code.INVALID_REQUEST, "cursor: not one of ours", path="cursor")
    return Page([])


def agents(args: Any) -> Page:
    return Page(list(AGENTS.values())) if args.cursor is None else page(args)


def lookup(args: Any) -> KeyRecord:
    if args.name != KEY.key_id:
        raise CaxtonError(Code.KEY_NOT_FOUND, "no such key")
    return KeyRecord(KEY.key_id, "alice", KEY.salt, KEY.digest)


def missing(code: Code) -> Any:
    def answer(_: Any) -> None:
        raise CaxtonError(code, "no such thing")

    return answer


def key_view(args: Any) -> KeyView:
    return KeyView(key_id=KEY.key_id, subject="alice", created_at=NOW, key=KEY.text)


def ledger(_: Any) -> Any:
    return {"node": {"name": "n1", **COUNTS}, "agents": []}


ANSWERS: dict[str, Any] = {
    "submit": submit,
    "invoke": invoke,
    "message.get": message,
    "message.list": page,
    "message.cancel": message,
    "agent.deploy": deploy,
    "agent.get": lambda a: find(a.name),
    "agent.list": agents,
    "agent.stop": lambda a: find(a.name),
    "agent.start": lambda a: find(a.name),
    "agent.remove": remove,
    "agent.state": lambda a: find(a.name) and page(a),
    "agent.executions": lambda a: find(a.name) and page(a),
    "job.get": lambda a: job(a.name) if a.name in MESSAGES else missing(Code.JOB_NOT_FOUND)(a),
    "dead.list": page,
    "dead.get": message,
    "dead.replay": lambda a: Affected(len(a.message_ids)),
    "dead.purge": lambda a: Affected(len(a.message_ids)),
    "ledger": ledger,
    "ready": lambda _: Readiness(True),
    "stats": lambda _: {"ledger": COUNTS, "ledger_imbalance": 0, "hung_up": len(HUNG_UP), "text": "left out"},
    "key.create": key_view,
    "key.list": lambda _: Page([]),
    "key.revoke": missing(Code.KEY_NOT_FOUND),
    "key.lookup": lookup,
    "node.pause": lambda _: {},
    "node.resume": lambda _: {},
    "node.log_level": lambda _: {},
    "node.gc": lambda _: Affected(0),
}


async def stream(call: Call, args: Any, send: Any) -> None:
    if call.op == "agent.logs":
        find(args.name)
        for seq in range(3):
            send(Item(call.call_id, msgspec.json.encode(LogView(seq, NOW, "log", f"line {seq}"))))
        while args.follow:
            await asyncio.sleep(60)
    else:
        first = (args.last_id or 0) + 1
        for number in range(first, first + 3):
            event = NodeEvent(number, args.patterns[0].replace("*", "x"), NOW, {})
            send(Item(call.call_id, msgspec.json.encode(event)))
        await asyncio.sleep(3600)
    send(Reply(call.call_id, b"{}"))


async def answer(call: Call, send: Any) -> None:
    args = msgspec.msgpack.decode(call.args, type=OPERATIONS[call.op][0])
    try:
        if call.op in ("events", "agent.logs"):
            await stream(call, args, send)
            return
        result = ANSWERS[call.op](args)
        if asyncio.iscoroutine(result):
            result = await result
        send(Reply(call.call_id, msgspec.json.encode(result)))
    except CaxtonError as error:
        send(Fail(call.call_id, error.body()))


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    frames = FrameDecoder()
    tasks: dict[int, asyncio.Task[None]] = {}

    def send(frame: Any) -> None:
        writer.write(encode_frame(frame))

    while data := await reader.read(1 << 18):
        for body in frames.feed(data):
            frame = msgspec.msgpack.decode(body, type=ToRouter)
            if isinstance(frame, Hangup):
                task = tasks.pop(frame.call_id, None)
                if task is not None:
                    task.cancel()
            else:
                tasks[frame.call_id] = asyncio.create_task(answer(frame, send))
    writer.close()


async def main(path: str) -> None:
    server = await asyncio.start_unix_server(serve, path)
    print(KEY.text, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

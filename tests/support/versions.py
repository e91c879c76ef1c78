"""Versions of agents for tests: modules that say which one they are, and the operations."""

from __future__ import annotations

from typing import Any

import msgspec

from caxton.protocol.operations import Named
from caxton.protocol.versions import ConfigChange, Rollback, Update
from support.desk_node import PATIENCE
from support.router_agents import reactor, recorder
from support.router_client import RouterClient
from support.router_modules import CONSTANT, wasm


def answering(number: int) -> str:
    """An agent that replies `number`, of one digit."""
    return CONSTANT.replace('"42"', f'"{number} "')


def counting(number: int) -> str:
    """An agent that counts in key `n`, modulo 256, and replies `number`, of one digit."""
    return reactor("(call $bump) (drop (call $reply (i32.const 0) (i32.const 1))) (i32.const 0)", data=str(number))


def slow_recorder(offset: int) -> str:
    """`recorder` that waits 30 ms between reading its key and writing it: two at once would lose one's bytes."""
    return recorder(offset).replace("(i32.store16", "(drop (call $sleep (i64.const 30000))) (i32.store16", 1)


def update(client: RouterClient, name: str, module: str | bytes | None = None, **fields: Any) -> Any:
    """Makes a new version; the agent's view (or the job's when it takes longer)."""
    own = {"strategy", "canary", "blue_green", "etag", "wait_seconds", "signature"}
    given = {"wait_seconds": PATIENCE} | {key: value for key, value in fields.items() if key in own}
    change = msgspec.convert({key: value for key, value in fields.items() if key not in own}, ConfigChange)
    code = wasm(module) if isinstance(module, str) else module
    plain = {"name": name, "change": change, "module": code, **given}
    answer = client.call("agent.update", msgspec.convert(msgspec.to_builtins(plain, builtin_types=(bytes,)), Update))
    return answer.get("agent") or answer["job"]


def rollback(client: RouterClient, name: str, version: int | None = None) -> Any:
    """Back to an earlier version; the agent's view."""
    return client.call("agent.rollback", Rollback(name, version))


def versions(client: RouterClient, name: str) -> list[tuple[int, str]]:
    """The kept versions, newest first, and what each is now."""
    return [(item["version"], item["state"]) for item in client.call("agent.versions", Named(name))["items"]]


def another(text: str, number: int) -> bytes:
    """The same module under another hash: a custom section with a number is added."""
    return wasm(text) + bytes([0, 2, 1, number])

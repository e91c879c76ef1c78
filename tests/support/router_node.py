"""A router's hot half over a real executor and a real database, for tests.

`Node` starts `python -m caxton.executor` as a process of its own and a `Core` in the test's loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import msgspec
from wasmtime import wat2wasm

from caxton.config import Config, load
from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, Instance, Limits, Retry, Shape
from caxton.protocol.errors import ErrorBody
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Delivery, Message
from caxton.protocol.operations import Invoke
from caxton.protocol.views import InvokeView
from caxton.router.agents import Agent, Registry
from caxton.router.core import Core
from caxton.router.rows import agent_of, agent_row
from caxton.router.scheduler import FAILED
from caxton.store import Changes, MessageRow, Store

APP = Path(__file__).resolve().parents[2] / "app"
PATIENCE = 20.0


class Executor:
    """The executor's supervisor as a process."""

    def __init__(self, config_file: Path, log: Path) -> None:
        self._command = [sys.executable, "-m", "caxton.executor", "--config", str(config_file)]
        self._log = log
        self.process = self._start()

    def _start(self) -> Popen[bytes]:
        with self._log.open("ab") as log:
            return Popen(self._command, cwd=APP, stdin=DEVNULL, stdout=log, stderr=log)

    def again(self) -> None:
        self.process = self._start()

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=PATIENCE)


class Node:
    """A running node. `events` are those that the core emitted."""

    def __init__(self, directory: Path, config: Config, executor: Executor) -> None:
        self.directory = directory
        self.config = config
        self.executor = executor
        self.events: list[tuple[str, dict[str, Any]]] = []

    async def boot(self) -> None:
        """The router comes up: from the store, as after a crash."""
        self.store = Store.open(
            self.config.paths.database,
            journal_mode=self.config.coordination.journal_mode,
            synchronous=self.config.coordination.synchronous,
            commit_window=self.config.messaging.commit_window,
        )
        self.registry = Registry()
        snapshots = self.store.reader.snapshots.infos()
        for row in self.store.reader.agents():
            self.registry.add(agent_of(row, self.store.reader.state_bytes(row.name), snapshots.get(row.name)))
        self.core = Core(self.config, self.store, self.registry, lambda name, data: self.events.append((name, data)))
        await self.core.start()
        for agent in self.registry:
            await self._prepare(agent.module.sha256, agent.config)

    async def crash(self) -> None:
        """The router is gone without a word: nothing is ended in order, memory is lost."""
        await self.core._executor.stop()
        self.core._executor._changed = lambda: None
        self.core._scheduler.hold(FAILED)
        self.core._timers.stop()
        self.core.schedules.stop()
        if self.core._housekeeping is not None:
            self.core._housekeeping.cancel()
        for box in self.core._boxes:
            if box.alarm is not None:
                box.alarm.cancel()
        self.store.close()

    async def _prepare(self, digest: str, config: AgentConfig) -> Any:
        path = self.config.paths.modules / digest
        return await self.core.prepare(config, digest, path, lambda used: None)

    async def deploy(self, name: str, wat: str, start: bool = True, **fields: Any) -> Agent:
        """Deploys a module in text form."""
        made = AgentConfig(name=name, **fields)
        code = bytes(wat2wasm(wat))
        digest = sha256(code).hexdigest()
        self.config.paths.modules.mkdir(parents=True, exist_ok=True)
        (self.config.paths.modules / digest).write_bytes(code)
        info = await self._prepare(digest, made)
        persistent = info.shape is Shape.REACTOR and made.instance is not Instance.PER_MESSAGE
        asked = {key: value for key, value in msgspec.structs.asdict(made.limits).items() if value is not None}
        agent = Agent(
            name=name,
            agent_id=new_id(),
            version=1,
            config=made,
            module=info,
            limits=msgspec.structs.replace(EffectiveLimits(memory_bytes=16_000_000), **asked),
            shape=info.shape,
            instance=Instance.PERSISTENT if persistent else Instance.PER_MESSAGE,
            max_concurrency=made.max_concurrency or (1 if persistent else 4),
            deployed_at=time.time(),
            status=AgentStatus.RUNNING,
        )
        self.registry.add(agent)
        if start:
            await self.core.start_agent(agent)
        self.core.attach(agent)
        await self.core.commit(Changes(agents=[agent_row(agent)]))
        return agent

    async def send(self, *messages: Message) -> list[str]:
        """Submits; every item must be accepted. Gives the states."""
        views = await self.core.submit(list(messages))
        assert [view.error for view in views] == [None] * len(views)
        return [str(view.state) for view in views]

    async def refused(self, one: Message) -> ErrorBody:
        view = (await self.core.submit([one]))[0]
        assert view.error is not None
        return view.error

    async def ask(self, receiver: str, content: Any = None, **fields: Any) -> InvokeView:
        """Invokes and waits."""
        idempotent = fields.pop("idempotent", False)
        delivery = fields.pop("delivery", Delivery.EPHEMERAL)
        timeout = fields.pop("timeout", PATIENCE)
        return await self.core.invoke(
            Invoke(message(receiver, content, **fields), timeout, delivery, False, idempotent)
        )

    def row(self, message_id: str) -> MessageRow:
        row = self.store.reader.message(message_id)
        assert row is not None
        return row

    async def settled(self, *message_ids: str) -> list[str]:
        """Waits until every message has ended; the states."""
        await until(lambda: all(self.row(one).state != "pending" for one in message_ids))
        return [str(self.row(one).state) for one in message_ids]

    def key(self, agent: str, key: str) -> bytes | None:
        return self.store.reader.load_key(agent, key)

    async def assert_balanced(self) -> None:
        """The ledger balances, and no counter differs from the rows."""
        self.core._tally.flush()
        await self.core._commits.drain()
        for counts in self.store.reader.ledger().values():
            assert counts.imbalance == 0
        assert self.store.reader.recount() == []


def message(receiver: str, content: Any = None, **fields: Any) -> Message:
    """A message of a client."""
    message_id = fields.pop("message_id", None) or new_id()
    return Message(
        message_id=message_id,
        performative=fields.pop("performative", "request"),
        sender=fields.pop("sender", "client:test"),
        receiver=receiver,
        content=msgspec.json.encode(content),
        conversation_id=fields.pop("conversation_id", None) or message_id,
        **fields,
    )


async def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits for a condition; fails when it does not come true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


def make_config(directory: Path, **settings: Any) -> tuple[Config, Path]:
    """A configuration of small patience; `settings` replace keys of any section."""
    values: dict[str, dict[str, Any]] = {
        "coordination": {"local_state_path": str(directory / "data" / "local.db")},
        "runtime": {"executor_workers": 1},
        "messaging": {"retry_delay": "20ms", "low_disk_bytes": "1MB"},
    }
    for key, value in settings.items():
        section, _, name = key.partition("__")
        values.setdefault(section, {})[name] = value
    lines = []
    for section, entries in values.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in entries.items()]
    file = directory / "caxton.toml"
    file.write_text("\n".join(lines) + "\n")
    config = load(file, os.environ).config
    for path in (config.paths.data, config.paths.run, config.paths.modules):
        path.mkdir(parents=True, exist_ok=True)
    return config, file


@asynccontextmanager
async def running_node(**settings: Any) -> AsyncIterator[Node]:
    """A node that is ready for agents, and is gone afterwards with all its processes."""
    directory = Path(tempfile.mkdtemp(prefix="cx"))
    config, file = make_config(directory, **settings)
    executor = Executor(file, directory / "executor.log")
    node = Node(directory, dataclasses.replace(config), executor)
    try:
        await node.boot()
        await until(lambda: not node.core.ready_reasons())
        yield node
        await asyncio.wait_for(node.core.stop(), PATIENCE)
        node.store.close()
    except BaseException:
        print((directory / "executor.log").read_text()[-4000:])
        raise
    finally:
        executor.end()
        shutil.rmtree(directory, ignore_errors=True)


__all__ = ["Limits", "Node", "Retry", "message", "running_node", "until"]

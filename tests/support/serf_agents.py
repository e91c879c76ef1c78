"""Real serf agents on loopback, each with the configuration of a node of its own.

Owns their processes and directories. Must never touch an agent that it did not start.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from caxton.cluster.gossip import Gossip, rendering
from caxton.config import Config
from caxton.config.sections import build
from support.node import free_port, until

SERF = shutil.which("serf")
T = TypeVar("T")


def random_key() -> str:
    """A key as the configuration takes it."""
    return base64.b64encode(os.urandom(32)).decode()


class Agent:
    """One agent; `seeds`, `expected_nodes` and the rest can be changed between two starts."""

    def __init__(self, home: Path, name: str, key: str | None, *seeds: Agent, **changes: object) -> None:
        self.name = name
        self.home = home / name
        self.address = f"127.0.0.1:{free_port()}"
        self.values: dict[str, object] = {
            "coordination.cluster_enabled": True,
            "coordination.node_id": name,
            "coordination.local_state_path": str(self.home / "data" / "local.db"),
            "coordination.bind_addr": self.address,
            "coordination.gossip_rpc_address": f"127.0.0.1:{free_port()}",
            "coordination.gossip_interval": 0.1,
            "coordination.encrypt_key": key,
            "coordination.expected_nodes": 3,
            "coordination.seeds": tuple(seed.address for seed in seeds),
            "networking.bind_address": f"127.0.0.1:{free_port()}",
            "networking.tls_enabled": True,
            **{f"networking.tls_{file}_path": f"/nonexistent/{file}.pem" for file in ("cert", "key", "ca")},
            **changes,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Config:
        """The node's configuration."""
        return build(self.values)

    @property
    def environ(self) -> dict[str, str]:
        """The same, as variables of the command line."""
        given = {key: value for key, value in self.values.items() if value is not None}
        given["coordination.gossip_interval"] = f"{round(self.config.coordination.gossip_interval * 1000)}ms"
        given["coordination.seeds"] = ",".join(self.config.coordination.seeds)
        return {f"CAXTON_{key.upper().replace('.', '__')}": str(value) for key, value in given.items()}

    @property
    def log(self) -> str:
        """What serf has said so far."""
        return (self.home / "serf.log").read_text(errors="replace")

    def start(self) -> Agent:
        """Starts it and does not wait."""
        assert SERF is not None
        file = rendering.write(self.config)
        with (self.home / "serf.log").open("ab") as log:
            self.process = subprocess.Popen([SERF, "agent", "-config-file", str(file)], stdout=log, stderr=log)
        return self

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it, by default as a power cut does."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None


class Watched:
    """What the router of each agent's node would see: `Gossip` objects on a loop in a thread of its own."""

    def __init__(self, *agents: Agent) -> None:
        self.agents = {agent.name: agent for agent in agents}
        self.gossip = {agent.name: Gossip(agent.config) for agent in agents}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._tasks = self.do(self._start())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something on the loop; its result."""
        return self._submit(work).result(60)

    def call(self, function: Callable[[], object]) -> None:
        """Calls something on the loop, and does not wait."""
        self._loop.call_soon_threadsafe(function)

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends an agent; its node has noticed."""
        self.agents[name].end(number)
        until(lambda: not self.gossip[name].connected, 10, "the node has noticed that its serf is gone")

    def standing(self, of: str) -> set[str]:
        """What `of` is called, by every node whose agent runs; empty where nobody knows it."""
        seen = [self.gossip[name].members().get(of) for name, agent in self.agents.items() if agent.process]
        return {str(member.standing) if member else "" for member in seen}

    def all_alive(self) -> bool:
        """Whether everybody calls everybody alive, and not from memory."""
        connected = all(one.connected for one in self.gossip.values())
        return connected and all(self.standing(name) == {"alive"} for name in self.agents)

    def close(self) -> None:
        """Ends everything, the agents too."""
        for task in self._tasks:
            self._loop.call_soon_threadsafe(task.cancel)
        self.do(_all_of(self._tasks))
        for agent in self.agents.values():
            agent.end()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(one.run()) for one in self.gossip.values()]

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


async def _all_of(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)

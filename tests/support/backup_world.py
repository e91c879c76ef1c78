"""A data directory with real state, without processes: what the tests of backups and restores start from.

Owns the making of states and their fingerprints. Must never know how a backup is made.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caxton.config import Config, load
from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, Instance, ModuleInfo, Shape
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message
from caxton.store import AgentRow, Changes, Store
from support import commits
from support.commits import accept, settle


@dataclass(frozen=True)
class World:
    """A node's directories. `file` is its configuration."""

    root: Path
    config: Config
    file: Path

    @property
    def data(self) -> Path:
        return self.config.paths.data

    @property
    def database(self) -> Path:
        return self.config.paths.database

    @property
    def backups(self) -> Path:
        return Path(self.config.backup.directory)

    def open(self) -> Store:
        """The store, as the router opens it."""
        coordination = self.config.coordination
        return Store.open(self.database, journal_mode=coordination.journal_mode, synchronous=coordination.synchronous)


def make_world(root: Path, environ: Mapping[str, str] | None = None, **sections: dict[str, Any]) -> World:
    """An empty node below `root`, configured by a file in a directory of its own."""
    merged: dict[str, dict[str, Any]] = {
        "coordination": {"local_state_path": str(root / "data" / "local.db")},
        "messaging": {"low_disk_bytes": "1MB"},
        "networking": {"bind_address": "127.0.0.1:8080", "metrics_address": "127.0.0.1:9090"},
        "security": {"auth_enabled": False},
        "backup": {"directory": str(root / "backups")},
    }
    for name, values in sections.items():
        merged.setdefault(name, {}).update(values)
    file = root / "config" / "production.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {_value(value)}" for key, value in values.items())
            for name, values in merged.items()
        )
    )
    return World(root, load(file, environ or {}).config, file)


def commit(store: Store, changes: Changes) -> None:
    """Makes the changes durable."""
    assert commits.commit(store, changes).error is None


def message(receiver: str = "echo", size: int = 200) -> Message:
    """A message whose content does not compress to nothing."""
    message_id = new_id()
    content = b'"' + os.urandom(size // 2).hex().encode() + b'"'
    return Message(message_id, "request", "client:test", receiver, content, message_id)


def agent(name: str, module: bytes) -> AgentRow:
    """A running agent that is made of these bytes."""
    return AgentRow(
        name=name,
        agent_id=new_id(),
        version=1,
        config=AgentConfig(name=name),
        module=ModuleInfo(digest(module), len(module), Shape.REACTOR, ["handle_message"], [], 1, 65536, None, 0.1),
        limits=EffectiveLimits(),
        shape=Shape.REACTOR,
        instance=Instance.PERSISTENT,
        max_concurrency=1,
        deployed_at=1_000.0,
        status=AgentStatus.RUNNING,
    )


def digest(module: bytes) -> str:
    return hashlib.sha256(module).hexdigest()


def put_module(world: World, module: bytes) -> Path:
    """The file as the router keeps it."""
    path = world.config.paths.modules / digest(module)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(module)
    return path


def fill(world: World, done: int = 50, pending: int = 20, agents: int = 2, store: Store | None = None) -> list[str]:
    """Adds agents with modules, and messages; the ids of the messages."""
    opened = store or world.open()
    mark = os.urandom(4).hex()
    modules = [f"module {mark} {index}".encode() * 50 for index in range(agents)]
    for module in modules:
        put_module(world, module)
    ended, waiting = [message() for _ in range(done)], [message("slow") for _ in range(pending)]
    commit(
        opened,
        Changes(
            accept=[accept(one) for one in ended + waiting],
            settle=[settle(one) for one in ended],
            agents=[agent(f"agent-{mark}-{index}", module) for index, module in enumerate(modules)],
        ),
    )
    if store is None:
        opened.close()
    return [one.message_id for one in ended + waiting]


def contents(world: World) -> tuple[frozenset[str], frozenset[str]]:
    """What a router would find: ids of all messages, and names of agents whose module is there and whole."""
    opened = world.open()
    try:
        assert opened.reader.recount() == []
        messages, cursor = set(), None
        while True:
            page = opened.reader.messages(limit=200, cursor=cursor)
            messages |= {row.message.message_id for row in page.rows}
            cursor = page.next_cursor
            if cursor is None:
                break
        agents = {
            row.name
            for row in opened.reader.agents()
            if digest((world.config.paths.modules / row.module.sha256).read_bytes()) == row.module.sha256
        }
    finally:
        opened.close()
    return frozenset(messages), frozenset(agents)


def fingerprint(directory: Path) -> dict[str, str]:
    """Every file below a directory and its checksum; locks, which come and go, excepted."""
    return {
        str(path.relative_to(directory)): digest(path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in ("lock", "serve.lock")
    }


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)

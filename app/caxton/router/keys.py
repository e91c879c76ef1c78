"""Key writes that are not durable yet, in front of the store.

Owns what an agent's next execution must see before the commit of the one before is on disk. Must never be
the only place of a value: every one is in an open commit.
"""

from __future__ import annotations

from functools import partial

from caxton.protocol.errors import CaxtonError, Code
from caxton.router.access.accounts import Accounts
from caxton.router.aftermath import Aftermath
from caxton.router.boxes import Box
from caxton.router.commits import Commits
from caxton.store.reader import Reader

Writes = list[tuple[str, bytes | None]]


class Keys:
    """Reads through the overlay, writes into it and into this turn's changes."""

    def __init__(self, reader: Reader, commits: Commits, aftermath: Aftermath, accounts: Accounts) -> None:
        self._accounts = accounts
        self._reader = reader
        self._commits = commits
        self._aftermath = aftermath
        self._overlay: dict[tuple[str, str], tuple[bytes | None, int]] = {}

    def load(self, agent: str, key: str) -> bytes | None:
        """The value as the agent's last execution left it."""
        found = self._overlay.get((agent, key))
        return self._reader.load_key(agent, key) if found is None else found[0]

    def write(self, agent: str, writes: Writes) -> None:
        """Writes with this turn's commit; visible to the agent from now on."""
        rows = self._commits.changes.keys
        for key, value in writes:
            rows.append((agent, key, value))
            _, pending = self._overlay.get((agent, key), (None, 0))
            self._overlay[agent, key] = (value, pending + 1)
        account = self._accounts.of(agent)
        if account is not None:
            account.stored(_bytes_of(writes))
        self._aftermath.call(partial(self._durable, agent, [key for key, _ in writes]))

    def require_room(self, box: Box, writes: Writes) -> None:
        """Raises `RESOURCE_LIMIT_EXCEEDED` when the agent's keys would exceed `state_bytes` with these writes.

        `agent.state_bytes` is an upper bound that needs no reading; only when it is reached, disk is asked.
        """
        agent, limit = box.agent, box.agent.limits.state_bytes
        added = _bytes_of(writes)
        if added and box.account is not None:
            box.account.require_bytes(added)
        if agent.state_bytes + added > limit:
            agent.state_bytes = self._reader.state_bytes(agent.name) + self._pending_bytes(agent.name)
            replaced = sum(self._size(agent.name, key) for key, _ in writes)
            if agent.state_bytes - replaced + added > limit:
                raise CaxtonError(
                    Code.RESOURCE_LIMIT_EXCEEDED,
                    f"the keys of {agent.name!r} would take more than {limit} bytes; delete some first",
                    limit_bytes=limit,
                )
            agent.state_bytes -= replaced
        agent.state_bytes += added

    def _size(self, agent: str, key: str) -> int:
        value = self.load(agent, key)
        return 0 if value is None else len(key.encode()) + len(value)

    def _pending_bytes(self, name: str) -> int:
        total = 0
        for (agent, key), (value, _) in self._overlay.items():
            if agent == name:
                stored = self._reader.load_key(agent, key)
                before = 0 if stored is None else len(key.encode()) + len(stored)
                total += (0 if value is None else len(key.encode()) + len(value)) - before
        return total

    def _durable(self, agent: str, keys: list[str]) -> None:
        for key in keys:
            value, pending = self._overlay[agent, key]
            if pending == 1:
                del self._overlay[agent, key]
            else:
                self._overlay[agent, key] = (value, pending - 1)


def _bytes_of(writes: Writes) -> int:
    return sum(len(key.encode()) + len(value) for key, value in writes if value is not None)

"""How much a namespace stores, read from the database: at the start, and when somebody was refused for it.

Owns when that is read. Between two readings `accounts` counts what comes, and not what retention or a purge take
away: so the figure is never too low, and a refusal is what has it corrected. Must never hold up the loop.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from caxton.router.access.accounts import Account, Accounts
from caxton.router.commits import Commits
from caxton.store.reader import Reader

ENTRY_BYTES: Final = 200
"""What a message costs beside its content, roughly."""
PAUSE_SECONDS: Final = 1.0


class Storage:
    """Reads in a thread of its own, each namespace at most once a second."""

    def __init__(self, accounts: Accounts, commits: Commits, reader: Reader) -> None:
        self._accounts = accounts
        self._commits = commits
        self._reader = reader
        self._asked: dict[str, float] = {}
        self._reading: set[asyncio.Task[None]] = set()
        accounts.measure = self.wanted

    def load(self) -> None:
        """The quotas, and what is stored by those that have one; nothing runs yet."""
        for row in self._reader.namespaces.all():
            if row.quota is not None:
                account = self._accounts.named(row.name)
                account.apply(row.quota)
                account.measured(self._reader.namespaces.stored_bytes(row.name, ENTRY_BYTES))

    def wanted(self, account: Account) -> None:
        """Has it read again, unless that has just been done."""
        now = time.monotonic()
        if now - self._asked.get(account.namespace, -PAUSE_SECONDS) >= PAUSE_SECONDS:
            self._asked[account.namespace] = now
            task = asyncio.get_running_loop().create_task(self.read(account))
            self._reading.add(task)  # nobody waits for it, and the loop alone would let it be collected
            task.add_done_callback(self._reading.discard)

    async def read(self, account: Account) -> None:
        """Reads what is stored when everything accepted so far is on disk."""
        await self._commits.written()
        account.measuring()
        loop, find = asyncio.get_running_loop(), self._reader.namespaces.stored_bytes
        account.measured(await loop.run_in_executor(None, find, account.namespace, ENTRY_BYTES))

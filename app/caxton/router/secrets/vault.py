"""The secrets of this node: ciphertexts in memory, a plain value only for as long as it takes to hand it out.

Owns which execution gets which secret, and that a change is durable before anybody sees it. Must never give a value
to anything but an execution whose agent has the grant.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import msgspec

from caxton.config import Security
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import AgentSpec
from caxton.protocol.secrets import MAX_SECRETS, Rekeyed
from caxton.router.commits import Commits
from caxton.router.secrets.keyring import Keyring
from caxton.store import Changes, SecretRow
from caxton.store.reader import Reader

DENIED: Final = -1
NOT_FOUND: Final = -4
UNAVAILABLE: Final = -6
log = logging.getLogger(__name__)


class Secrets:
    """To be made inside a running loop."""

    def __init__(self, security: Security, commits: Commits, reader: Reader) -> None:
        self._keys = Keyring(security)
        self._commits = commits
        self._rows = {row.name: row for row in reader.secrets()}
        self._changing = asyncio.Lock()
        self._warned: set[str] = set()
        if unreadable := self.unreadable():
            log.warning("%d secrets cannot be read: their key is not this node's secrets_key", len(unreadable))

    def hand_out(self, spec: AgentSpec, name: str) -> tuple[int, bytes]:
        """Status (0, or a negative code of spec/abi.md) and value, for an execution of this agent."""
        if name not in spec.secrets:
            return DENIED, b""
        row = self._rows.get(name)
        if row is None:
            return NOT_FOUND, b""
        value = self._keys.open(row)
        if value is None:
            self._warn(spec.name, row)
            return UNAVAILABLE, b""
        return 0, value

    def rows(self) -> list[SecretRow]:
        """All, by name."""
        return sorted(self._rows.values(), key=lambda row: row.name)

    def readable(self, row: SecretRow) -> bool:
        """Whether the node has its key."""
        return self._keys.has(row.key_id)

    def unreadable(self) -> list[str]:
        """Names of those whose key is not here."""
        return [row.name for row in self.rows() if not self.readable(row)]

    def figures(self) -> dict[str, int]:
        """How many there are, and how many of them the node has no key for."""
        return {"stored": len(self._rows), "unreadable": len(self.unreadable())}

    async def set(self, name: str, value: bytes) -> SecretRow:
        """Keeps a value; durable when this returns. `SECRETS_UNAVAILABLE`, `RESOURCE_LIMIT_EXCEEDED`."""
        async with self._changing:
            before = self._rows.get(name)
            if before is None and len(self._rows) >= MAX_SECRETS:
                raise CaxtonError(
                    Code.RESOURCE_LIMIT_EXCEEDED,
                    f"this node keeps {MAX_SECRETS} secrets at most; remove one first",
                    limit="secrets",
                    maximum=MAX_SECRETS,
                )
            self._require_key()
            now = time.time()
            first, version = (now, 1) if before is None else (before.created_at, before.version + 1)
            row = SecretRow(name, *self._keys.seal(name, value), first, now, version)
            await self._commits.apart(Changes(secrets=[row]))
            self._rows[name] = row
            return row

    def learn(self, name: str, row: SecretRow | None) -> None:
        """What the cluster's registry says, which has it written too; None: there is none."""
        if row is None:
            self._rows.pop(name, None)
        else:
            self._rows[name] = row

    async def remove(self, name: str) -> None:
        """Forgets one for good; `SECRET_NOT_FOUND`."""
        async with self._changing:
            if name not in self._rows:
                raise unknown_secret(name)
            await self._commits.apart(Changes(secrets_removed=[name]))
            del self._rows[name]

    async def rekey(self) -> Rekeyed:
        """Encrypts with the current key whatever another one encrypted; in one transaction."""
        async with self._changing:
            current = self._require_key()
            fresh = []
            for row in self._rows.values():
                value = None if row.key_id == current else self._keys.open(row)
                if value is not None:
                    key_id, nonce, ciphertext = self._keys.seal(row.name, value)
                    fresh.append(msgspec.structs.replace(row, key_id=key_id, nonce=nonce, ciphertext=ciphertext))
            if fresh:
                await self._commits.apart(Changes(secrets=fresh))
            self._rows |= {row.name: row for row in fresh}
            return Rekeyed(len(fresh), current, self.unreadable())

    def _require_key(self) -> str:
        if self._keys.current is None:
            raise CaxtonError(
                Code.SECRETS_UNAVAILABLE,
                "this node has no key to encrypt secrets with: make one (openssl rand -base64 32), name its file in "
                "[security] secrets_key_file or make it the credential caxton.secrets_key, and restart the node",
                path="security.secrets_key",
            )
        return self._keys.current

    def _warn(self, agent: str, row: SecretRow) -> None:
        """Once for each: an agent may ask a thousand times a second."""
        if row.name not in self._warned:
            self._warned.add(row.name)
            log.warning("agent %s asked for the secret %s, whose key %s is not here", agent, row.name, row.key_id)


def unknown_secret(name: str) -> CaxtonError:
    """What is said of a name that no secret has, or none in reach."""
    return CaxtonError(Code.SECRET_NOT_FOUND, f"no secret is called {name!r}", name=name)

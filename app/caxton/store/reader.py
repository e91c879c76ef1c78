"""Signatures of the reader (bodies follow)."""

from __future__ import annotations

from collections.abc import Sequence

from caxton.protocol.views import Counts
from caxton.store.rows import (
    AgentRow,
    ApiKeyRow,
    ExecutionRow,
    FailedAttempt,
    JobRow,
    KeyRow,
    Known,
    LogRow,
    MessageRow,
    Mismatch,
    Sizes,
    Slice,
    TimerRow,
)


class Reader:
    """Committed data only; one read-only connection a thread; every query is short."""

    def message(self, message_id: str) -> MessageRow | None: raise NotImplementedError
    def known(self, message_ids: Sequence[str]) -> dict[str, Known]: raise NotImplementedError
    def attempts(self, message_id: str) -> list[FailedAttempt]: raise NotImplementedError
    def pending(self, agent: str, *, after: int = 0, limit: int = 1_000) -> list[MessageRow]: raise NotImplementedError
    def messages(self, *, agent: str | None = None, conversation_id: str | None = None, state: str | None = None,
                 limit: int = 50, cursor: str | None = None) -> Slice[MessageRow]: raise NotImplementedError
    def dead(self, *, agent: str | None = None, limit: int = 50, cursor: str | None = None) -> Slice[MessageRow]: raise NotImplementedError
    def dead_ids(self, agent: str | None = None, *, limit: int = 1_000) -> list[str]: raise NotImplementedError
    def load_key(self, agent: str, key: str) -> bytes | None: raise NotImplementedError
    def keys(self, agent: str, *, limit: int = 50, cursor: str | None = None) -> Slice[KeyRow]: raise NotImplementedError
    def state_bytes(self, agent: str) -> int: raise NotImplementedError
    def ledger(self) -> dict[str, Counts]: raise NotImplementedError
    def recount(self) -> list[Mismatch]: raise NotImplementedError
    def logs(self, agent: str, *, after: int | None = None, limit: int = 100) -> list[LogRow]: raise NotImplementedError
    def executions(self, agent: str, *, limit: int = 50, cursor: str | None = None) -> Slice[ExecutionRow]: raise NotImplementedError
    def job(self, job_id: str) -> JobRow | None: raise NotImplementedError
    def jobs(self, *, state: str | None = None) -> list[JobRow]: raise NotImplementedError
    def agents(self) -> list[AgentRow]: raise NotImplementedError
    def timers(self) -> list[TimerRow]: raise NotImplementedError
    def api_key(self, key_id: str) -> ApiKeyRow | None: raise NotImplementedError
    def api_keys(self, *, limit: int = 50, cursor: str | None = None) -> Slice[ApiKeyRow]: raise NotImplementedError
    def schema_version(self) -> int: raise NotImplementedError
    def sizes(self) -> Sizes: raise NotImplementedError

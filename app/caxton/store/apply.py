"""One transaction: the changes of many submitters become rows.

Owns the order in which changes are applied. Must never begin, commit or roll back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from caxton.store import apply_messages, apply_rest
from caxton.store.changes import Changes, CommitResult
from caxton.store.ledger import LedgerDelta
from caxton.store.rows import Accept, ExecutionRow, LogRow, Settle

Findings = tuple[set[str], set[str]]
"""Ids that were duplicates, ids that were missed."""
_FINE = CommitResult()


class Applier:
    """Applies changes through one connection; knows what is pending."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.pending = apply_messages.Pending(connection)
        self._next_log_seq: int = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM log_line").fetchone()[0]

    def apply(self, batch: Sequence[Changes]) -> list[CommitResult]:
        """Applies `batch` in order; one result for each."""
        ledger = LedgerDelta()
        findings: list[Findings] = []
        group: list[Changes] = []
        for changes in batch:
            if _stands_alone(changes):
                findings += self._apply_group(group, ledger)
                findings += self._apply_group([changes], ledger)
                group = []
            else:
                group.append(changes)
        findings += self._apply_group(group, ledger)
        ledger.write(self._connection)
        return [
            CommitResult(frozenset(duplicates), None, frozenset(missed)) if duplicates or missed else _FINE
            for duplicates, missed in findings
        ]

    def _apply_group(self, group: list[Changes], ledger: LedgerDelta) -> list[Findings]:
        if not group:
            return []
        for changes in group:
            self._write_agents(changes)
        findings = self._accept_and_settle(group, ledger)
        for changes, (_, missed) in zip(group, findings, strict=True):
            self._write_odd(changes, missed, ledger)
        self._write_state(group)
        self._append(group)
        return findings

    def _accept_and_settle(self, group: list[Changes], ledger: LedgerDelta) -> list[Findings]:
        accepts: dict[str, Accept] = {}
        settles: dict[str, Settle] = {}
        findings: list[Findings] = [(set(), set()) for _ in group]
        for changes, (duplicates, missed) in zip(group, findings, strict=True):
            for accept in changes.accept:
                if accepts.setdefault(accept.message.message_id, accept) is not accept:
                    duplicates.add(accept.message.message_id)
            for settle in changes.settle:
                if settles.setdefault(settle.message_id, settle) is not settle:
                    missed.add(settle.message_id)
        known: set[str] = set()
        if accepts:
            known = apply_messages.accept(self._connection, self.pending, ledger, accepts, settles)
        lost: set[str] = set()
        if settles:
            lost = apply_messages.settle(self._connection, self.pending, ledger, settles)
        if known or lost:
            for changes, (duplicates, missed) in zip(group, findings, strict=True):
                duplicates.update(a.message.message_id for a in changes.accept if a.message.message_id in known)
                missed.update(s.message_id for s in changes.settle if s.message_id in lost)
        return findings

    def _write_agents(self, changes: Changes) -> None:
        if changes.agents:
            apply_rest.write_agents(self._connection, changes.agents)
        if changes.incarnations:
            apply_rest.write_incarnations(self._connection, changes.incarnations)

    def _write_odd(self, changes: Changes, missed: set[str], ledger: LedgerDelta) -> None:
        connection = self._connection
        if changes.attempts:
            apply_messages.note_attempts(connection, changes.attempts)
        if changes.revive:
            missed |= apply_messages.revive(connection, self.pending, ledger, changes.revive)
        if changes.forget:
            missed |= apply_messages.forget(connection, ledger, changes.forget)
        for agent, counts in changes.unlisted.items():
            ledger.unlisted(agent, counts)
        if changes.jobs:
            apply_rest.write_jobs(connection, changes.jobs)
        if changes.api_keys:
            apply_rest.write_api_keys(connection, changes.api_keys)

    def _write_state(self, group: list[Changes]) -> None:
        keys: dict[tuple[str, str], bytes | None] = {}
        timers: dict[tuple[str, int], float | None] = {}
        for changes in group:
            for agent, key, value in changes.keys:
                keys[agent, key] = value
            for agent, timer_id, due in changes.timers_set:
                timers[agent, timer_id] = due
            for agent, timer_id in changes.timers_cleared:
                timers[agent, timer_id] = None
        if keys:
            apply_rest.write_keys(self._connection, keys)
        if timers:
            apply_rest.write_timers(self._connection, timers)

    def _append(self, group: list[Changes]) -> None:
        logs: list[LogRow] = []
        executions: list[ExecutionRow] = []
        removed: list[str] = []
        for changes in group:
            logs += changes.logs
            executions += changes.executions
            removed += changes.agents_removed
        if logs:
            apply_rest.write_logs(self._connection, self._next_log_seq, logs)
            self._next_log_seq += len(logs)
        if executions:
            apply_rest.write_executions(self._connection, executions)
        if removed:
            apply_rest.remove_agents(self._connection, removed)


def _stands_alone(changes: Changes) -> bool:
    """Whether what it does depends on what came before it in other ways than message by message."""
    return bool(changes.revive or changes.forget or changes.agents or changes.agents_removed)

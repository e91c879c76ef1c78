"""One transaction: the changes of many submitters become rows.

Owns the order in which changes are applied. Must never begin, commit or roll back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from caxton.store import (
    apply_handover,
    apply_messages,
    apply_rest,
    apply_snapshots,
    apply_supervision,
    apply_talks,
    apply_versions,
    listing,
    namespaces,
    registry_rows,
    secret_rows,
)
from caxton.store.changes import Changes, CommitResult
from caxton.store.ledger import LedgerDelta
from caxton.store.rows import Accept, ExecutionRow, LogRow, Settle

Findings = tuple[set[str], set[str]]
"""Ids that were duplicates, ids that were missed."""
Used = dict[str, Any]
"""The attributes of one `Changes` that were used; looking further would make the others."""
_FINE: Final = CommitResult()
_ODD: Final = frozenset(
    {
        "attempts",
        "revive",
        "forget",
        "unlisted",
        "jobs",
        "namespaces",
        "api_keys",
        "revoked_tokens",
        "versions",
        "versions_removed",
        "rollouts",
    }
    | apply_supervision.FIELDS
    | secret_rows.FIELDS
    | apply_handover.FIELDS
    | registry_rows.FIELDS
)
_ALONE: Final = frozenset({"revive", "forget", "agents", "agents_removed"}) | apply_handover.FIELDS
"""What depends on what came before it in other ways than message by message."""


class Applier:
    """Applies changes through one connection; knows what is pending."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._listed = listing.mark(connection)
        self.pending = apply_messages.Pending(connection, self._listed)
        self._next_log_seq: int = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM log_line").fetchone()[0]

    def apply(self, batch: Sequence[Changes]) -> list[CommitResult]:
        """Applies `batch` in order; one result for each."""
        ledger = LedgerDelta()
        findings: list[Findings] = []
        group: list[Used] = []
        for changes in batch:
            used = vars(changes)
            if _ALONE.isdisjoint(used):
                group.append(used)
            else:
                findings += self._apply_group(group, ledger)
                findings += self._apply_group([used], ledger)
                group = []
        findings += self._apply_group(group, ledger)
        ledger.write(self._connection)
        if self.pending.last_seq - self._listed >= listing.ROWS_BEHIND:
            listing.extend(self._connection, self._listed, self.pending.last_seq)
            self._listed = self.pending.last_seq
        return [
            CommitResult(frozenset(duplicates), None, frozenset(missed)) if duplicates or missed else _FINE
            for duplicates, missed in findings
        ]

    def _apply_group(self, group: list[Used], ledger: LedgerDelta) -> list[Findings]:
        if not group:
            return []
        for used in group:
            if "agents" in used:
                apply_rest.write_agents(self._connection, used["agents"])
            if "incarnations" in used:
                apply_rest.write_incarnations(self._connection, used["incarnations"])
        findings = self._accept_and_settle(group, ledger)
        for used, (_, missed) in zip(group, findings, strict=True):
            if not _ODD.isdisjoint(used):
                missed |= self._write_odd(used, ledger)
        self._write_state(group)
        self._write_snapshots(group)
        apply_talks.write(self._connection, group)
        self._append(group)
        return findings

    def _accept_and_settle(self, group: list[Used], ledger: LedgerDelta) -> list[Findings]:
        accepts: dict[str, Accept] = {}
        settles: dict[str, Settle] = {}
        findings: list[Findings] = [(set(), set()) for _ in group]
        for used, (duplicates, missed) in zip(group, findings, strict=True):
            for accept in used.get("accept", ()):
                if accepts.setdefault(accept.message.message_id, accept) is not accept:
                    duplicates.add(accept.message.message_id)
            for settle in used.get("settle", ()):
                if settles.setdefault(settle.message_id, settle) is not settle:
                    missed.add(settle.message_id)
        known: set[str] = set()
        if accepts:
            known = apply_messages.accept(self._connection, self.pending, ledger, accepts, settles)
        lost: set[str] = set()
        if settles:
            lost = apply_messages.settle(self._connection, self.pending, ledger, settles)
        if known or lost:
            for used, (duplicates, missed) in zip(group, findings, strict=True):
                duplicates.update(known.intersection(a.message.message_id for a in used.get("accept", ())))
                missed.update(lost.intersection(s.message_id for s in used.get("settle", ())))
        return findings

    def _write_odd(self, used: Used, ledger: LedgerDelta) -> set[str]:
        """What is rare; returns the ids that were missed."""
        connection = self._connection
        missed: set[str] = set()
        apply_messages.note_attempts(connection, used.get("attempts", []))
        apply_supervision.edit(connection, used.get("edits", []))
        if "revive" in used:
            missed |= apply_messages.revive(connection, self.pending, ledger, used["revive"])
        if "forget" in used:
            missed |= apply_messages.forget(connection, ledger, used["forget"])
        for agent, counts in used.get("unlisted", {}).items():
            ledger.unlisted(agent, counts)
        apply_supervision.apply(connection, used)
        apply_rest.write_jobs(connection, used.get("jobs", []))
        apply_rest.write_api_keys(connection, used.get("api_keys", []))
        apply_rest.revoke_tokens(connection, used.get("revoked_tokens", []))
        apply_versions.write_versions(connection, used.get("versions", []))
        apply_versions.remove_versions(connection, used.get("versions_removed", []))
        apply_versions.write_rollouts(connection, used.get("rollouts", []))
        namespaces.write(connection, used.get("namespaces", []))
        if not secret_rows.FIELDS.isdisjoint(used):
            secret_rows.write(connection, used)
        if not apply_handover.FIELDS.isdisjoint(used):
            logs = apply_handover.write(connection, self.pending, ledger, used)
            self._write_logs(logs)
        if not registry_rows.FIELDS.isdisjoint(used):
            registry_rows.write(connection, used)
        return missed

    def _write_state(self, group: list[Used]) -> None:
        keys: dict[tuple[str, str], bytes | None] = {}
        timers: dict[tuple[str, int], float | None] = {}
        for used in group:
            for agent, key, value in used.get("keys", ()):
                keys[agent, key] = value
            for agent, timer_id, due in used.get("timers_set", ()):
                timers[agent, timer_id] = due
            for agent, timer_id in used.get("timers_cleared", ()):
                timers[agent, timer_id] = None
        if keys:
            apply_rest.write_keys(self._connection, keys)
        if timers:
            apply_rest.write_timers(self._connection, timers)

    def _write_snapshots(self, group: list[Used]) -> None:
        rows = [row for used in group for row in used.get("snapshots", ())]
        if rows:
            apply_snapshots.write_snapshots(self._connection, rows)
        for used in group:
            apply_snapshots.fold_snapshots(self._connection, used.get("snapshot_folds", ()))
            apply_snapshots.remove_snapshots(self._connection, used.get("snapshots_removed", ()))
            named = [*used.get("incarnations", ()), *(row.name for row in used.get("agents", ()))]
            apply_snapshots.note_incarnations(self._connection, named)

    def _append(self, group: list[Used]) -> None:
        logs: list[LogRow] = []
        executions: list[ExecutionRow] = []
        removed: list[str] = []
        for used in group:
            logs += used.get("logs", ())
            executions += used.get("executions", ())
            removed += used.get("agents_removed", ())
        self._write_logs(logs)
        if executions:
            apply_rest.write_executions(self._connection, executions)
        if removed:
            apply_rest.remove_agents(self._connection, removed)

    def _write_logs(self, logs: list[LogRow]) -> None:
        if logs:
            apply_rest.write_logs(self._connection, self._next_log_seq, logs)
            self._next_log_seq += len(logs)

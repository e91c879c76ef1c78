"""Metrics of backups and restore drills, from what their commands wrote down.

Owns the names of these metrics. Must never look into a backup.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric

from caxton.protocol.backup_status import STATUS_FILE, Status


class BackupCollector:
    """What the backup commands wrote down; 0 for what never happened: an alert on age must leave that to another."""

    def __init__(self, directory: Path, prefix: str) -> None:
        self._file = directory / STATUS_FILE
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        status = self._read()
        state, drill = status.state, status.drill_succeeded
        figures = {
            "backup_last_verified_timestamp_seconds": (
                "When the newest backup of the state that verified was taken",
                status.verified_taken_at or 0.0,
            ),
            "backup_last_duration_seconds": (
                "How long the last backup of the state took",
                state.seconds if state else 0,
            ),
            "backup_last_size_bytes": ("Its size, compressed", state.size_bytes if state else 0),
            "restore_drill_seconds": (
                "How long the last restore drill that succeeded took",
                drill.seconds if drill else 0,
            ),
            "restore_drill_last_success_timestamp_seconds": ("When it began", drill.at if drill else 0.0),
        }
        for name, (help_text, value) in figures.items():
            yield GaugeMetricFamily(f"{self._prefix}_{name}", help_text, value=value)

    def _read(self) -> Status:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Status)
        except (OSError, msgspec.DecodeError):
            return Status()

"""What an operator decided and a restart must not forget: files in the data directory that are there or not.

Owns `data/drained` and `data/paused`. Must never decide anything by itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from caxton.store import sync_directory

DRAINED: Final = "drained"
PAUSED: Final = "paused"


class Marks:
    """The marks in one data directory; a change is durable when it returns."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def __contains__(self, name: str) -> bool:
        return (self._data / name).exists()

    def set(self, name: str) -> None:
        """Sets a mark; twice is no error."""
        os.close(os.open(self._data / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
        sync_directory(self._data)

    def clear(self, name: str) -> None:
        """Takes a mark away; one that is not there is no error."""
        (self._data / name).unlink(missing_ok=True)
        sync_directory(self._data)

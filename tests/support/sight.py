"""What a test may see of a confined process: its descriptors and memory are root's only."""

from __future__ import annotations

import os

import pytest


def require_sight(pid: int) -> None:
    """Skips where the process does not show itself to this user; that it does not is what it was made for."""
    try:
        os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        pytest.skip("a confined process shows its descriptors and memory to root only")

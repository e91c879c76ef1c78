"""The peers' packages, in a virtual environment of their own: they want other versions than Caxton.

Owns app/.venv/peers. Must never be on Caxton's own path.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

APP = Path(__file__).resolve().parents[3] / "app"
PEERS = APP / ".venv" / "peers"
LOCK = APP / "requirements-bench.txt"


def peers_python() -> Path:
    """The interpreter of the peers' environment; made and filled from the lock file when it is not there."""
    python = PEERS / "bin" / "python"
    stamp = PEERS / ".installed"
    if not stamp.exists() or stamp.stat().st_mtime < LOCK.stat().st_mtime:
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(LOCK)], check=True)
        stamp.touch()
    return python


def peers_path() -> Path:
    """The peers' site-packages."""
    peers_python()
    return next((PEERS / "lib").glob("python3*/site-packages"))

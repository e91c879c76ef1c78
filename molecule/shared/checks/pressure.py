"""Steady load through a balancer for as long as something else takes, every failure counted.

Owns the chunks of load and their sum. Must never repeat a failed request: tests/support/load.py says what it repeats.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from checks import site
from checks.token import token

LOAD: Final = site.ROOT / "tests" / "support" / "load.py"
CHUNK_SECONDS: Final = 5


@dataclass
class Sum:
    """What all chunks gave together; `longest` is the slowest answer in seconds."""

    ok: int = 0
    failed: int = 0
    repeated: int = 0
    longest: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)


@contextmanager
def load(address: str, path: str, *, body: str = "", rate: int = 20) -> Iterator[Sum]:
    """Load on https://`address``path` from before the block until after it; the sum is complete after the block."""
    total, stop = Sum(), threading.Event()
    begun = threading.Event()
    thread = threading.Thread(target=_go_on, args=(address, path, body, rate, total, begun, stop))
    thread.start()
    try:
        assert begun.wait(60), "the load never began"
        yield total
    finally:
        stop.set()
        thread.join()


def _go_on(
    address: str, path: str, body: str, rate: int, total: Sum, begun: threading.Event, stop: threading.Event
) -> None:
    line = [sys.executable, str(LOAD), "--url", f"https://{address}{path}", "--ca", site.authority(), "--json"]
    line += ["--rate", str(rate), "--seconds", str(CHUNK_SECONDS), "--timeout", "30"]
    line += ["--header", f"Authorization: Bearer {token()}"]
    if body:
        line += ["--method", "POST", "--body", body, "--header", "Content-Type: application/json"]
    while not stop.is_set():
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        report = json.loads(done.stdout)
        total.ok += report["ok"]
        total.failed += report["failed"]
        total.repeated += report["repeated_on_closed_idle"]
        total.longest = max(total.longest, report["max"])
        total.kinds.update(report["kinds"])
        begun.set()

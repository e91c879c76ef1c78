"""HTTP load by wrk (Debian package `wrk`).

Owns the generator's command line and the reading of its answer. Must never aim at anything but loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

_REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\\nJSON {"requests":%d,"seconds":%f,"bad":%d,"p50_ms":%f,"p99_ms":%f}\\n',
    summary.requests, summary.duration / 1e6, bad, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


class Load(msgspec.Struct, frozen=True):
    """What one run of load gave. `bad` = answers that were no 2xx or 3xx, and broken connections."""

    per_second: float
    p50_ms: float
    p99_ms: float
    bad: int
    requests: int


def require_wrk() -> None:
    """Installs wrk as root on Debian; else says what is missing."""
    if shutil.which("wrk"):
        return
    if os.getuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=True, stdout=subprocess.DEVNULL)
        return
    raise SystemExit("wrk is missing; as root: apt install wrk")


def drive(
    url: str,
    *,
    body: Any = None,
    connections: int = 64,
    seconds: int = 4,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """Load on one URL: GET, or POST of `body` as JSON."""
    assert url.startswith(("http://127.0.0.1:", "https://127.0.0.1:"))
    script = _REPORT
    if body is not None:
        text = json.dumps(body)
        script += (
            f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [==[{text}]==]\n"
        )
    script += "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in (headers or {}).items())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.lua"
        path.write_text(script)
        line = [
            "wrk",
            f"-t{min(2, connections)}",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "30s",
            "-s",
            str(path),
            url,
        ]
        output = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.rsplit("JSON ", 1)[1])
    return Load(
        found["requests"] / found["seconds"], found["p50_ms"], found["p99_ms"], found["bad"], found["requests"]
    )

"""`make run`: a node in the foreground, the example agents on it, and one exchange with each.

Owns the first five minutes of a newcomer. Must never do what the command line cannot: it uses the public
HTTP API, and prints the command for each step.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import httpx
from build import EXAMPLES, build

URL = os.environ.get("CAXTON_URL", "http://127.0.0.1:8080")
READY_SECONDS = 60.0
EXCHANGES: list[tuple[str, Any]] = [
    ("wordcount", "the quick brown fox\njumps over the lazy dog\n"),
    ("counter", {"add": 1}),
    ("counter", {"add": 1}),
    ("memory", {"set": "colour", "value": "blue"}),
    ("memory", {"get": "colour"}),
]


def start_node() -> subprocess.Popen[bytes]:
    """`caxton serve` as a child of this command, with built-in defaults (data below ./.caxton)."""
    return subprocess.Popen([sys.executable, "-m", "caxton", "serve"])


def wait_until_ready(node: subprocess.Popen[bytes], client: httpx.Client) -> None:
    """Returns when GET /ready answers 200; exits with the node's status when it ends before that."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if node.poll() is not None:
            raise SystemExit(node.returncode)
        try:
            if client.get("/ready").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    node.terminate()
    raise SystemExit(f"the node did not become ready within {READY_SECONDS:.0f} s; its messages are above")


def deploy(client: httpx.Client, name: str) -> None:
    """Deploys one example, unless an earlier `make run` did."""
    module = build(name)
    config = json.dumps({"name": name})
    answer = client.post(
        "/api/v1/agents",
        files={
            "wasm": (module.name, module.read_bytes(), "application/wasm"),
            "config": (None, config, "application/json"),
        },
    )
    if answer.status_code == httpx.codes.CONFLICT:
        print(f"  {name}: already deployed")
        return
    answer.raise_for_status()
    print(f"  {name}: caxton agent deploy {module} --name {name}")


def exchange(client: httpx.Client, name: str, content: Any) -> None:
    """Invokes one agent and prints what was asked and what came back."""
    answer = client.post(f"/api/v1/agents/{name}/invoke", json={"content": content})
    answer.raise_for_status()
    print(f"  caxton agent invoke {name} '{json.dumps(content)}'")
    print(f"    → {json.dumps(answer.json()['content'])}")


def main() -> int:
    """Runs the node until it is interrupted."""
    node = start_node()
    # The node is in the same process group: Ctrl-C reaches it too, and it ends in order by itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: node.terminate())
    with httpx.Client(base_url=URL, timeout=60.0) as client:
        wait_until_ready(node, client)
        print("\nDeploying the examples of app/examples:")
        for name in EXAMPLES:
            deploy(client, name)
        print("\nAn exchange with each:")
        for name, content in EXCHANGES:
            exchange(client, name, content)
    print(f"\nThe node stays up: {URL}/api/v1/docs · Ctrl-C ends it.", flush=True)
    return node.wait()


if __name__ == "__main__":
    sys.exit(main())

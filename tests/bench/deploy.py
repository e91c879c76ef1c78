"""From upload to serving: a module of about 150 KB."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.measure import Figure, Table
from support.examples import EXAMPLES, build_script
from support.node import Node, running_node

ROUNDS = 9
FUNCTIONS = 180
FUNCTION = """
__attribute__((noinline, used)) int f{n}(int a, int b) {{
    for (int i = 0; i < b; i++) a = (a * {odd} + b) ^ (a >> {shift}) ^ (int)((long long)a * b % {prime});
    return a > {n} ? f{before}(a - 1, b / 2) : a;
}}
"""


def source() -> str:
    """A reactor in C with enough code of its own to give a module of 150 KB; all of it is reachable."""
    functions = ["int f0(int a, int b) { return a + b; }"]
    for n in range(1, FUNCTIONS):
        functions.append(FUNCTION.format(n=n, odd=2 * n + 1, shift=n % 29 + 1, prime=7919 + 2 * n, before=n - 1))
    handler = f'CAXTON_HANDLER(message) {{ return caxton_replyf("%d", f{FUNCTIONS - 1}(message.length, 3)); }}'
    return "\n".join(['#include "caxton.h"', *functions, handler])


def module() -> bytes:
    """The module, built as the examples are."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.c").write_text(source())
        flags = [
            "-O2",
            "-mexec-model=reactor",
            f"-I{EXAMPLES / 'include'}",
            "-o",
            f"{folder}/a.wasm",
            f"{folder}/a.c",
        ]
        subprocess.run([*build_script().compiler(), *flags], check=True)
        return (Path(folder) / "a.wasm").read_bytes()


def back(node: Node, version: int) -> float:
    """Seconds of one rollback to a kept version, whose module is another."""
    started = time.perf_counter()
    answer = node.client.post("/api/v1/agents/a0/rollback", json={"version": version})
    assert answer.status_code == 200, answer.text
    taken = time.perf_counter() - started
    assert node.invoke("a0", None).status_code == 200
    return taken


def run() -> list[Table]:
    """Each round deploys a different module: an empty custom section makes it one."""
    built = module()
    seconds = []
    with running_node() as node:
        for index in range(ROUNDS):
            name = b"round%02d" % index
            different = built + bytes([0, len(name) + 1, len(name)]) + name
            started = time.perf_counter()
            config = json.dumps({"name": f"a{index}"}).encode()
            answer = node.client.post(
                "/api/v1/agents", files={"wasm": ("a.wasm", different), "config": (None, config)}
            )
            assert answer.status_code == 201, answer.text
            assert node.invoke(f"a{index}", None).status_code == 200
            seconds.append(time.perf_counter() - started)
        other = built + bytes([0, 6, 5]) + b"other"
        answer = node.client.put("/api/v1/agents/a0", files={"wasm": ("a.wasm", other), "config": (None, b"{}")})
        assert answer.is_success, answer.text
        node.settled()
        backs = [back(node, 1 + index % 2) for index in range(ROUNDS)]
    figures = [
        Figure("module", len(built) / 1000, "KB"),
        Figure("upload → compiled, started, first answer: median", statistics.median(seconds), "s", "≤ 0.5"),
        Figure("slowest", max(seconds), "s"),
        Figure("rollback, started and serving: median", statistics.median(backs), "s", "≤ 1"),
        Figure("slowest rollback", max(backs), "s"),
    ]
    return [Table("Deployment", figures)]

"""From upload to serving: a module of about 150 KB."""

from __future__ import annotations

import json
import statistics
import time

from bench.measure import Figure, Table
from support.examples import example
from support.node import running_node

ROUNDS = 9


def run() -> list[Table]:
    """The counter example of app/examples, made a different module in each round by a custom section."""
    module = example("counter").read_bytes()
    seconds = []
    with running_node() as node:
        for index in range(ROUNDS):
            name = b"round%02d" % index
            different = module + bytes([0, len(name) + 1, len(name)]) + name  # an empty custom section of that name
            started = time.perf_counter()
            files = {"wasm": ("a.wasm", different), "config": (None, json.dumps({"name": f"a{index}"}))}
            answer = node.client.post("/api/v1/agents", files=files)
            assert answer.status_code == 201, answer.text
            assert node.invoke(f"a{index}", None).status_code == 200
            seconds.append(time.perf_counter() - started)
    figures = [
        Figure("module", len(module) / 1000, "KB"),
        Figure("upload → compiled, started, first answer: median", statistics.median(seconds), "s", "≤ 0.5"),
        Figure("slowest", max(seconds), "s"),
    ]
    return [Table("Deployment", figures)]

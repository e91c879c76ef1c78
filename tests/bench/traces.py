"""What traces cost: HTTP invoke of an echo on a node without them, and on one that samples a tenth.

The collector is a process on the same machine, so its work is in the figure too. Same load on both sides, rounds
alternating.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import httpx

from bench.load import drive, require_wrk
from bench.measure import Figure, Table, alternate, paired_ratio
from support.collector import running_collector
from support.node import Node, running_node
from support.wat import ECHO

ROUNDS = 7
BODY = {"content": "x" * 1024}
SAMPLED = 0.1


def run() -> list[Table]:
    """Rates with and without, and their ratio."""
    require_wrk()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        collector = stack.enter_context(running_collector(directory))
        traces = {"enable_tracing": True, "trace_sample_rate": SAMPLED, "otlp_endpoint": collector.endpoint}
        plain = stack.enter_context(running_node())
        traced = stack.enter_context(running_node(observability=traces))
        for node in (plain, traced):
            node.deploy("echo", ECHO)
        without, with_them = alternate(ROUNDS, lambda: _rate(plain), lambda: _rate(traced))
        figures = [
            Figure("invocations without traces", max(without), "1/s"),
            Figure(f"invocations, {SAMPLED:.0%} sampled", max(with_them), "1/s"),
            Figure("with / without", paired_ratio(with_them, without), "ratio", "≥ 0.95"),
            Figure("spans that were dropped", _dropped(traced), "", "0"),
        ]
    return [Table("Traces: HTTP invoke, 64 connections", figures)]


def _rate(node: Node) -> float:
    return drive(f"http://127.0.0.1:{node.port}/api/v1/agents/echo/invoke", body=BODY).per_second


def _dropped(node: Node) -> float:
    text = httpx.get(f"{node.metrics_url}/metrics").text
    name = 'caxton_trace_spans_total{outcome="dropped"} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))

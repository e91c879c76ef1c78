"""What traces cost: HTTP invoke of an echo on a node without them, and on one that samples a tenth.

Two nodes with the same configuration differ by up to 5 % from each other for as long as they live (measured), so each
round starts a pair of its own, and which of the two is asked first changes. The collector is a process on the same
machine, which a node's would not be: it decodes what comes, counts it, and keeps nothing.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import httpx

from bench.load import Load, drive, require_wrk
from bench.measure import Figure, Table, paired_ratio
from support.collector import Collector, running_collector
from support.node import Node, running_node
from support.wat import ECHO

ROUNDS = 12
BODY = {"content": "x" * 1024}
SAMPLED = 0.1
SPANS_OF_AN_INVOKE = 3
"""The request, its `send`, its `process`: nothing of it goes to disk, so there is no `commit`."""


def run() -> list[Table]:
    """Rates with and without, and their ratio."""
    require_wrk()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        collector = stack.enter_context(running_collector(directory, keeps=False))
        rounds = [_round(collector, plain_first=bool(number % 2)) for number in range(ROUNDS)]
        without, with_them, requests, dropped = (list(column) for column in zip(*rounds, strict=True))
        expected = sum(requests) * SAMPLED * SPANS_OF_AN_INVOKE
        figures = [
            Figure("invocations without traces", max(without), "1/s"),
            Figure(f"invocations, {SAMPLED:.0%} sampled", max(with_them), "1/s"),
            Figure("with / without, median of the pairs", paired_ratio(with_them, without), "ratio", "≥ 0.95"),
            Figure("spans at the collector / expected", collector.count() / expected, "ratio", "1.0"),
            Figure("spans that were dropped", sum(dropped), "", "0"),
        ]
    return [Table("Traces: HTTP invoke, 64 connections", figures)]


def _round(collector: Collector, *, plain_first: bool) -> tuple[float, float, int, float]:
    """Rates without and with, the latter's requests, and spans that it dropped."""
    traces = {"enable_tracing": True, "trace_sample_rate": SAMPLED, "otlp_endpoint": collector.endpoint}
    with running_node() as plain, running_node(observability=traces) as traced:
        for node in (plain, traced):
            node.deploy("echo", ECHO)
        warm = [_drive(node, seconds=1) for node in (plain, traced)][1]
        if plain_first:
            without, with_them = _drive(plain), _drive(traced)
        else:
            with_them, without = _drive(traced), _drive(plain)
        requests = warm.requests + with_them.requests
        return without.per_second, with_them.per_second, requests, _dropped(traced)


def _drive(node: Node, seconds: int = 4) -> Load:
    return drive(f"http://127.0.0.1:{node.port}/api/v1/agents/echo/invoke", body=BODY, seconds=seconds)


def _dropped(node: Node) -> float:
    text = httpx.get(f"{node.metrics_url}/metrics").text
    name = 'caxton_trace_spans_total{outcome="dropped"} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))

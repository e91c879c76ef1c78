"""`engine = "pulley"`: interpreted code, and no memory that was written is ever executable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from caxton.protocol.agents import Profile
from support.executor_node import ExecutorNode
from support.worker_harness import Harness
from support.worker_modules import ECHO, SPIN


@pytest.fixture(scope="module")
def worker() -> Iterator[Harness]:
    with Harness(pulley=True) as harness:
        yield harness


def test_it_answers_waits_and_is_stopped(worker: Harness) -> None:
    echo, spin = worker.load(ECHO), worker.load(SPIN, limits={"execution_timeout_seconds": 0.3})
    assert worker.run(echo, {"n": 1}).status == "ok"
    stopped = worker.run(spin)
    assert stopped.code == "EXECUTION_TIMEOUT"
    assert worker.run(echo, {"n": 2}).status == "ok"


def test_fuel_is_counted_as_in_machine_code(worker: Harness) -> None:
    spin = worker.load(SPIN, limits={"fuel": 100_000}, profile=Profile.DETERMINISTIC)
    assert worker.run(spin).code == "FUEL_EXHAUSTED"


def executable(pid: int) -> list[str]:
    """Mappings that are executable and come from no file, or are writable besides."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        for line in maps:
            fields = line.split(maxsplit=5)
            backing = fields[5].strip() if len(fields) > 5 else ""
            of_a_file = backing.startswith("/") or backing in ("[vdso]", "[vsyscall]")
            if "x" in fields[1] and ("w" in fields[1] or not of_a_file):
                found.append(line)
    return found


def test_a_node_of_interpreted_code_has_no_executable_memory_of_its_own() -> None:
    with ExecutorNode('engine = "pulley"') as node:
        router = node.router()
        (one,) = router.hello(1)
        sha256 = router.digest(ECHO)
        one.load(1, sha256)
        one.execute(1, "hello")
        assert one.result().status == "ok"
        assert executable(one.pid) == []


def test_machine_code_needs_some_and_has_it() -> None:
    """The control of the test above: a native worker maps what it was given as code."""
    with ExecutorNode() as node:
        router = node.router()
        (one,) = router.hello(1)
        one.load(1, router.digest(ECHO))
        one.execute(1, "hello")
        assert one.result().status == "ok"
        assert executable(one.pid) != []

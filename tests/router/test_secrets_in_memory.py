"""A worker holds a secret no longer than its execution: its memory is read, as whoever took it over would."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from caxton.protocol.secrets import SecretSet
from caxton.selftest.wat import reactor
from support.desk_node import RouterNode, deploy, invoke

VALUE = b"found-in-memory-" + base64.b64encode(os.urandom(24))
LENGTH_OF_IT = reactor(
    "(call $answer (call $secret (i32.const 16) (i32.const 4) (i32.const 1024) (i32.const 200)))",
    extra='(data (i32.const 16) "mine")',
)
"""Has the secret written into its memory, and says only how long it is."""


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    key = base64.b64encode(os.urandom(32)).decode()
    with RouterNode(security={"secrets_key": key}) as started:
        with started.client() as client:
            client.call("secret.set", SecretSet("mine", VALUE))
        yield started


def workers(node: RouterNode) -> list[int]:
    assert node.executor is not None
    found, known = {node.executor.pid}, 0
    while len(found) != known:
        known = len(found)
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text()
            except OSError:
                continue
            if int(text.rsplit(")", 1)[1].split()[1]) in found:
                found.add(int(text.split()[0]))
    return sorted(found)


def times_in_memory(pid: int, value: bytes) -> int:
    """How often it is in what the process can read and write."""
    count = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match is None:
                continue
            first, last = int(match[1], 16), int(match[2], 16)
            for at in range(first, last, 1 << 24):
                try:
                    memory.seek(at)
                    count += memory.read(min(1 << 24, last - at)).count(value)
                except (OSError, OverflowError):
                    break
    return count


def held(node: RouterNode) -> int:
    try:
        return sum(times_in_memory(pid, VALUE) for pid in workers(node))
    except PermissionError:
        pytest.skip("the memory of other processes cannot be read here")


def test_after_the_execution_nothing_in_the_executor_holds_the_secret(node: RouterNode) -> None:
    with node.client() as client:
        deploy(client, "brief", LENGTH_OF_IT, instance="per_message", grants={"secrets": ["mine"]})
        for _ in range(20):
            assert invoke(client, "brief")["content"] == len(VALUE)
        assert held(node) == 0


def test_what_an_instance_keeps_is_in_its_own_memory_once(node: RouterNode) -> None:
    """So the search finds what is there."""
    with node.client() as client:
        deploy(client, "warm", LENGTH_OF_IT, grants={"secrets": ["mine"]})
        assert invoke(client, "warm")["content"] == len(VALUE)
        assert held(node) == 1

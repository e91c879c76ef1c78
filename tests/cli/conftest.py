from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.served_node import ECHO, TRAP, ServedNode


@pytest.fixture(scope="module")
def node() -> Iterator[ServedNode]:
    served = ServedNode(CAXTON_MESSAGING__RETRY_DELAY="0s", CAXTON_MESSAGING__MAX_DELIVERIES="1")
    try:
        served.start()
        served.write("echo.wat", ECHO)
        served.write("trap.wat", TRAP)
        yield served
    finally:
        served.close()


@pytest.fixture(scope="module")
def echo(node: ServedNode) -> str:
    assert node.cli("agent", "deploy", str(node.directory / "echo.wat")).returncode == 0
    return "echo"

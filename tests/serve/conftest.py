from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.served_node import ECHO, ServedNode


@pytest.fixture
def make_node() -> Iterator[Callable[..., ServedNode]]:
    made: list[ServedNode] = []

    def make(**variables: str) -> ServedNode:
        node = ServedNode(**variables)
        node.write("echo.wat", ECHO)
        made.append(node)
        return node

    yield make
    for node in made:
        node.close()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from caxton.store import Store


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "local.db"


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    opened = Store.open(database)
    yield opened
    opened.close()
    again = Store.open(database)
    assert again.reader.recount() == []
    again.close()

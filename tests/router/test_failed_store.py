"""Between a commit that failed and the end of the router: callers are told to come again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.router.commits import Commits


def test_a_change_after_the_store_has_failed_is_to_be_tried_again() -> None:
    async def asked() -> CaxtonError:
        writer: Any = SimpleNamespace(deliver=None)
        commits = Commits(writer, lambda _: None)
        commits.failed = OSError("database or disk is full")
        with pytest.raises(CaxtonError) as refused:
            _ = commits.changes
        return refused.value

    error = asyncio.run(asked())
    assert error.code is Code.NOT_READY
    assert error.details["retry_after_seconds"] > 0

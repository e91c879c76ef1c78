"""Modules from node to node: in parts, from whoever has them, and never anything else than was asked for."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.peers import Module, ModulePart
from caxton.router.cluster.modules import PART_BYTES, Fetching, give
from caxton.router.connection import Sink
from caxton.router.modules import ModuleFiles

BYTES = os.urandom(3 * PART_BYTES + 17)
SHA = hashlib.sha256(BYTES).hexdigest()


class Holder:
    """A node with these bytes, of which it gives `parts` before its link breaks."""

    def __init__(self, directory: Path, content: bytes, parts: int = 1_000) -> None:
        directory.mkdir()
        self.files = ModuleFiles(directory)
        (directory / SHA).write_bytes(content)
        self.parts = parts
        self.asked: list[int] = []
        self.gave = 0

    async def stream(self, args: Module) -> AsyncGenerator[bytes, None]:
        self.asked.append(args.offset)
        items: list[bytes] = []

        class Kept:
            async def put(self, item: Any) -> None:
                items.append(msgspec.json.encode(item))

        await give(self.files, args, cast("Sink", Kept()))
        for item in items:
            if self.gave == self.parts:
                raise CaxtonError(Code.NOT_READY, "the link broke")
            self.gave += 1
            yield item


class Links:
    def __init__(self, **holders: Holder) -> None:
        self.holders = holders

    async def call(self, node: str, op: str, args: msgspec.Struct, *, timeout: float = 0.0) -> bytes:
        raise AssertionError("modules are streamed")

    def stream(self, node: str, op: str, args: msgspec.Struct) -> AsyncGenerator[bytes, None]:
        assert op == "peer.module"
        assert isinstance(args, Module)
        if node not in self.holders:
            raise CaxtonError(Code.NOT_READY, f"{node} cannot be reached", node=node)
        return self.holders[node].stream(args)


def run(test: Coroutine[Any, Any, Any]) -> None:
    asyncio.run(asyncio.wait_for(test, 30))


def test_the_next_holder_goes_on_where_one_broke_off(tmp_path: Path) -> None:
    one, two = Holder(tmp_path / "one", BYTES, parts=2), Holder(tmp_path / "two", BYTES)
    fetching = Fetching(ModuleFiles(tmp_path / "here"), Links(one=one, two=two))
    run(fetching.hold(SHA, len(BYTES), ["none", "one", "two"]))
    assert (tmp_path / "here" / SHA).read_bytes() == BYTES
    assert (one.asked, two.asked) == ([0], [2 * PART_BYTES])
    assert (fetching.got, fetching.got_bytes, fetching.spoilt) == (1, len(BYTES), 0)


def test_what_is_something_else_is_not_kept(tmp_path: Path) -> None:
    wrong = bytearray(BYTES)
    wrong[5] ^= 1
    bad, good = Holder(tmp_path / "bad", bytes(wrong)), Holder(tmp_path / "good", BYTES)
    fetching = Fetching(ModuleFiles(tmp_path / "here"), Links(bad=bad, good=good))
    run(fetching.hold(SHA, len(BYTES), ["bad", "good"]))
    assert (tmp_path / "here" / SHA).read_bytes() == BYTES
    assert good.asked == [0]
    assert fetching.spoilt == 1


@pytest.mark.parametrize("content", [BYTES + b"more", BYTES[:-1], b""])
def test_who_has_no_such_module_gives_none(tmp_path: Path, content: bytes) -> None:
    fetching = Fetching(ModuleFiles(tmp_path / "here"), Links(one=Holder(tmp_path / "one", content)))
    with pytest.raises(CaxtonError) as refused:
        run(fetching.hold(SHA, len(BYTES), ["one", "gone"]))
    assert refused.value.code is Code.NOT_READY
    assert list((tmp_path / "here").iterdir()) == []


def test_a_module_that_is_here_is_not_asked_for_and_many_ask_once(tmp_path: Path) -> None:
    holder = Holder(tmp_path / "one", BYTES)
    fetching = Fetching(ModuleFiles(tmp_path / "here"), Links(one=holder))

    async def test() -> None:
        await asyncio.gather(*(fetching.hold(SHA, len(BYTES), ["one"]) for _ in range(5)))
        await fetching.hold(SHA, len(BYTES), ["one"])

    run(test())
    assert holder.asked == [0]


def test_a_name_that_is_no_digest_finds_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "modules").mkdir()
    for name in ("../secret", "/etc/passwd", "\0", ""):
        with pytest.raises(CaxtonError) as refused:
            run(give(ModuleFiles(tmp_path / "modules"), Module(name), cast("Sink", None)))
        assert refused.value.code is Code.NOT_FOUND


def test_parts_say_how_large_the_whole_is() -> None:
    assert msgspec.json.decode(msgspec.json.encode(ModulePart(3, b"abc")), type=ModulePart).data == b"abc"

"""Module bytes from node to node: given out in parts, and got from whoever has them.

Owns the transfer, and that what is kept is what its SHA-256 says, whoever sent it. Must never compile.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.operations import Nothing
from caxton.protocol.peers import Module, ModulePart
from caxton.router.cluster.sight import Links
from caxton.router.connection import Sink
from caxton.router.modules import ModuleFiles

PART_BYTES: Final = 256 * 1024
SILENCE_SECONDS: Final = 10.0
"""Without any byte, the next holder is asked."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
log = logging.getLogger(__name__)
_decode: Final = msgspec.json.Decoder(ModulePart).decode


async def give(files: ModuleFiles, args: Module, sink: Sink) -> Nothing:
    """The module from `args.offset` on; `NOT_FOUND` when it is not here."""
    try:
        if not _SHA256.fullmatch(args.sha256):
            raise FileNotFoundError
        file = await asyncio.to_thread(os.open, files.path(args.sha256), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CaxtonError(Code.NOT_FOUND, f"no module {args.sha256[:64]!r} is on this node") from None
    try:
        size, offset = os.fstat(file).st_size, max(0, args.offset)
        while offset < size:
            data = await asyncio.to_thread(os.pread, file, PART_BYTES, offset)
            if not data:
                break
            await sink.put(ModulePart(size, data))
            offset += len(data)
    finally:
        os.close(file)
    return Nothing()


class Fetching:
    """Gets modules. `got`: how many, `got_bytes`: what came for them."""

    def __init__(self, files: ModuleFiles, links: Links) -> None:
        self._files, self._links = files, links
        self._under_way: dict[str, asyncio.Lock] = {}
        self.got = self.got_bytes = self.spoilt = 0

    async def hold(self, sha256: str, size: int, holders: Sequence[str]) -> None:
        """The module's file is there and held (`ModuleFiles.release`); `NOT_READY` when no holder gave it."""
        lock = self._under_way.setdefault(sha256, asyncio.Lock())
        try:
            async with lock:
                if self._files.path(sha256).is_file():
                    self._files.hold(sha256)
                    return
                module = await self._from_any(sha256, size, holders)
                await self._files.put(module)
        finally:
            self._under_way.pop(sha256, None)

    async def _from_any(self, sha256: str, size: int, holders: Sequence[str]) -> bytes:
        """Each holder goes on where the one before broke off; what is wrong in the end is asked for anew."""
        module = bytearray()
        for holder in holders:
            try:
                await self._append(module, sha256, size, holder)
            except (CaxtonError, msgspec.MsgspecError, TimeoutError) as error:
                log.info("module %s from %s: %s", sha256[:12], holder, error or "silence")
            if len(module) == size:
                if await asyncio.to_thread(_is, module, sha256):
                    self.got += 1
                    return bytes(module)
                log.error("module %s: what %s sent is something else", sha256[:12], holder)
                self.spoilt += 1
                module.clear()
        raise CaxtonError(
            Code.NOT_READY,
            f"no node gave the module {sha256[:12]}; asked: {', '.join(holders) or 'nobody'}",
            sha256=sha256,
            retry_after_seconds=5,
        )

    async def _append(self, module: bytearray, sha256: str, size: int, holder: str) -> None:
        async with aclosing(self._links.stream(holder, "peer.module", Module(sha256, len(module)))) as parts:
            while len(module) < size:
                async with asyncio.timeout(SILENCE_SECONDS):
                    part = await anext(parts, None)
                if part is None:
                    return
                data = _decode(part).data
                self.got_bytes += len(data)
                module += data
        if len(module) > size:
            module.clear()
            raise CaxtonError(Code.NOT_READY, f"{holder} sent more than the {size} bytes that the module has")


def _is(module: bytearray, sha256: str) -> bool:
    return hashlib.sha256(module).hexdigest() == sha256

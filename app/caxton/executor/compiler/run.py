"""Starts one compiler child, watches it, and says how it ended.

Owns the supervisor's half of a compilation. Must never read the module or trust the child: its answer is
decoded as data and its artifact is taken only with an answer and an exit of 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final

import msgspec

from caxton.executor import processes
from caxton.executor.compiler.model import Answer, Order
from caxton.protocol.agents import ModuleInfo, Profile
from caxton.protocol.errors import CaxtonError, Code

PROGRESS_SECONDS: Final = 0.5
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
MAX_DIAGNOSTIC_BYTES: Final = 2_000
WALL_SECONDS: Final = 1_800.0
"""A child that neither computes nor ends; ten times the CPU limit, since cores may be shared."""


class Pipe:
    """Collects what a child writes into a pipe, at most `limit` bytes; the rest is read and dropped."""

    def __init__(self, limit: int) -> None:
        self.reader, self.writer = os.pipe()
        self._limit = limit
        self._data = bytearray()
        os.set_blocking(self.reader, False)
        asyncio.get_running_loop().add_reader(self.reader, self._read)

    def _read(self) -> None:
        try:
            part = os.read(self.reader, 65536)
        except BlockingIOError:
            return
        if not part:
            asyncio.get_running_loop().remove_reader(self.reader)
        self._data += part[: self._limit - len(self._data)]

    def release_writer(self) -> None:
        """Closes our copy of the end that the child has inherited."""
        os.close(self.writer)

    def finish(self) -> bytes:
        """Everything that was written; call it when the child has ended."""
        asyncio.get_running_loop().remove_reader(self.reader)
        try:
            while part := os.read(self.reader, 65536):
                self._data += part[: self._limit - len(self._data)]
        except BlockingIOError:
            pass
        os.close(self.reader)
        return bytes(self._data)


async def compile_module(order: Order, progress: Callable[[float], None]) -> ModuleInfo:
    """Compiles; the artifact is then in `order.artifact_fd`. `order.answer_fd` is filled in here.

    `progress` gets the CPU seconds used so far every half second. Raises what the child refused
    (`INVALID_WASM`), or `COMPILE_LIMIT` naming what was exceeded. Cancelling kills the child.
    """
    answer, diagnostic = Pipe(MAX_ANSWER_BYTES), Pipe(MAX_DIAGNOSTIC_BYTES)
    order = msgspec.structs.replace(order, answer_fd=answer.writer)
    descriptors = (order.module_fd, order.artifact_fd, order.answer_fd)
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    pid = processes.start(
        "caxton.executor.compiler", [msgspec.json.encode(order).decode()], descriptors, null, diagnostic.writer
    )
    os.close(null)
    answer.release_writer()
    diagnostic.release_writer()
    timed_out = False
    ended = asyncio.ensure_future(processes.wait(pid))
    try:
        timed_out = not await _watch(pid, ended, progress)
    finally:
        if not ended.done():
            processes.kill(pid)
        outcome = await asyncio.shield(ended)
        # The kernel's peak of a spawned child begins with its parent's; its own is below its address space.
        outcome = outcome._replace(peak_bytes=min(outcome.peak_bytes, order.address_space_bytes))
        said, complaint = answer.finish(), diagnostic.finish()
    if timed_out:
        raise _limit("wall clock", WALL_SECONDS, outcome)
    return _result(order, outcome, said, complaint)


async def _watch(pid: int, ended: asyncio.Future[processes.Ended], progress: Callable[[float], None]) -> bool:
    """Waits for the end with progress; False when the wall clock ran out."""
    deadline = asyncio.get_running_loop().time() + WALL_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        done, _ = await asyncio.wait({ended}, timeout=PROGRESS_SECONDS)
        if done:
            return True
        progress(processes.cpu_seconds(pid))
    return False


def _result(order: Order, outcome: processes.Ended, said: bytes, complaint: bytes) -> ModuleInfo:
    if outcome.status == 0 and said:
        try:
            answer = msgspec.json.decode(said, type=Answer)
        except msgspec.MsgspecError:
            answer = Answer()
        if answer.error:
            raise CaxtonError.from_body(answer.error)
        if answer.info and answer.info.sha256 == order.sha256:
            return answer.info
    spent = outcome.cpu_seconds >= order.cpu_seconds * 0.9
    if outcome.status == -signal.SIGXCPU or (outcome.status == -signal.SIGKILL and spent):
        raise _limit("cpu", order.cpu_seconds, outcome)
    if outcome.status == -signal.SIGXFSZ:
        raise _limit("artifact size", order.artifact_bytes, outcome)
    out_of_memory = (
        b"memory allocation of" in complaint or b"MemoryError" in complaint or b"out of memory" in complaint
    )
    if outcome.status == -signal.SIGKILL or out_of_memory:  # a SIGKILL that is not ours is the OOM killer's
        raise _limit("memory", order.address_space_bytes, outcome)
    raise CaxtonError(
        Code.COMPILE_LIMIT,
        f"the compiler broke down on this module (exit {outcome.status})",
        exceeded="compiler",
        status=outcome.status,
        detail=complaint.decode(errors="replace"),
    )


def _limit(what: str, limit: float, outcome: processes.Ended) -> CaxtonError:
    return CaxtonError(
        Code.COMPILE_LIMIT,
        f"compilation exceeded its {what} limit",
        exceeded=what,
        limit=limit,
        cpu_seconds=round(outcome.cpu_seconds, 2),
        peak_memory_bytes=outcome.peak_bytes,
    )


def order_for(
    sha256: str,
    profile: Profile,
    stack_bytes: int,
    features: list[str],
    module_fd: int,
    *,
    snapshot: bool = False,
    pulley: bool = False,
) -> Order:
    """An order with a fresh memfd for the artifact, which is the caller's to close."""
    artifact = os.memfd_create("caxton-artifact", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    return Order(
        sha256, profile, stack_bytes, features, module_fd, artifact, answer_fd=-1, snapshot=snapshot, pulley=pulley
    )

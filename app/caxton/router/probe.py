"""One real execution of a module of our own: proof that the executor works, whatever the node is allowed to do.

Owns that module and the way around mailboxes, scheduler and ledger. Must never leave a trace: no message, no row,
no metric.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from caxton.config import Config
from caxton.protocol.agents import AgentConfig, EffectiveLimits, Instance, ModuleInfo, Profile, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import AgentSpec, End, Result
from caxton.protocol.ids import new_id
from caxton.protocol.messages import Message, Performative
from caxton.protocol.views import ProbeView
from caxton.router.agents import Agent
from caxton.router.boxes import Box, Boxes, Worker
from caxton.router.dispatch import Dispatch
from caxton.router.executor import Executor

MODULE: Final = base64.b64decode(
    "AGFzbQEAAAABDAJgAn9/AX9gAX8BfwIQAQZjYXh0b24FcmVwbHkAAAMDAgEABQQBAQICByoDBm1lbW9yeQIADGNheHRvbl9hbGxvYwABDmhhbmRs"
    "ZV9tZXNzYWdlAAIKEAIFAEGACAsIACAAIAEQAAsAHgRuYW1lAQgBAAVyZXBseQINAQICAAJhdAEEc2l6ZQ=="
)
"""(module
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 2 2)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "handle_message") (param $at i32) (param $size i32) (result i32)
    (call $reply (local.get $at) (local.get $size))))"""
NAME: Final = "caxton-probe"
FILE: Final = "probe.wasm"
PROBE_SECONDS: Final = 20.0
_LIMITS: Final = EffectiveLimits(memory_bytes=1 << 20, execution_timeout_seconds=5.0)
_POLL_SECONDS: Final = 0.02


class Probe:
    """Asked by `run`; several at once are no harm."""

    def __init__(
        self, boxes: Boxes, executor: Executor, dispatch: Dispatch, spec_of: Callable[[Agent, Config], AgentSpec]
    ) -> None:
        self._boxes = boxes
        self._executor = executor
        self._dispatch = dispatch
        self._spec_of = spec_of
        self._sha256 = hashlib.sha256(MODULE).hexdigest()

    async def run(self) -> ProbeView:
        """How long it took. `NOT_READY`: no worker, or none in time; `AGENT_FAILED`: it ran, and not as it must."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                module = await self._prepared()
                prepared = time.monotonic()
                result = await self._execute(module)
        except TimeoutError:
            raise CaxtonError(
                Code.NOT_READY, f"the executor did not run the probe within {PROBE_SECONDS:g} s"
            ) from None
        _require_echo(result)
        return ProbeView(
            duration_seconds=time.monotonic() - began,
            prepare_seconds=prepared - began,
            execution_seconds=result.usage.duration_seconds,
        )

    async def _prepared(self) -> ModuleInfo:
        file = self._boxes.config.paths.run / FILE
        await asyncio.to_thread(_write, file)
        return await self._executor.prepare(self._sha256, Profile.STANDARD, file, lambda _: None)

    async def _execute(self, module: ModuleInfo) -> Result:
        agent = Agent(
            name=NAME,
            agent_id=new_id(),
            version=1,
            config=AgentConfig(NAME),
            module=module,
            limits=_LIMITS,
            shape=Shape.REACTOR,
            instance=Instance.PER_MESSAGE,
            max_concurrency=1,
            deployed_at=time.time(),
        )
        box = Box(agent, self._spec_of(agent, self._boxes.config), self._boxes.new_handle())
        worker = await self._worker(box)
        try:
            return await self._dispatch.run_apart(box, _message(), worker)
        finally:
            worker.loaded.discard(box.handle)
            if worker.link is not None:
                worker.link.send(End(box.handle, orderly=False, forget=True))

    async def _worker(self, box: Box) -> Worker:
        while (worker := self._executor.place(box)) is None:
            await asyncio.sleep(_POLL_SECONDS)
        return worker


def _write(file: Path) -> None:
    """Anew each time: the run directory may have been emptied."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    file.write_bytes(MODULE)


def _message() -> Message:
    return Message(
        message_id=new_id(),
        performative=Performative.REQUEST.value,
        sender="client:probe",
        receiver=NAME,
        content=b'"probe"',
        conversation_id=new_id(),
    )


def _require_echo(result: Result) -> None:
    """The module answers with the whole message that it got."""
    replies = [sent.message.content for sent in result.sent if sent.is_reply]
    if result.status != "ok" or not any(b'"probe"' in content for content in replies):
        raise CaxtonError(
            Code.AGENT_FAILED,
            f"the probe ended as {result.status}: {result.detail or result.code or 'without its reply'}",
            status=result.status,
        )

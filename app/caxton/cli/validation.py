"""The inspection of a deployment, without a node.

Owns the call of the compile jail. Must never load a module into this process: the jail's child reads it.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from caxton.cli.render import Progress, progress
from caxton.cli.state import State
from caxton.config import load
from caxton.protocol.agents import AgentConfig, ModuleInfo, Profile
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.snapshots import STATE

EXPECTED_SECONDS = 10.0
"""The bar is full after that much CPU time; nobody knows how long a compilation takes."""


@dataclass(frozen=True)
class _Wanted:
    profile: Profile
    memory_bytes: int
    snapshot: bool


def inspect(state: State, module: bytes, config: dict[str, Any], node_file: str | None) -> ModuleInfo:
    """What a deployment would find in `module`; refusals: `INVALID_WASM`, `COMPILE_LIMIT`, `INVALID_REQUEST`."""
    node = load(Path(node_file) if node_file else state.config_file, os.environ).config
    wanted = _wanted(config, node.runtime.wasm_memory_limit)
    with progress(state, "inspecting") as show:
        found = asyncio.run(_compile(module, wanted, node.runtime.wasm_stack_limit, node.runtime.wasm_features, show))
    if found.memory_min_bytes > wanted.memory_bytes:
        raise CaxtonError(
            Code.INVALID_WASM,
            "the module starts with more memory than it may have",
            found=found.memory_min_bytes,
            limit=wanted.memory_bytes,
        )
    return found


def _wanted(config: dict[str, Any], default_memory: int) -> _Wanted:
    try:
        agent = msgspec.convert({"name": "validated", **config}, AgentConfig)
    except msgspec.ValidationError as error:
        raise CaxtonError(Code.INVALID_REQUEST, f"the agent's configuration: {error}") from None
    return _Wanted(agent.profile, agent.limits.memory_bytes or default_memory, agent.state == STATE)


async def _compile(
    module: bytes, wanted: _Wanted, stack_bytes: int, features: tuple[str, ...], show: Progress
) -> ModuleInfo:
    from caxton.executor.compiler.run import compile_module, order_for

    module_fd = os.memfd_create("caxton-module", os.MFD_CLOEXEC)
    try:
        with open(module_fd, "wb", closefd=False) as file:
            file.write(module)
        digest = sha256(module).hexdigest()
        order = order_for(digest, wanted.profile, stack_bytes, list(features), module_fd, snapshot=wanted.snapshot)
        try:
            return await compile_module(order, lambda used: show(min(used / EXPECTED_SECONDS, 0.99)))
        finally:
            os.close(order.artifact_fd)
    finally:
        os.close(module_fd)

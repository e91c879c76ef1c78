"""How far a recording is believed: its limits are those of another machine, or of a stranger.

Owns that nothing which is replayed may use more than an agent of this machine could. Must never run anything.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caxton.config import Config
from caxton.protocol.agents import MAX_INT, EffectiveLimits
from caxton.protocol.execution import AgentSpec
from caxton.router.admission import CEILINGS

_OWN: Final = EffectiveLimits()
_REMARK: Final = "its {name} is another than this machine's ({value:g}), which counts; --file takes another node's"


def bounded(spec: AgentSpec, config: Config) -> tuple[AgentSpec, list[str]]:
    """The same with no limit above this machine's, and which were."""
    runtime, limits = config.runtime, spec.limits
    most: dict[str, float] = {
        **CEILINGS,
        "memory_bytes": runtime.wasm_memory_limit,
        "execution_timeout_seconds": runtime.execution_timeout,
        "cpu_time_seconds": runtime.execution_timeout,
        "temp_storage_bytes": runtime.temp_storage_limit,
        "key_bytes": _OWN.key_bytes,
        "value_bytes": _OWN.value_bytes,
        "fuel": MAX_INT,  # time bounds it
    }
    lowered = {name: most[name] for name in most if not _fits(getattr(limits, name), most[name])}
    if limits.stack_bytes != runtime.wasm_stack_limit:  # the engine's, not the agent's
        lowered["stack_bytes"] = runtime.wasm_stack_limit
    remarks = [_REMARK.format(name=name, value=value) for name, value in lowered.items()]
    fit = msgspec.structs.replace(
        spec,
        limits=msgspec.structs.replace(limits, **lowered),
        max_message_bytes=min(max(spec.max_message_bytes, 0), config.messaging.max_message_size),
        startup_timeout_seconds=runtime.agent_startup_timeout,
        shutdown_timeout_seconds=runtime.agent_shutdown_timeout,
    )
    return fit, remarks


def _fits(found: float | None, most: float) -> bool:
    return found is None or 0 <= found <= most

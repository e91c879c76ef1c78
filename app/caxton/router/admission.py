"""What may be deployed here: a deployment's configuration against the node's.

Owns the checks of spec/abi.md ("Limits", "Grants") and the limits in force. Must never look at a module's
bytes: the compile jail does, and hands over a `ModuleInfo`.
"""

from __future__ import annotations

import os
from typing import Final, TypeVar

import msgspec

from caxton.cluster.placement import ALL, stateful
from caxton.config import Config
from caxton.protocol.access import namespace_of
from caxton.protocol.agents import (
    AgentConfig,
    EffectiveLimits,
    Grants,
    Instance,
    Limits,
    ModuleInfo,
    Profile,
    Shape,
)
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.names import is_agent_name, require_agent_name
from caxton.protocol.snapshots import STATE
from caxton.router.egress import check_grants
from caxton.router.snapshots.rules import bounded, check_snapshots
from caxton.router.timing.cron import check_schedules

_T = TypeVar("_T")

MAX_MODULE_BYTES: Final = 100_000_000
MAX_REPLICAS: Final = 1_000
DEFAULT_CONCURRENCY: Final = 4
MAX_ENV_BYTES: Final = 128 * 1024
CEILINGS: Final[dict[str, float]] = {
    "table_elements": 10_000_000,
    "output_bytes": 64_000_000,
    "log_bytes": 1_000_000,
    "messages_per_execution": 10_000,
    "host_calls_per_execution": 10_000_000,
    "state_bytes": 1_000_000_000,
}
"""Largest value of each limit that an agent may ask for; the others are bounded by `[runtime]`."""


def check_config(config: AgentConfig, limits: Config) -> EffectiveLimits:
    """The limits in force for `config`, or `INVALID_REQUEST` with the field's path and what would be right."""
    require_agent_name(config.name)
    if config.profile is Profile.THREADS and "threads" not in limits.runtime.wasm_features:
        raise _invalid("profile", "this node has no threads ([runtime] wasm_features)", "threads", "standard")
    _check_replicas(config, in_cluster=limits.coordination.cluster_enabled)
    _check_text(config)
    _check_capabilities(config.capabilities)
    _check_instance(config, config.shape)
    _check_dirs(config.grants, limits.runtime.shareable_dirs)
    check_snapshots(config)
    check_grants(config.grants.http)
    _check_secrets(config)
    _check_record(config)
    check_schedules(config.schedules or [], limits.messaging.max_message_size)
    return limits_of(config, limits)


def _check_record(config: AgentConfig) -> None:
    if config.record is True and _unrecordable(config):
        raise _invalid("record", "files of the host and threads cannot be recorded", True, "no dirs, no threads")


def _unrecordable(config: AgentConfig) -> bool:
    return bool(config.grants.dirs) or config.profile is Profile.THREADS


def records(config: AgentConfig) -> bool:
    """Whether its executions are recorded: as it says, else in profile `deterministic`."""
    if config.record is msgspec.UNSET:
        return config.profile is Profile.DETERMINISTIC and not _unrecordable(config)
    return bool(config.record)


def _check_replicas(config: AgentConfig, *, in_cluster: bool) -> None:
    """Whether the agent may have them shows only with its module: see `check_module`."""
    if config.replicas != 1 and not in_cluster:
        raise _invalid("replicas", "this node is not part of a cluster", config.replicas, 1)
    number = isinstance(config.replicas, int)
    if config.replicas != ALL and not (number and 1 <= int(config.replicas) <= MAX_REPLICAS):
        raise _invalid("replicas", "how many nodes run it", config.replicas, f"1 to {MAX_REPLICAS}, or {ALL!r}")
    if config.node is not None and config.replicas != 1:
        raise _invalid("replicas", "an agent that is pinned to a node runs there only", config.replicas, 1)


def _check_secrets(config: AgentConfig) -> None:
    """Secrets are granted by their whole names: an agent of a namespace gets its namespace's, and no snapshots."""
    team = namespace_of(config.name)
    for name in config.grants.secrets:
        if not is_agent_name(name):
            raise _invalid("grants.secrets", "no name of a secret", name[:80], "name or team/name, without a pattern")
        if team is not None and namespace_of(name) != team:
            raise _invalid("grants.secrets", "a secret of another namespace", name, f"{team}/…")
    if config.grants.secrets and config.state == STATE:
        raise _invalid("grants.secrets", "a snapshot would keep them in clear on the disk", STATE, 'state = "memory"')


def check_module_size(size: int) -> None:
    """`PAYLOAD_TOO_LARGE` over 100 MB, `INVALID_WASM` for nothing at all."""
    if size > MAX_MODULE_BYTES:
        raise CaxtonError(
            Code.PAYLOAD_TOO_LARGE,
            f"the module has {size} bytes; at most {MAX_MODULE_BYTES} are accepted",
            path="wasm",
            found_bytes=size,
            limit_bytes=MAX_MODULE_BYTES,
        )
    if size == 0:
        raise CaxtonError(Code.INVALID_WASM, "the module is empty", path="wasm", found_bytes=0)


def check_module(config: AgentConfig, limits: EffectiveLimits, module: ModuleInfo) -> None:
    """What only the module shows: its shape against the configured one, its memory against the limit."""
    if config.shape is not None and config.shape is not module.shape:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"shape: configured {config.shape.value}, the module's exports make it a {module.shape.value}",
            path="shape",
            found=module.shape.value,
            expected=config.shape.value,
        )
    _check_instance(config, module.shape)
    if config.replicas != 1 and stateful(config, module):
        raise _invalid(
            "replicas",
            "an agent that keeps something from one message to the next has one home (persistent instance, snapshot, "
            "keys, timers, schedules)",
            config.replicas,
            1,
        )
    if module.memory_min_bytes > limits.memory_bytes:
        raise CaxtonError(
            Code.INVALID_WASM,
            f"the module starts with {module.memory_min_bytes} bytes of memory; its limit is {limits.memory_bytes}",
            path="limits.memory_bytes",
            found_bytes=module.memory_min_bytes,
            limit_bytes=limits.memory_bytes,
        )


def instance_of(config: AgentConfig, shape: Shape) -> Instance:
    """How long instances live: as configured, else persistent for reactors and per message for commands."""
    if shape is Shape.COMMAND:
        return Instance.PER_MESSAGE
    return config.instance or Instance.PERSISTENT


def limits_of(config: AgentConfig, limits: Config) -> EffectiveLimits:
    """The limits in force for a deployment; see `effective_limits`."""
    return effective_limits(bounded(config, limits.runtime.wasm_memory_limit), config.profile, limits)


def concurrency_of(config: AgentConfig, instance: Instance) -> int:
    """How many executions of the agent may be in flight at once."""
    if instance is Instance.PERSISTENT:
        return 1
    return config.max_concurrency or DEFAULT_CONCURRENCY


def effective_limits(asked: Limits, profile: Profile, config: Config) -> EffectiveLimits:
    """Every limit with its value: asked for, else the node's; over the node's maximum is `INVALID_REQUEST`."""
    runtime = config.runtime
    base = EffectiveLimits(
        memory_bytes=runtime.wasm_memory_limit,
        stack_bytes=runtime.wasm_stack_limit,
        execution_timeout_seconds=runtime.execution_timeout,
        temp_storage_bytes=min(EffectiveLimits().temp_storage_bytes, runtime.temp_storage_limit),
    )
    if asked.stack_bytes not in (None, runtime.wasm_stack_limit):
        raise _invalid("limits.stack_bytes", "the stack's size is the node's", asked.stack_bytes, base.stack_bytes)
    if asked.fuel is not None and profile is not Profile.DETERMINISTIC:
        raise _invalid("limits.fuel", "fuel needs the profile deterministic", profile.value, "deterministic")
    _check_maximum("memory_bytes", asked.memory_bytes, runtime.wasm_memory_limit)
    _check_maximum("execution_timeout_seconds", asked.execution_timeout_seconds, runtime.execution_timeout)
    _check_maximum("cpu_time_seconds", asked.cpu_time_seconds, runtime.execution_timeout)
    _check_maximum("temp_storage_bytes", asked.temp_storage_bytes, runtime.temp_storage_limit)
    for name, ceiling in CEILINGS.items():
        _check_maximum(name, getattr(asked, name), ceiling)
    return _overlay(base, asked)


def _pick(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _overlay(base: EffectiveLimits, asked: Limits) -> EffectiveLimits:
    return EffectiveLimits(
        memory_bytes=_pick(asked.memory_bytes, base.memory_bytes),
        stack_bytes=base.stack_bytes,
        execution_timeout_seconds=_pick(asked.execution_timeout_seconds, base.execution_timeout_seconds),
        cpu_time_seconds=asked.cpu_time_seconds,
        fuel=asked.fuel,
        table_elements=_pick(asked.table_elements, base.table_elements),
        output_bytes=_pick(asked.output_bytes, base.output_bytes),
        log_bytes=_pick(asked.log_bytes, base.log_bytes),
        messages_per_execution=_pick(asked.messages_per_execution, base.messages_per_execution),
        host_calls_per_execution=_pick(asked.host_calls_per_execution, base.host_calls_per_execution),
        state_bytes=_pick(asked.state_bytes, base.state_bytes),
        key_bytes=base.key_bytes,
        value_bytes=base.value_bytes,
        temp_storage_bytes=_pick(asked.temp_storage_bytes, base.temp_storage_bytes),
    )


def _check_maximum(name: str, found: float | None, maximum: float) -> None:
    if found is not None and found > maximum:
        raise _invalid(f"limits.{name}", "over the node's maximum", found, maximum)


def _check_instance(config: AgentConfig, shape: Shape | None) -> None:
    if shape is Shape.COMMAND and config.instance is Instance.PERSISTENT:
        raise _invalid("instance", "a command has a fresh instance for every message", "persistent", "per_message")
    persistent = shape is Shape.REACTOR and config.instance is not Instance.PER_MESSAGE
    persistent = persistent or config.instance is Instance.PERSISTENT
    if persistent and (config.max_concurrency or 1) > 1:
        raise _invalid(
            "max_concurrency", "a persistent instance handles one message at a time", config.max_concurrency, 1
        )


def _check_text(config: AgentConfig) -> None:
    for name, value in config.env.items():
        if not name or "=" in name or "\0" in name + value:
            raise _invalid(f"env.{name[:64]}", "a name without '=' and no NUL anywhere", name[:64], "NAME")
    if any("\0" in argument for argument in config.args):
        raise _invalid("args", "NUL cannot be passed to a program", "NUL", "text")
    size = sum(len(n) + len(v) + 2 for n, v in config.env.items()) + sum(len(a) + 1 for a in config.args)
    if size > MAX_ENV_BYTES:
        raise _invalid("env", "args and env together are too large (bytes)", size, MAX_ENV_BYTES)


def _check_capabilities(capabilities: list[str]) -> None:
    for index, name in enumerate(capabilities):
        require_agent_name(name, f"capabilities[{index}]")


def _check_dirs(grants: Grants, shareable: tuple[str, ...]) -> None:
    roots = [os.path.realpath(root) for root in shareable]
    guests = [grant.guest for grant in grants.dirs]
    if len(set(guests)) != len(guests):
        raise _invalid("grants.dirs", "two directories under one guest path", guests, "one each")
    for index, grant in enumerate(grants.dirs):
        host = os.path.realpath(grant.host)
        if not any(host == root or host.startswith(root.rstrip("/") + "/") for root in roots):
            raise _invalid(
                f"grants.dirs[{index}].host", "not below a directory of [runtime] shareable_dirs", grant.host, roots
            )
        if not os.path.isdir(host):
            raise _invalid(f"grants.dirs[{index}].host", "no such directory on this node", grant.host, "a directory")


def _invalid(path: str, reason: str, found: object, expected: object) -> CaxtonError:
    return CaxtonError(
        Code.INVALID_REQUEST, f"{path}: {reason} (found {found!r})", path=path, found=found, expected=expected
    )

"""Which deployments a node refuses before it touches the module, and which limits are in force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caxton.config import Config, defaults
from caxton.protocol.agents import AgentConfig, EffectiveLimits, Instance, ModuleInfo, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.router import admission


def node(**runtime: Any) -> Config:
    config = defaults()
    return replace(config, runtime=replace(config.runtime, **runtime))


def agent(**fields: Any) -> AgentConfig:
    return msgspec.convert({"name": "a", **fields}, AgentConfig)


def module(**fields: Any) -> ModuleInfo:
    plain = ModuleInfo("0" * 64, 100, Shape.REACTOR, [], [], 1, 65_536, None, 0.1)
    return msgspec.structs.replace(plain, **fields)


def refusal(config: AgentConfig, on: Config | None = None) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        admission.check_config(config, on or node())
    return caught.value


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": "No"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 129}, "name"),
        ({"profile": "threads"}, "profile"),
        ({"replicas": 2}, "replicas"),
        ({"capabilities": ["fine", "not fine"]}, "capabilities[1]"),
        ({"env": {"A=B": "x"}}, "env.A=B"),
        ({"env": {"A": "x\0y"}}, "env.A"),
        ({"args": ["a\0b"]}, "args"),
        ({"env": {"A": "x" * 200_000}}, "env"),
        ({"limits": {"fuel": 10}}, "limits.fuel"),
        ({"limits": {"stack_bytes": 1}}, "limits.stack_bytes"),
        ({"limits": {"memory_bytes": 512_000_001}}, "limits.memory_bytes"),
        ({"limits": {"execution_timeout_seconds": 31}}, "limits.execution_timeout_seconds"),
        ({"limits": {"cpu_time_seconds": 31}}, "limits.cpu_time_seconds"),
        ({"limits": {"temp_storage_bytes": 10_000_000_001}}, "limits.temp_storage_bytes"),
        ({"limits": {"output_bytes": 64_000_001}}, "limits.output_bytes"),
        ({"instance": "persistent", "max_concurrency": 2}, "max_concurrency"),
        ({"shape": "reactor", "max_concurrency": 2}, "max_concurrency"),
        ({"shape": "command", "instance": "persistent"}, "instance"),
        ({"grants": {"dirs": [{"host": "/etc", "guest": "/data"}]}}, "grants.dirs[0].host"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_path(fields: dict[str, Any], path: str) -> None:
    error = refusal(agent(**fields))
    assert error.code is Code.INVALID_REQUEST
    assert error.details["path"] == path


def test_defaults_come_from_the_node() -> None:
    limits = admission.check_config(agent(), node(wasm_memory_limit=1_000_000, execution_timeout=7.0))
    assert limits == msgspec.structs.replace(
        EffectiveLimits(), memory_bytes=1_000_000, execution_timeout_seconds=7.0, stack_bytes=1_000_000
    )


def test_what_is_asked_for_within_the_node_is_in_force() -> None:
    asked = {
        "memory_bytes": 65_536,
        "execution_timeout_seconds": 0.5,
        "cpu_time_seconds": 0.25,
        "fuel": 77,
        "table_elements": 5,
        "output_bytes": 6,
        "log_bytes": 7,
        "messages_per_execution": 0,
        "host_calls_per_execution": 9,
        "state_bytes": 0,
        "temp_storage_bytes": 0,
        "stack_bytes": 1_000_000,
    }
    limits = admission.check_config(agent(profile="deterministic", limits=asked), node())
    assert {name: getattr(limits, name) for name in asked} == asked


def test_threads_are_for_nodes_that_have_them() -> None:
    admission.check_config(agent(profile="threads"), node(wasm_features=("threads",)))


def test_granted_directories_lie_below_a_shareable_one_whatever_links_say(tmp_path: Path) -> None:
    shared, other = tmp_path / "shared", tmp_path / "shared-not"
    (shared / "in").mkdir(parents=True)
    other.mkdir()
    (shared / "out").symlink_to(other)
    on = node(shareable_dirs=(str(shared),))

    def grant(host: Path | str) -> AgentConfig:
        return agent(grants={"dirs": [{"host": str(host), "guest": "/data"}]})

    admission.check_config(grant(shared), on)
    admission.check_config(grant(shared / "in"), on)
    for outside in (shared / "out", other, f"{shared}/in/../../shared-not", shared / "absent", "/"):
        assert refusal(grant(outside), on).details["path"] == "grants.dirs[0].host"


def test_one_guest_path_is_granted_once(tmp_path: Path) -> None:
    twice = {"host": str(tmp_path), "guest": "/data"}
    error = refusal(agent(grants={"dirs": [twice, twice]}), node(shareable_dirs=(str(tmp_path),)))
    assert error.details["path"] == "grants.dirs"


@pytest.mark.parametrize(
    ("size", "code"), [(0, Code.INVALID_WASM), (100_000_001, Code.PAYLOAD_TOO_LARGE), (100_000_000, None), (1, None)]
)
def test_module_sizes(size: int, code: Code | None) -> None:
    try:
        admission.check_module_size(size)
        found = None
    except CaxtonError as error:
        found = error.code
    assert found is code


@pytest.mark.parametrize(
    ("fields", "shown", "code"),
    [
        ({"shape": "command"}, {}, Code.INVALID_REQUEST),
        ({"shape": "reactor"}, {"shape": Shape.COMMAND}, Code.INVALID_REQUEST),
        ({"max_concurrency": 2}, {}, Code.INVALID_REQUEST),
        ({"instance": "persistent"}, {"shape": Shape.COMMAND}, Code.INVALID_REQUEST),
        ({"limits": {"memory_bytes": 65_536}}, {"memory_min_bytes": 131_072}, Code.INVALID_WASM),
    ],
)
def test_a_module_that_does_not_fit_its_configuration(
    fields: dict[str, Any], shown: dict[str, Any], code: Code
) -> None:
    config = agent(**fields)
    limits = admission.check_config(config, node())
    with pytest.raises(CaxtonError) as caught:
        admission.check_module(config, limits, module(**shown))
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("fields", "shape", "instance", "concurrency"),
    [
        ({}, Shape.REACTOR, Instance.PERSISTENT, 1),
        ({}, Shape.COMMAND, Instance.PER_MESSAGE, 4),
        ({"instance": "per_message"}, Shape.REACTOR, Instance.PER_MESSAGE, 4),
        ({"instance": "per_message", "max_concurrency": 9}, Shape.REACTOR, Instance.PER_MESSAGE, 9),
        ({"max_concurrency": 2}, Shape.COMMAND, Instance.PER_MESSAGE, 2),
    ],
)
def test_instances_and_concurrency(
    fields: dict[str, Any], shape: Shape, instance: Instance, concurrency: int
) -> None:
    config = agent(**fields)
    found = admission.instance_of(config, shape)
    assert (found, admission.concurrency_of(config, found)) == (instance, concurrency)

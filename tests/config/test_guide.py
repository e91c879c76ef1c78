from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from caxton.config import load, show
from caxton.config.sections import value_of
from caxton.protocol.errors import CaxtonError, Code

GUIDE = Path(__file__).with_name("guide.toml")
SECRET = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"
TUNING = """
[runtime]
max_agents = 2000
max_concurrent_executions = 200
wasm_memory_limit = "1GB"
agent_startup_timeout = "10s"
agent_shutdown_timeout = "5s"
gc_interval = "60s"
memory_pressure_threshold = 0.8
agent_memory_reclaim = true
"""
CONFIG_MAP = """
[runtime]
max_agents = 1000
wasm_memory_limit = "512MB"
execution_timeout = "30s"
[networking]
bind_address = "0.0.0.0:8080"
metrics_address = "0.0.0.0:9090"
[observability]
enable_tracing = true
otlp_endpoint = "http://jaeger-collector:14268/api/traces"
[coordination]
local_state_path = "/data/local.db"
cluster_enabled = true
bind_addr = "0.0.0.0:7946"
gossip_interval = "200ms"
"""


def test_the_guides_file_loads_and_every_key_of_it_is_in_force() -> None:
    loaded = load(GUIDE, {"JWT_SECRET": SECRET})
    document = tomllib.loads(GUIDE.read_text())
    shown = {row.key: row.value for row in show(loaded)}
    keys = [f"{section}.{name}" for section, table in document.items() for name in table]
    assert len(keys) > 40
    for key in keys:
        assert loaded.origins[key] == f"file {GUIDE}", key
        section, name = key.split(".")
        written = document[section][name]
        if key == "security.jwt_secret":
            assert loaded.config.security.jwt_secret == SECRET
        elif key == "runtime.agent_idle_timeout":
            assert loaded.config.runtime.agent_idle_timeout == 300.0
        elif key not in ("runtime.cpu_quota", "runtime.memory_limit") and not str(written).endswith(("0s", "1h")):
            assert shown[key] == written, key


def test_the_guides_values_have_their_meaning() -> None:
    config = load(GUIDE, {"JWT_SECRET": SECRET}).config
    assert config.runtime.wasm_memory_limit == 512_000_000
    assert config.runtime.execution_timeout == 30.0
    assert config.runtime.cpu_quota <= 8.0
    assert config.coordination.gossip_interval == 0.2
    assert config.security.jwt_expiry == 3600.0
    assert config.paths.database == Path("/opt/caxton/data/local.db")
    assert config.paths.router_socket == Path("/run/caxton/router.sock")
    assert config.paths.executor_socket == Path("/run/caxton-executor/executor.sock")


@pytest.mark.parametrize("text", [TUNING, CONFIG_MAP])
def test_the_guides_other_fragments_load(text: str, tmp_path: Path) -> None:
    file = tmp_path / "fragment.toml"
    file.write_text(text)
    with_tls = {"CAXTON_NETWORKING__TLS_ENABLED": "true"}
    with_tls |= {f"CAXTON_NETWORKING__TLS_{name}_PATH": f"/certificates/{name}" for name in ("CERT", "KEY", "CA")}
    loaded = load(file, with_tls)
    for section, table in tomllib.loads(text).items():
        for name in table:
            assert loaded.origins[f"{section}.{name}"] == f"file {file}"
    assert value_of(loaded.config, "security.auth_enabled") is True


def test_the_guides_environment_file_wins_over_its_toml() -> None:
    environ = {"JWT_SECRET": SECRET, "CAXTON_LOG_LEVEL": "warning", "OTLP_ENDPOINT": "http://jaeger:14268/api/traces"}
    loaded = load(None, {**environ, "CAXTON_CONFIG_PATH": str(GUIDE)})
    assert loaded.file == GUIDE
    assert loaded.config.observability.log_level == "warning"
    assert loaded.config.observability.otlp_endpoint == "http://jaeger:14268/api/traces"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4318/"}, "http://a:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:4318/x"}, "http://b:4318/x"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b"}, "http://b"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTLP_ENDPOINT": "http://own/t"}, "http://own/t"),
    ],
)
def test_opentelemetrys_own_variables_stand_in_for_an_endpoint(
    given: dict[str, str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "plain.toml").write_text("[observability]\nenable_tracing = true\n")
    loaded = load(tmp_path / "plain.toml", given)
    assert loaded.config.observability.otlp_endpoint == expected
    assert loaded.origins["observability.otlp_endpoint"] in {f"environment {name}" for name in given}


def test_what_other_programs_are_told_does_not_concern_a_node_without_traces() -> None:
    assert load(None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317"}).config.observability.otlp_endpoint is None


def test_the_guides_placeholder_for_the_secret_is_refused() -> None:
    with pytest.raises(CaxtonError) as refused:
        load(GUIDE, {"JWT_SECRET": "your-jwt-secret"})
    assert refused.value.code == Code.CONFIG_INVALID
    assert [problem["path"] for problem in refused.value.details["problems"]] == ["security.jwt_secret"]
    assert "your-jwt-secret" not in str(refused.value)


def test_without_the_secrets_variable_the_error_names_the_key() -> None:
    with pytest.raises(CaxtonError) as refused:
        load(GUIDE, {})
    (problem,) = refused.value.details["problems"]
    assert problem["path"] == "security.jwt_secret"
    assert "JWT_SECRET" in problem["found"]


def test_jaegers_own_url_is_accepted_with_the_right_one_in_a_warning() -> None:
    warnings = load(GUIDE, {"JWT_SECRET": SECRET}).warnings
    assert [w for w in warnings if "http://jaeger-collector:4318/v1/traces" in w]

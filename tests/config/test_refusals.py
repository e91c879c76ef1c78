from __future__ import annotations

from pathlib import Path

import pytest

from caxton.config import Loaded, load
from caxton.protocol.errors import CaxtonError, Code

GOOD = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"


@pytest.fixture
def parse(tmp_path: Path):
    def run(text: str | bytes, **environ: str) -> Loaded:
        file = tmp_path / "node.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(file, environ)

    return run


def problems(error: pytest.ExceptionInfo[CaxtonError]) -> dict[str, dict[str, str]]:
    assert error.value.code == Code.CONFIG_INVALID
    return {problem["path"]: problem for problem in error.value.details["problems"]}


BAD_VALUES = [
    ("runtime", "max_agents", '"many"'),
    ("runtime", "max_agents", "true"),
    ("runtime", "max_agents", "0"),
    ("runtime", "max_agents", "1.5"),
    ("runtime", "execution_timeout", "30"),
    ("runtime", "execution_timeout", '"30"'),
    ("runtime", "execution_timeout", '"9999d"'),
    ("runtime", "wasm_memory_limit", '"5GiB"'),
    ("runtime", "wasm_memory_limit", "512"),
    ("runtime", "cpu_quota", '"all"'),
    ("runtime", "memory_pressure_threshold", "1.5"),
    ("runtime", "memory_pressure_threshold", "nan"),
    ("runtime", "agent_memory_reclaim", '"yes"'),
    ("runtime", "wasm_features", '["threads", "teleport"]'),
    ("runtime", "shareable_dirs", '["relative"]'),
    ("runtime", "egress_allow", '["example.com"]'),
    ("runtime", "egress_allow", '["10.0.0.1/8"]'),
    ("networking", "bind_address", '"8080"'),
    ("networking", "bind_address", '"127.0.0.1:0"'),
    ("networking", "bind_address", '"127.0.0.1:70000"'),
    ("networking", "bind_address", '"::1:8080"'),
    ("networking", "admin_address", '"0.0.0.0:8081"'),
    ("networking", "admin_address", '"127.0.0.1:9090"'),
    ("coordination", "journal_mode", '"OFF"'),
    ("coordination", "synchronous", '"OFF"'),
    ("coordination", "seeds", '["node-1"]'),
    ("coordination", "seeds", '["a:1", "a:1"]'),
    ("coordination", "gossip_interval", '"10s"'),
    ("coordination", "encrypt_key", '"short"'),
    ("coordination", "partition_mode", '"ignore"'),
    ("messaging", "max_deliveries", "0"),
    ("messaging", "retry_backoff", "0.5"),
    ("observability", "log_level", '"loud"'),
    ("observability", "metrics_prefix", '"my-prefix"'),
    ("observability", "histogram_buckets", "[1.0, 0.5]"),
    ("observability", "histogram_buckets", "[]"),
    ("observability", "otlp_endpoint", '"collector:4318"'),
    ("observability", "otlp_endpoint", '"http://collector:4317"'),
    ("observability", "trace_sample_rate", "-0.1"),
    ("security", "cors_origins", '["dashboard.example.com"]'),
    ("security", "cors_origins", '["*", "https://a.example"]'),
    ("security", "cors_methods", '["FETCH"]'),
    ("security", "jwt_secret", '"too short to be one"'),
    ("security", "jwt_secret", '"changeme-changeme-changeme-changeme"'),
    ("security", "jwt_secret", '"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"'),
    ("security", "auth_enabled", "false"),
    ("security", "secrets_key", '"c2hvcnQ="'),
    ("security", "jwt_algorithm", '"none"'),
    ("security", "jwt_algorithm", '"HS512"'),
    ("security", "jwt_leeway", '"61s"'),
    ("security", "jwt_issuer", '"two words"'),
    ("security", "trusted_proxies", '["10.0.0.0/99"]'),
    ("security", "api_key_header", '"X Key"'),
    ("backup", "keep_at_least", "-1"),
]


@pytest.mark.parametrize(("section", "key", "value"), BAD_VALUES)
def test_a_wrong_value_is_refused_at_its_path_with_what_was_found_and_expected(parse, section, key, value) -> None:
    with pytest.raises(CaxtonError) as refused:
        parse(f"[{section}]\n{key} = {value}\n")
    found = problems(refused)
    assert list(found) == [f"{section}.{key}"]
    assert found[f"{section}.{key}"]["found"]
    assert found[f"{section}.{key}"]["expected"]


@pytest.mark.parametrize(
    ("text", "path", "nearest"),
    [
        ("[runtime]\nmax_agent = 5", "runtime.max_agent", "runtime.max_agents"),
        ("[runtme]\nmax_agents = 5", "runtme", "runtime"),
        ("[messaging]\nmax_agents = 5", "messaging.max_agents", "runtime.max_agents"),
        ("[security]\njwt_secrets = '5'", "security.jwt_secrets", "security.jwt_secret"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(parse, text: str, path: str, nearest: str) -> None:
    with pytest.raises(CaxtonError) as refused:
        parse(text)
    found = problems(refused)
    assert list(found) == [path]
    assert nearest in found[path]["hint"]


def test_all_problems_are_reported_at_once(parse) -> None:
    text = '[runtime]\nmax_agents = "x"\ncolour = 1\n[networking]\nbind_address = 5\n'
    text += '[security]\njwt_secret = "${NOWHERE}"'
    with pytest.raises(CaxtonError) as refused:
        parse(text, CAXTON_RUNTIME__GC_INTERVAL="often", CAXTON_RUNTIME__COLOUR="red")
    assert set(problems(refused)) == {
        "runtime.max_agents",
        "runtime.colour",
        "networking.bind_address",
        "security.jwt_secret",
        "runtime.gc_interval",
    }


@pytest.mark.parametrize("text", [b"[runtime", b"\xff\xfe", b"a = " + b"[" * 5000, b"runtime = 5", b"x" * 1_000_001])
def test_what_is_no_such_file_is_refused_and_not_a_traceback(parse, text: bytes) -> None:
    with pytest.raises(CaxtonError) as refused:
        parse(text)
    assert problems(refused)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CaxtonError) as refused:
        load(tmp_path / "none.toml", {})
    assert problems(refused)
    assert refused.value.details["source"] == str(tmp_path / "none.toml")


def test_a_secret_is_never_in_the_error(parse) -> None:
    secret = "hunter2-hunter2-hunter2"
    with pytest.raises(CaxtonError) as refused:
        parse(
            f'[security]\njwt_secret = "{secret}"\n[coordination]\nencrypt_key = "{secret}!"\n'
            "[runtime]\nmax_agents = 0"
        )
    assert len(problems(refused)) == 2  # the length of jwt_secret is judged once every value is good by itself
    assert secret not in str(refused.value)
    assert secret not in str(refused.value.details)


def test_without_authentication_only_loopback_is_accepted(parse) -> None:
    metrics = 'metrics_address = "127.0.0.1:9090"'
    for address in ("127.0.0.1:8080", "[::1]:8080", "localhost:8080"):
        loaded = parse(f'[networking]\n{metrics}\nbind_address = "{address}"\n[security]\nauth_enabled = false')
        assert loaded.config.networking.bind_address == address
    for address in (
        "10.0.0.1:8080",
        "0.0.0.0:8080",
        "[::]:8080",
        "localhost.example.com:8080",
        "[::ffff:7f00:1]:8080",
    ):
        with pytest.raises(CaxtonError) as refused:
            parse(f'[networking]\n{metrics}\nbind_address = "{address}"\n[security]\nauth_enabled = false')
        assert list(problems(refused)) == ["security.auth_enabled"]
        assert address in problems(refused)["security.auth_enabled"]["found"]


def test_without_authentication_the_other_addresses_are_for_this_host_too(parse) -> None:
    text = '[security]\nauth_enabled = false\n[networking]\nbind_address = "127.0.0.1:8080"\n'
    with pytest.raises(CaxtonError) as refused:
        parse(text)
    assert "networking.metrics_address 0.0.0.0:9090" in problems(refused)["security.auth_enabled"]["found"]
    assert parse(f"{text}[observability]\nenable_metrics = false").config.security.auth_enabled is False
    with pytest.raises(CaxtonError) as refused:
        parse(f'{text}metrics_address = "127.0.0.1:9090"\nadmin_address = "10.0.0.1:8081"')
    assert set(problems(refused)) == {"security.auth_enabled", "networking.admin_address"}


def test_signatures_need_somebody_who_signs(parse) -> None:
    with pytest.raises(CaxtonError) as refused:
        parse("[security]\nrequire_signatures = true")
    assert list(problems(refused)) == ["security.trusted_keys"]


def test_tls_needs_its_files_named(parse) -> None:
    with pytest.raises(CaxtonError) as refused:
        parse("[networking]\ntls_enabled = true")
    assert set(problems(refused)) == {"networking.tls_cert_path", "networking.tls_key_path"}


def test_a_socket_path_that_no_kernel_takes_is_refused_before_a_process_starts(parse) -> None:
    deep = "/tmp/" + "d" * 110 + "/local.db"
    with pytest.raises(CaxtonError) as refused:
        parse(f'[coordination]\nlocal_state_path = "{deep}"')
    assert list(problems(refused)) == ["coordination.local_state_path"]
    short = parse(f'[coordination]\nlocal_state_path = "{deep}"', CAXTON_RUN_DIR="/tmp/cx")
    assert short.config.paths.router_socket == Path("/tmp/cx/router.sock")
    assert short.config.paths.executor_socket == Path("/tmp/cx/executor.sock")

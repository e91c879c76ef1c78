from __future__ import annotations

from pathlib import Path

import pytest

from caxton.config import MASK, defaults, load, show
from caxton.config.sections import KEYS
from caxton.protocol.errors import CaxtonError

SECRET = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"


def write(directory: Path, text: str, name: str = "node.toml") -> Path:
    file = directory / name
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_without_a_file_the_node_is_alone_on_loopback_below_the_current_directory(
    monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load(None, {"CAXTON_CONFIG_PATH": ""})
    assert loaded.file is None
    config = loaded.config
    assert config.networking.bind_address == "127.0.0.1:8080"
    assert config.networking.metrics_address == "127.0.0.1:9090"
    assert config.networking.admin_address == "127.0.0.1:8081"
    assert (config.security.auth_enabled, config.networking.tls_enabled) == (False, False)
    assert config.coordination.cluster_enabled is False
    assert config.paths.data == tmp_path / ".caxton"
    assert loaded.warnings == []
    assert defaults().networking == config.networking


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, "[runtime]\nmax_agents = 5\nmax_concurrent_executions = 7")
    loaded = load(file, {"CAXTON_RUNTIME__MAX_AGENTS": "6", "CAXTON_METRICS_ENABLED": "false"})
    assert loaded.config.runtime.max_agents == 6
    assert loaded.config.observability.enable_metrics is False
    assert loaded.origins["runtime.max_agents"] == "environment CAXTON_RUNTIME__MAX_AGENTS"
    assert loaded.origins["observability.enable_metrics"] == "environment CAXTON_METRICS_ENABLED"
    assert loaded.origins["runtime.max_concurrent_executions"] == f"file {file}"
    assert loaded.origins["runtime.gc_interval"] == "default"


def test_config_path_from_the_environment_gives_way_to_the_option(tmp_path: Path) -> None:
    named = write(tmp_path, "[runtime]\nmax_agents = 1", "named.toml")
    given = write(tmp_path, "[runtime]\nmax_agents = 2", "given.toml")
    environ = {"CAXTON_CONFIG_PATH": str(named)}
    assert load(None, environ).config.runtime.max_agents == 1
    assert load(given, environ).config.runtime.max_agents == 2


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("runtime.wasm_features", "threads,gc", ("threads", "gc")),
        ("coordination.seeds", '["a:1", "b:2"]', ("a:1", "b:2")),
        ("observability.histogram_buckets", "0.1, 1, 10", (0.1, 1.0, 10.0)),
        ("messaging.retention", "14d", 1_209_600.0),
        ("messaging.max_message_size", "2MiB", 2_097_152),
        ("runtime.cpu_quota", "0.5", 0.5),
        ("coordination.journal_mode", "wal", "WAL"),
    ],
)
def test_every_type_can_be_given_by_the_environment(tmp_path: Path, key: str, text: str, value: object) -> None:
    section, name = key.split(".")
    loaded = load(write(tmp_path, ""), {f"CAXTON_{section.upper()}__{name.upper()}": text})
    assert getattr(getattr(loaded.config, section), name) == value


def test_variables_are_filled_in_everywhere_and_can_have_defaults(tmp_path: Path) -> None:
    text = '[coordination]\nlocal_state_path = "${HOME_DIR}/x.db"\nseeds = ["${PEER:-peer}:7946"]\n'
    text += '[runtime]\nmax_agents = "${AGENTS:-12}"\ncpu_quota = "${QUOTA}"\nagent_memory_reclaim = "${RECLAIM:-no}"'
    config = load(write(tmp_path, text), {"HOME_DIR": "/srv", "QUOTA": "1", "AGENTS": ""}).config
    assert config.coordination.local_state_path == "/srv/x.db"
    assert config.coordination.seeds == ("peer:7946",)
    assert (config.runtime.max_agents, config.runtime.cpu_quota) == (12, 1.0)
    assert config.runtime.agent_memory_reclaim is False


def test_a_secret_comes_from_a_file_or_from_systemd_and_is_masked(tmp_path: Path) -> None:
    write(tmp_path, SECRET + "\n", "jwt_secret")
    by_file = load(write(tmp_path, f'[security]\njwt_secret_file = "{tmp_path}/jwt_secret"'), {})
    by_systemd = load(write(tmp_path, "", "empty.toml"), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    by_environment = load(tmp_path / "empty.toml", {"CAXTON_SECURITY__JWT_SECRET_FILE": f"{tmp_path}/jwt_secret"})
    for loaded in (by_file, by_systemd, by_environment):
        assert loaded.config.security.jwt_secret == SECRET
        shown = {row.key: row for row in show(loaded)}
        assert shown["security.jwt_secret"].value == MASK
        assert SECRET not in repr(shown)
        assert SECRET not in repr(loaded.config)
    assert by_systemd.origins["security.jwt_secret"] == "systemd credential jwt_secret"


def test_root_on_an_installed_node_finds_the_secrets_where_systemd_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = tmp_path / "credstore"
    store.mkdir()
    write(store, SECRET + "\n", "caxton.jwt_secret")
    file = write(tmp_path, "")
    monkeypatch.setattr("caxton.config.sources.CREDENTIAL_STORE", store)
    assert load(file, {}).config.security.jwt_secret is None  # another configuration is another node's
    monkeypatch.setattr("caxton.config.loading.PRODUCTION_FILE", file)
    loaded = load(file, {})
    assert loaded.config.security.jwt_secret == SECRET
    assert loaded.origins["security.jwt_secret"] == f"credential store {store}/caxton.jwt_secret"
    assert load(file, {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}).config.security.jwt_secret is None
    other = {"CAXTON_SECURITY__JWT_SECRET": SECRET[::-1]}
    assert load(file, other).config.security.jwt_secret == SECRET[::-1]


def test_a_secret_given_twice_or_in_a_missing_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, SECRET, "s")
    for text in (
        f'[security]\njwt_secret = "{SECRET}"\njwt_secret_file = "{tmp_path}/s"',
        f'[security]\njwt_secret_file = "{tmp_path}/s"\njwt_secret = "{SECRET}"',
        f'[security]\njwt_secret_file = "{tmp_path}/none"',
        "[security]\njwt_secret_file = 5",
    ):
        with pytest.raises(CaxtonError) as refused:
            load(write(tmp_path, text), {})
        assert len(refused.value.details["problems"]) == 1


def test_show_has_every_key_once() -> None:
    assert [row.key for row in show(load(None, {"CAXTON_CONFIG_PATH": ""}))] == list(KEYS)


def test_more_than_the_host_has_is_clamped_with_a_warning(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, '[runtime]\ncpu_quota = "4096"\nmemory_limit = "1000TB"'), {})
    assert loaded.config.runtime.cpu_quota < 4096
    assert loaded.config.runtime.memory_limit < 10**15
    assert [warning.split(":")[0] for warning in loaded.warnings] == ["runtime.cpu_quota", "runtime.memory_limit"]


@pytest.mark.parametrize(
    ("gossip", "probe", "profile"),
    [
        ("200ms", "1s", None),
        ("250ms", "1s", "lan"),
        ("500ms", "4s", "wan"),
        ("90ms", "1s", "local"),
        ("500ms", "5s", None),
    ],
)
def test_serf_gets_the_nearest_profile_and_says_so(
    tmp_path: Path, gossip: str, probe: str, profile: str | None
) -> None:
    text = f'[coordination]\ngossip_interval = "{gossip}"\nprobe_interval = "{probe}"'
    warnings = load(write(tmp_path, text), {}).warnings
    assert [f"chosen: {profile} " in warning for warning in warnings] == ([True] if profile else [])


def test_the_installed_file_is_read_with_the_variables_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write(tmp_path, '[security]\njwt_secret = "${JWT_SECRET}"\n[observability]\nlog_level = "${LEVEL}"')
    write(tmp_path, f'# secrets\nJWT_SECRET="{SECRET}"\n  LEVEL = no\nLEVEL=debug\n', "caxton.env")
    with pytest.raises(CaxtonError):
        load(file, {})
    monkeypatch.setattr("caxton.config.loading.PRODUCTION_FILE", file)
    assert load(file, {}).config.security.jwt_secret == SECRET
    assert load(file, {}).config.observability.log_level == "debug"
    assert load(file, {"LEVEL": "error"}).config.observability.log_level == "error"

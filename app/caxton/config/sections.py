"""Every key of production.toml: one frozen dataclass per section (spec/config.md).

Owns names, defaults and ranges. Must never read a file: `loading` does. Durations are seconds, sizes are bytes,
addresses are `"host:port"`. The defaults are those that hold *with* a file; `DEVELOPMENT` is what
changes without one.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Final

from caxton.config.kinds import (
    Kind,
    address,
    choice,
    duration,
    flag,
    integer,
    kind_of,
    number,
    numbers,
    optional_text,
    size,
    text,
    words,
)
from caxton.config.paths import Paths, make_paths

_PATH: Final = r"[^\0]{1,4096}"
_ABSOLUTE: Final = r"/[^\0]{0,4095}"
_NETWORK: Final = r"[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?"
_HOST_PORT: Final = r"[^\s:]{1,253}:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}"
NODE_ID: Final = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MOST_GRACEFUL_SECONDS: Final = 30
CORES: Final = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Runtime:
    """`[runtime]`: agents, executions and what they may use."""

    max_agents: int = integer(1000, 1, 1_000_000, reload=True)
    max_concurrent_executions: int = integer(100, 1, 100_000, reload=True)
    executor_workers: int = integer(CORES, 1, 256)
    wasm_memory_limit: int = size("512MB", "64KiB", "4GiB", reload=True)
    wasm_stack_limit: int = size("1MB", "64KiB", "64MiB")
    execution_timeout: float = duration("30s", "10ms", "1d", reload=True)
    agent_idle_timeout: float = duration("300s", "1s", "30d")
    agent_startup_timeout: float = duration("10s", "10ms", "1h", reload=True)
    agent_shutdown_timeout: float = duration("5s", "10ms", "1h", reload=True)
    cpu_quota: float = number(8.0, 0.1, 4096, quoted_too=True)
    memory_limit: int = size("16GB", "64MiB", "1024TB")
    temp_storage_limit: int = size("10GB", "0B", "1024TB")
    gc_interval: float = duration("60s", "1s", "1d", reload=True)
    memory_pressure_threshold: float = number(0.8, 0.1, 1.0, reload=True)
    agent_memory_reclaim: bool = flag(True, reload=True)
    wasm_features: tuple[str, ...] = words(
        (),
        "threads|memory64|tail_call|relaxed_simd|multi_memory|gc",
        "one of threads, memory64, tail_call, relaxed_simd, multi_memory, gc",
    )
    engine: str = choice("native", "native", "pulley")
    isolation: str = choice("shared", "shared", "namespace")
    shareable_dirs: tuple[str, ...] = words((), _ABSOLUTE, "an absolute directory")
    egress_allow: tuple[str, ...] = words((), _NETWORK, "an address or network such as 10.1.0.0/16", reload=True)


@dataclass(frozen=True)
class Networking:
    """`[networking]`: where the node listens, and how long it is patient."""

    bind_address: str = address("0.0.0.0:8080")
    metrics_address: str = address("0.0.0.0:9090")
    admin_address: str = address("127.0.0.1:8081")
    max_connections: int = integer(10_000, 1, 1_000_000)
    max_connections_per_address: int = integer(1_000, 1, 1_000_000, reload=True)
    connection_timeout: float = duration("30s", "100ms", "1h")
    request_timeout: float = duration("60s", "100ms", "1d")
    keepalive_timeout: float = duration("60s", "0s", "1h")
    tls_enabled: bool = flag(False)
    tls_cert_path: str | None = optional_text(_PATH, "a path")
    tls_key_path: str | None = optional_text(_PATH, "a path")
    tls_ca_path: str | None = optional_text(_PATH, "a path")
    tls_client_auth: str = choice("optional", "optional", "required")
    workers: int = integer(min(CORES, 4), 1, 64)

    @property
    def graceful_seconds(self) -> int:
        """How long requests under way may take when an API worker is told to end."""
        return min(int(self.request_timeout) + 1, MOST_GRACEFUL_SECONDS)


@dataclass(frozen=True)
class Coordination:
    """`[coordination]`: the local database, and the cluster."""

    local_state_path: str = text("/opt/caxton/data/local.db", _PATH, "a path")
    journal_mode: str = choice("WAL", "WAL", "DELETE", "TRUNCATE", "PERSIST", upper=True)
    synchronous: str = choice("FULL", "FULL", "EXTRA", "NORMAL", upper=True)
    cluster_enabled: bool = flag(False)
    node_id: str | None = optional_text(NODE_ID, "the node's name: a-z 0-9 . -, as in its certificate")
    bind_addr: str = address("0.0.0.0:7946")
    gossip_rpc_address: str = address("127.0.0.1:7373")
    advertise_addr: str = text("auto", rf"auto|{_HOST_PORT}|[0-9A-Za-z_.:-]{{1,253}}", '"auto" or an address')
    seeds: tuple[str, ...] = words((), _HOST_PORT, 'an address "host:port"', reload=True)
    gossip_interval: float = duration("200ms", "1ms", "1m")
    probe_interval: float = duration("1s", "10ms", "5m")
    encrypt_key: str | None = optional_text(
        r"[A-Za-z0-9+/]{22,43}={0,2}", "16, 24 or 32 bytes in base64", secret=True
    )
    expected_nodes: int = integer(1, 1, 1000, reload=True)
    detection_timeout: float = duration("5s", "100ms", "1h")
    heartbeat_interval: float = duration("1s", "10ms", "1m")
    outbox_size: int = integer(10_000, 1, 100_000_000)
    on_owner_loss: str = choice("wait", "wait", "restart")
    partition_mode: str = choice("continue", "continue", "stop")


@dataclass(frozen=True)
class Messaging:
    """`[messaging]`: mailboxes, retries, and how long messages are kept."""

    max_message_size: int = size("1MB", "1kB", "64MiB", reload=True)
    mailbox_size: int = integer(10_000, 1, 10_000_000, reload=True)
    queue_size: int = integer(100_000, 1, 100_000_000, reload=True)
    max_deliveries: int = integer(3, 1, 100, reload=True)
    retry_delay: float = duration("1s", "0s", "1d", reload=True)
    retry_backoff: float = number(2.0, 1, 100, reload=True)
    dedup_window: float = duration("24h", "1s", "365d", reload=True)
    commit_window: float = duration("2ms", "0s", "1s")
    retention: float = duration("7d", "1s", "3650d", reload=True)
    retention_bytes: int = size("20GB", "1MB", "1024TB", reload=True)
    low_disk_bytes: int = size("2GB", "0B", "1024TB", reload=True)


@dataclass(frozen=True)
class Observability:
    """`[observability]`: logs, metrics, traces."""

    log_level: str = choice("info", "debug", "info", "warning", "error", "critical", reload=True)
    log_format: str = choice("json", "json", "text")
    log_file: str | None = optional_text(_PATH, "a path")
    log_rotation: str = choice("daily", "hourly", "daily", "weekly", "never")
    log_retention_days: int = integer(30, 1, 3650)
    enable_metrics: bool = flag(True)
    metrics_prefix: str = text("caxton", r"[a-zA-Z_][a-zA-Z0-9_]{0,63}", "a Prometheus name: a-z A-Z 0-9 _")
    histogram_buckets: tuple[float, ...] = numbers(_BUCKETS, "a list of positive, growing numbers (seconds)")
    enable_tracing: bool = flag(False)
    trace_sample_rate: float = number(0.1, 0, 1)
    otlp_endpoint: str | None = optional_text(
        r"https?://[^\s/]+(/\S*)?", 'a URL such as "http://collector:4318/v1/traces"'
    )
    otlp_timeout: float = duration("10s", "10ms", "10m")


@dataclass(frozen=True)
class Security:
    """`[security]`: who may call, how often, and from where."""

    auth_enabled: bool = flag(True)
    jwt_secret: str | None = optional_text(r"(?s).+", "a secret of at least 32 bytes", secret=True)
    jwt_expiry: float = duration("1h", "1s", "365d", reload=True)
    jwt_algorithm: str = choice("HS256", "HS256", "RS256", "EdDSA")
    jwt_public_key_path: str | None = optional_text(_PATH, "a path")
    jwt_issuer: str | None = optional_text(r"\S{1,255}", "the issuer of tokens, a text without spaces")
    jwt_audience: str | None = optional_text(r"\S{1,255}", "the audience of tokens, a text without spaces")
    jwt_leeway: float = duration("10s", "0s", "60s")
    api_key_header: str = text("X-API-Key", r"[A-Za-z0-9-]{1,64}", "the name of an HTTP header")
    rate_limit_enabled: bool = flag(False, reload=True)
    rate_limit_per_second: float = number(100.0, 0.001, 1_000_000, reload=True)
    rate_limit_burst: int = integer(200, 1, 10_000_000, reload=True)
    unauthenticated_per_second: float = number(10.0, 0.001, 1_000_000, reload=True)
    unauthenticated_burst: int = integer(100, 1, 10_000_000, reload=True)
    cors_enabled: bool = flag(False, reload=True)
    cors_origins: tuple[str, ...] = words(
        (), r"\*|https?://[^\s/]+", '"*" or an origin such as "https://dashboard.example.com"', reload=True
    )
    cors_methods: tuple[str, ...] = words(
        ("GET", "POST", "PUT", "DELETE"), "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS", "an HTTP method", reload=True
    )
    trusted_proxies: tuple[str, ...] = words((), r"[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?", "an IP address or network")
    require_signatures: bool = flag(False, reload=True)
    trusted_keys: tuple[str, ...] = words((), _PATH, "KEY or SCOPE=KEY: a public key or its path", reload=True)
    secrets_key: str | None = optional_text(r"[A-Za-z0-9+/]{43}=", "32 bytes in base64", secret=True)
    previous_secrets_key: str | None = optional_text(r"[A-Za-z0-9+/]{43}=", "32 bytes in base64", secret=True)
    audit_retention_days: int = integer(365, 1, 36_500, reload=True)
    audit_max_bytes: int = size("1GB", "1MB", "1024TB", reload=True)


@dataclass(frozen=True)
class Backup:
    """`[backup]`: where snapshots go and how long they stay."""

    directory: str = text("/opt/caxton/backups", _PATH, "a path")
    state_retention_days: int = integer(7, 1, 3650)
    config_retention_days: int = integer(30, 1, 3650)
    keep_at_least: int = integer(3, 0, 1000)
    encryption_recipient: str | None = optional_text(r"age1[0-9a-z]{58}", 'a public key of age, "age1…"')


@dataclass(frozen=True)
class Config:
    """The whole configuration of a node. `run_dir`, `executor_run_dir`: from the environment, or None."""

    runtime: Runtime = field(default_factory=Runtime)
    networking: Networking = field(default_factory=Networking)
    coordination: Coordination = field(default_factory=Coordination)
    messaging: Messaging = field(default_factory=Messaging)
    observability: Observability = field(default_factory=Observability)
    security: Security = field(default_factory=Security)
    backup: Backup = field(default_factory=Backup)
    run_dir: str | None = None
    executor_run_dir: str | None = None

    @property
    def paths(self) -> Paths:
        """Every file and directory of the node, absolute."""
        return make_paths(self.coordination.local_state_path, self.run_dir, self.executor_run_dir)


SECTIONS: Final[dict[str, type]] = {
    "runtime": Runtime,
    "networking": Networking,
    "coordination": Coordination,
    "messaging": Messaging,
    "observability": Observability,
    "security": Security,
    "backup": Backup,
}

KEYS: Final[dict[str, Kind]] = {
    f"{section}.{item.name}": kind_of(item) for section, made in SECTIONS.items() for item in dataclasses.fields(made)
}
"""Every key by its dotted path."""

RELOADABLE: Final = frozenset(key for key, kind in KEYS.items() if kind.reloadable)
"""Keys whose change takes effect on SIGHUP; every other changed key needs a restart and says so."""

SECRETS: Final = frozenset(key for key, kind in KEYS.items() if kind.secret)
"""Keys that are never shown."""

PUBLIC: Final = frozenset(KEYS) - SECRETS
"""Keys that are no secret: all that a process needs which is given no secrets."""

DEVELOPMENT: Final[dict[str, object]] = {
    "networking.bind_address": "127.0.0.1:8080",
    "networking.metrics_address": "127.0.0.1:9090",
    "coordination.bind_addr": "127.0.0.1:7946",
    "coordination.local_state_path": ".caxton/local.db",
    "observability.log_format": "text",
    "security.auth_enabled": False,
    "backup.directory": ".caxton/backups",
}
"""What differs when there is no file: loopback only, no authentication, data below the current directory."""


def value_of(config: Config, key: str) -> object:
    """The value of a dotted key."""
    section, name = key.split(".", 1)
    return getattr(getattr(config, section), name)


def build(values: dict[str, object], run_dir: str | None = None, executor_run_dir: str | None = None) -> Config:
    """A configuration from checked values by dotted key; keys that are absent have their default."""
    made: dict[str, object] = {}
    for section, kind in SECTIONS.items():
        own = {key.split(".", 1)[1]: value for key, value in values.items() if key.startswith(f"{section}.")}
        made[section] = kind(**own)
    return dataclasses.replace(Config(run_dir=run_dir, executor_run_dir=executor_run_dir), **made)  # type: ignore[arg-type]  # sections by name


def defaults() -> Config:
    """What holds without any file: the development defaults."""
    return build(dict(DEVELOPMENT))


def reloaded(old: Config, new: Config) -> Config:
    """`old` with the reloadable keys of `new`: what is in force after SIGHUP. Everything else waits for a restart."""
    made: dict[str, object] = {}
    for section, kind in SECTIONS.items():
        names = [item.name for item in dataclasses.fields(kind) if f"{section}.{item.name}" in RELOADABLE]
        fresh = {name: getattr(getattr(new, section), name) for name in names}
        made[section] = dataclasses.replace(getattr(old, section), **fresh)
    return dataclasses.replace(old, **made)  # type: ignore[arg-type]  # sections by name


def changed(old: Config, new: Config) -> tuple[list[str], list[str]]:
    """The dotted keys that differ: those that a reload applies, and those that need a restart."""
    differing = [key for key in KEYS if value_of(old, key) != value_of(new, key)]
    return [k for k in differing if k in RELOADABLE], [k for k in differing if k not in RELOADABLE]

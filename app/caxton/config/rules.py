"""What must hold between keys, and against the host: refusals and warnings.

Owns every check that needs more than one value. Must never change a value, but for clamping to the host (`fit_host`).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from caxton.config.certificates import readable, unreadable, why_unusable
from caxton.config.clustering import check_cluster, cluster_warnings, is_loopback
from caxton.config.kinds import split_address
from caxton.config.problems import Problem
from caxton.config.public_keys import public_key
from caxton.config.sections import CORES, Config
from caxton.config.units import format_duration, format_size
from caxton.config.weakness import problems_of, problems_of_key

MAX_SOCKET_PATH: Final = 107
_TEXT_HINT: Final = "make one: openssl rand -base64 48"
_KEY_HINT: Final = "make one: openssl rand -base64 32"
SERF_PROFILES: Final = {"lan": (0.2, 1.0), "wan": (0.5, 5.0), "local": (0.1, 1.0)}
"""serf's timing profiles: gossip interval and probe interval in seconds (memberlist's own defaults)."""


def check(config: Config) -> list[Problem]:
    """Everything that makes these values, each good by itself, unacceptable together."""
    return [
        *_security(config),
        *_listeners(config),
        *_tls(config),
        *_serf_profile(config),
        *check_cluster(config),
        *_tracing(config),
        *_sockets(config),
        *_egress(config),
        *_signatures(config),
    ]


def warnings(config: Config, origins: dict[str, str]) -> list[str]:
    """What is accepted but is not what was asked for; sentences for people."""
    return [
        *_profile_warning(config),
        *_jaeger_warning(config),
        *_host_warnings(config, origins),
        *_tls_files(config),
        *cluster_warnings(config),
        *_token_warnings(config),
    ]


def fit_host(config: Config) -> Config:
    """`cpu_quota` and `memory_limit` are at most what the host has."""
    runtime = config.runtime
    fitted = dataclasses.replace(
        runtime, cpu_quota=min(runtime.cpu_quota, float(CORES)), memory_limit=min(runtime.memory_limit, host_memory())
    )
    return dataclasses.replace(config, runtime=fitted)


def host_memory() -> int:
    """Bytes of memory that this host has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def serf_profile(gossip_interval: float, probe_interval: float) -> str | None:
    """The serf profile nearest to both intervals (seconds), or None when none is within a factor of two."""

    def factor(profile: str) -> float:
        pairs = zip((gossip_interval, probe_interval), SERF_PROFILES[profile], strict=True)
        return max(max(asked / given, given / asked) for asked, given in pairs)

    nearest = min(SERF_PROFILES, key=factor)
    return nearest if factor(nearest) <= 2 else None


def _security(config: Config) -> list[Problem]:
    security = config.security
    problems: list[Problem] = []
    if security.jwt_secret is not None:
        problems += problems_of("security.jwt_secret", security.jwt_secret, _TEXT_HINT)
    for key, text in (
        ("coordination.encrypt_key", config.coordination.encrypt_key),
        ("security.secrets_key", security.secrets_key),
        ("security.previous_secrets_key", security.previous_secrets_key),
    ):
        problems += [] if text is None else problems_of_key(key, text, _KEY_HINT)
    problems += [*_open_to_others(config), *_token_key(config)]
    if "*" in security.cors_origins and len(security.cors_origins) > 1:
        problems.append(Problem("security.cors_origins", '"*" beside others', '"*" alone, or origins'))
    for network in security.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            problems.append(Problem("security.trusted_proxies", network, "IP addresses or networks"))
    return problems


def _open_to_others(config: Config) -> list[Problem]:
    """Addresses where somebody on another host would meet a node that asks nobody who he is."""
    if config.security.auth_enabled:
        return []
    ports = {"bind_address": 8080, "metrics_address": 9090, "admin_address": 8081}
    if not config.observability.enable_metrics:
        del ports["metrics_address"]
    given = {name: getattr(config.networking, name) for name in ports}
    reached = {name: address for name, address in given.items() if not is_loopback(address)}
    if not reached:
        return []
    found = ", ".join(f"networking.{name} {address}" for name, address in reached.items())
    better = ", ".join(f"{name} = 127.0.0.1:{ports[name]}" for name in reached)
    return [
        Problem(
            "security.auth_enabled",
            f"false with {found}",
            "true, unless the node listens on loopback addresses only",
            f"set auth_enabled = true, or {better}",
        )
    ]


def _token_key(config: Config) -> list[Problem]:
    security, key = config.security, "security.jwt_public_key_path"
    path = security.jwt_public_key_path
    if security.jwt_algorithm == "HS256":
        return [] if path is None else [Problem(key, path, "nothing, because jwt_algorithm = HS256 has a secret")]
    if path is None:
        return [Problem(key, "nothing", f"a path, because jwt_algorithm = {security.jwt_algorithm}")]
    try:
        public_key(Path(path).read_bytes(), security.jwt_algorithm)
    except OSError:
        return []  # perhaps not for this user to read; the API, which needs it, refuses to start without
    except ValueError as error:
        return [Problem(key, f"{path}: {error}", f"a public key in PEM for {security.jwt_algorithm}")]
    return []


def _listeners(config: Config) -> list[Problem]:
    problems: list[Problem] = []
    seen: dict[int, str] = {}
    for name in ("bind_address", "metrics_address", "admin_address"):
        address = getattr(config.networking, name)
        _, port = split_address(address)
        if port in seen:
            problems.append(
                Problem(f"networking.{name}", address, "a port of its own", f"networking.{seen[port]} has {port} too")
            )
        seen[port] = name
    if not is_loopback(config.networking.admin_address):
        problems.append(
            Problem(
                "networking.admin_address",
                config.networking.admin_address,
                "a loopback address such as 127.0.0.1:8081",
            )
        )
    return problems


def _tls(config: Config) -> list[Problem]:
    if not config.networking.tls_enabled:
        return []
    required = config.networking.tls_client_auth == "required"
    needed = {"tls_cert_path": "tls_enabled = true", "tls_key_path": "tls_enabled = true"}
    needed |= {"tls_ca_path": 'tls_client_auth = "required"'} if required else {}
    return [
        Problem(f"networking.{name}", "nothing", f"a path, because {reason}")
        for name, reason in needed.items()
        if getattr(config.networking, name) is None
    ]


def _egress(config: Config) -> list[Problem]:
    problems: list[Problem] = []
    for text in config.runtime.egress_allow:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            problems.append(Problem("runtime.egress_allow", str(error), "addresses and networks such as 10.1.0.0/16"))
    return problems


def _signatures(config: Config) -> list[Problem]:
    if not config.security.require_signatures or config.security.trusted_keys:
        return []
    return [Problem("security.trusted_keys", "nothing", "a key, because require_signatures = true")]


def _serf_profile(config: Config) -> list[Problem]:
    own = config.coordination
    if serf_profile(own.gossip_interval, own.probe_interval) is not None:
        return []
    found = f"gossip {format_duration(own.gossip_interval)}, probe {format_duration(own.probe_interval)}"
    known = ", ".join(f"{name} {g:g}s/{p:g}s" for name, (g, p) in SERF_PROFILES.items())
    expected = f"within a factor of 2 of a profile of serf ({known})"
    return [Problem("coordination.gossip_interval", found, expected)]


def _tracing(config: Config) -> list[Problem]:
    endpoint = config.observability.otlp_endpoint
    if endpoint is None:
        needs = config.observability.enable_tracing
        return (
            [Problem("observability.otlp_endpoint", "nothing", "a URL, because enable_tracing = true")]
            if needs
            else []
        )
    try:
        url = urlsplit(endpoint)
        port, host = url.port, url.hostname
    except ValueError:
        port, host = None, None
    if not host:
        return [Problem("observability.otlp_endpoint", endpoint, 'a URL such as "http://collector:4318/v1/traces"')]
    if port == 4317:
        better = _http_endpoint(endpoint)
        return [
            Problem("observability.otlp_endpoint", f"{endpoint} (OTLP over gRPC)", "OTLP over HTTP", f"use {better}")
        ]
    return []


def _sockets(config: Config) -> list[Problem]:
    paths = config.paths
    longest = max((paths.router_socket, paths.executor_socket), key=lambda path: len(os.fsencode(path)))
    length = len(os.fsencode(longest))
    if length <= MAX_SOCKET_PATH:
        return []
    found = f"a directory that makes the socket {longest} {length} bytes long"
    hint = "use a shorter path, or set CAXTON_RUN_DIR to a short directory"
    return [Problem("coordination.local_state_path", found, f"at most {MAX_SOCKET_PATH} bytes", hint)]


def _http_endpoint(endpoint: str) -> str:
    url = urlsplit(endpoint)
    host = f"[{url.hostname}]" if url.hostname and ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}:4318/v1/traces"


def _profile_warning(config: Config) -> list[str]:
    own = config.coordination
    profile = serf_profile(own.gossip_interval, own.probe_interval)
    if profile is None or SERF_PROFILES[profile] == (own.gossip_interval, own.probe_interval):
        return []
    gossip, probe = SERF_PROFILES[profile]
    return [
        f"coordination.gossip_interval, probe_interval: serf has profiles only; chosen: {profile} "
        f"(gossip {format_duration(gossip)}, probe {format_duration(probe)})"
    ]


def _jaeger_warning(config: Config) -> list[str]:
    endpoint = config.observability.otlp_endpoint
    if endpoint is None:
        return []
    url = urlsplit(endpoint)
    if url.port != 14_268 and not url.path.endswith("/api/traces"):
        return []
    better = _http_endpoint(endpoint)
    return [f"observability.otlp_endpoint: {endpoint} is Jaeger's own format, not OTLP; use {better}"]


def _host_warnings(config: Config, origins: dict[str, str]) -> list[str]:
    found = []
    if config.runtime.cpu_quota > CORES and origins.get("runtime.cpu_quota") != "default":
        found.append(
            f"runtime.cpu_quota: {config.runtime.cpu_quota:g} asked for, this host has {CORES} cores; {CORES} hold"
        )
    memory = host_memory()
    if config.runtime.memory_limit > memory and origins.get("runtime.memory_limit") != "default":
        asked, given = format_size(config.runtime.memory_limit), format_size(memory)
        found.append(f"runtime.memory_limit: {asked} asked for, this host has {given}; {given} hold")
    return found


def _tls_files(config: Config) -> list[str]:
    """Warnings, because the certificate is the API's alone: a broken one must keep no other process from starting."""
    net = config.networking
    if not net.tls_enabled:
        return []
    missing = [f"networking.{name}: {getattr(net, name)} cannot be read" for name in unreadable(net)]
    unusable = why_unusable(net)
    return missing + ([f"networking.tls_cert_path: {unusable}; the API would not start"] if unusable else [])


def _token_warnings(config: Config) -> list[str]:
    security, found = config.security, []
    path = security.jwt_public_key_path
    if path and not readable(path):
        found.append(f"security.jwt_public_key_path: {path} cannot be read")
    if security.jwt_secret is not None and security.jwt_algorithm != "HS256":
        found.append(f"security.jwt_secret: opens nothing, because jwt_algorithm = {security.jwt_algorithm}")
    return found

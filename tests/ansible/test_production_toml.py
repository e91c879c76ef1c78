"""Every key of production.toml is a variable of caxton_node; what the role writes is what the program reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from caxton.config import load
from caxton.config.sections import KEYS, RELOADABLE, Config, value_of
from caxton.protocol.errors import CaxtonError, Code
from support.ansible_tree import ROOT, variables

Call = Callable[..., CompletedProcess[str]]
ROLE = ROOT / "roles" / "caxton_node"
DEFAULTS = variables(ROLE, "defaults")
OURS = variables(ROLE, "vars")
SECRETS = {key for key, kind in KEYS.items() if kind.secret}
FROM_THE_HOST = {"runtime.executor_workers", "networking.workers"}  # null: the program counts the cores
SECRET = "n3XkQ0e7YyVtqTz2cJmW8sLhB5rUfDgA"
EVERYTHING = {
    "runtime.executor_workers": 2,
    "runtime.wasm_features": ["threads", "gc"],
    "runtime.shareable_dirs": ["/srv/shared", '/srv/with "quotes" and \\ and ü'],
    "runtime.egress_allow": ["10.1.0.0/16", "fd00::7"],
    "networking.tls_enabled": True,
    "networking.tls_cert_path": "/opt/caxton/config/server.crt",
    "networking.tls_key_path": "/opt/caxton/config/server.key",
    "networking.tls_ca_path": "/opt/caxton/config/ca.crt",
    "networking.tls_client_auth": "required",
    "networking.workers": 3,
    "coordination.cluster_enabled": True,
    "coordination.node_id": "node1",
    "coordination.seeds": ["node1:7946", "node2:7946"],
    "coordination.encrypt_key": "cg8StVXbQJ0gPvMd9o7yrg==",
    "observability.log_file": "/opt/caxton/logs/caxton.log",
    "observability.enable_tracing": True,
    "observability.otlp_endpoint": "http://collector:4318/v1/traces",
    "security.jwt_secret": SECRET,
    "security.jwt_algorithm": "EdDSA",
    "security.jwt_public_key_path": "/opt/caxton/config/issuer.pem",
    "security.jwt_issuer": "https://issuer.example.com",
    "security.jwt_audience": "caxton",
    "security.cors_enabled": True,
    "security.cors_origins": ["https://dashboard.example.com"],
    "security.rate_limit_enabled": True,
    "security.trusted_proxies": ["10.0.1.20", "10.0.2.0/24"],
    "security.require_signatures": True,
    "security.trusted_keys": ["/opt/caxton/config/signer.pub"],
    "security.secrets_key": "jx0MW3o+ktRmAb/IfipTlNDhfD+Ii2ol+Q0x58Rasoo=",
    "security.previous_secrets_key": "2vX0c7q1mZ8hJw5tYkL4nRbE9sGf6uAiKdPjVxTzQo0=",
    "backup.encryption_recipient": "age1" + "q" * 58,
}


def variable(key: str) -> str:
    return "caxton_node_" + key.replace(".", "_")


def listed() -> set[str]:
    return {f"{section}.{key}" for section, keys in OURS["__caxton_node_keys"].items() for key in keys}


def test_every_key_is_a_variable_and_no_other() -> None:
    of_keys = {name for name in DEFAULTS if re.match("caxton_node_(?:" + "|".join(sections()) + ")_", name)}
    assert of_keys == {variable(key) for key in KEYS} - {variable("security.jwt_secret")}
    assert listed() == set(KEYS)


def sections() -> set[str]:
    return {key.split(".")[0] for key in KEYS}


def test_what_the_role_knows_of_the_keys_is_what_the_program_says() -> None:
    assert set(OURS["__caxton_node_reloadable_keys"]) == RELOADABLE
    assert set(OURS["__caxton_node_secrets"]) == SECRETS


@pytest.mark.parametrize("key", sorted(set(KEYS) - SECRETS - FROM_THE_HOST))
def test_the_default_is_the_program_s(key: str) -> None:
    said, program = DEFAULTS[variable(key)], value_of(Config(), key)
    assert (None if said is None else KEYS[key].check(said)) == program


def rendered(call: Call, directory: Path, values: dict[str, object]) -> Path:
    """production.toml as the role's template makes it, by Ansible itself."""
    target = directory / "production.toml"
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": DEFAULTS | OURS | values,
        "tasks": [
            {
                "ansible.builtin.template": {
                    "src": str(ROLE / "templates" / "production.toml.j2"),
                    "dest": str(target),
                    "mode": "0600",
                }
            }
        ],
    }
    (directory / "render.yml").write_text(json.dumps([play]))
    done = call("ansible-playbook", "-i", "localhost,", str(directory / "render.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def credentials(directory: Path, values: dict[str, object]) -> dict[str, str]:
    """The secrets as systemd hands them over."""
    (directory / "credentials").mkdir()
    for key in SECRETS & set(values):
        (directory / "credentials" / key.split(".")[1]).write_text(f"{values[key]}\n")
    return {"CREDENTIALS_DIRECTORY": str(directory / "credentials")}


def test_the_file_of_the_defaults_means_the_defaults(call: Call, tmp_path: Path) -> None:
    file = rendered(call, tmp_path, {variable("security.jwt_secret"): SECRET})
    assert SECRET not in file.read_text()
    loaded = load(file, credentials(tmp_path, {"security.jwt_secret": SECRET}))
    changed = {key for key in KEYS if value_of(loaded.config, key) != value_of(Config(), key)}
    fitted = {"runtime.cpu_quota", "runtime.memory_limit"}  # at most what this host has
    assert changed - fitted == {"security.jwt_secret"}


def test_a_file_where_everything_is_set_means_just_that(call: Call, tmp_path: Path) -> None:
    file = rendered(call, tmp_path, {variable(key): value for key, value in EVERYTHING.items()})
    loaded = load(file, credentials(tmp_path, EVERYTHING))
    for key, value in EVERYTHING.items():
        assert value_of(loaded.config, key) == KEYS[key].check(value), key


def test_everything_without_a_default_is_set_in_the_test_above() -> None:
    assert {key for key in KEYS if DEFAULTS.get(variable(key)) in (None, [])} <= set(EVERYTHING)


def test_a_wrong_file_is_refused(call: Call, tmp_path: Path) -> None:
    file = rendered(call, tmp_path, {variable("security.jwt_secret"): SECRET, variable("runtime.max_agents"): "many"})
    with pytest.raises(CaxtonError) as refused:
        load(file, {})
    assert refused.value.code is Code.CONFIG_INVALID

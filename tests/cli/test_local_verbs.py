from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import jwt

from support.served_node import ServedNode, run_cli

SECRET = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"
GUIDE = Path(__file__).parents[1] / "config" / "guide.toml"


def test_config_check_and_show() -> None:
    environ = {"JWT_SECRET": SECRET}
    good = run_cli("config", "check", "--file", str(GUIDE), env=environ)
    assert good.returncode == 0
    assert "14268" in good.stderr
    shown = run_cli("config", "show", "--origin", "--file", str(GUIDE), "--output", "json", env=environ)
    rows = {row["key"]: row for row in json.loads(shown.stdout)}
    assert rows["runtime.max_agents"]["value"] == 1000
    assert rows["runtime.max_agents"]["origin"] == f"file {GUIDE}"
    assert rows["networking.workers"]["origin"] == "default"
    assert SECRET not in shown.stdout
    table = run_cli("--config", str(GUIDE), "config", "show", env=environ)
    assert "runtime.max_agents" in table.stdout
    assert SECRET not in table.stdout


def test_config_check_lists_every_problem_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[runtime]\nmax_agents = 0\ncolor = 1\n")
    done = run_cli("config", "check", "--file", str(file))
    assert done.returncode == 1
    assert "runtime.max_agents" in done.stderr
    assert "runtime.color" in done.stderr
    assert "CONFIG_INVALID" in done.stderr


def test_a_token_is_signed_with_the_nodes_secret_and_ends() -> None:
    done = run_cli(
        *("token", "create", "--subject", "ci", "--role", "viewer", "--ttl", "1h", "-q"),
        env={"CAXTON_SECURITY__JWT_SECRET": SECRET},
    )
    claims = jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"], options={"require": ["exp", "sub", "iat"]})
    assert claims["sub"] == "ci"
    assert claims["exp"] - claims["iat"] == 3600


def test_without_a_secret_there_are_no_tokens() -> None:
    done = run_cli("token", "create", "--subject", "ci", "--role", "viewer")
    assert (done.returncode, "CONFIG_INVALID" in done.stderr) == (1, True)


def test_keys_are_made_listed_and_revoked_over_the_routers_socket(node: ServedNode) -> None:
    key = node.cli("key", "create", "--subject", "ci", "--role", "operator", "--ttl", "90d", "-q").stdout.strip()
    assert key.startswith("caxton_")
    listed = node.cli("key", "list", "--output", "json").stdout
    (row,) = [row for row in json.loads(listed) if row["subject"] == "ci"]
    assert row["expires_at"]
    assert key not in listed
    assert node.json("key", "revoke", row["key_id"])["revoked_at"]
    unknown = node.cli("key", "revoke", "0" * 16)
    assert (unknown.returncode, "KEY_NOT_FOUND" in unknown.stderr) == (1, True)


def test_db_status_and_upgrade(node: ServedNode, tmp_path: Path) -> None:
    found = node.json("db", "status")
    assert found["version"] == found["head"]
    running = node.cli("db", "upgrade")
    assert (running.returncode, "CONFLICT" in running.stderr) == (1, True)
    database = tmp_path / "local.db"
    environ = {"CAXTON_COORDINATION__LOCAL_STATE_PATH": str(database)}
    assert run_cli("db", "status", env=environ).returncode == 0
    assert run_cli("db", "upgrade", env=environ).returncode == 0
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE schema_info SET version = 99, compat = 99")
    connection.close()
    newer = run_cli("db", "upgrade", env=environ)
    assert (newer.returncode, "SCHEMA_TOO_NEW" in newer.stderr) == (1, True)
    assert run_cli("db", "status", env=environ).returncode == 1

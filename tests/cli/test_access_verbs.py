"""Keys and tokens with roles, made, turned and taken back on the node's host; its first key."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from caxton.protocol.access import Role
from support.served_node import ServedNode, run_cli, until

SECRET = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"


@pytest.fixture(scope="module")
def guarded() -> Iterator[ServedNode]:
    served = ServedNode(CAXTON_SECURITY__AUTH_ENABLED="true", CAXTON_SECURITY__JWT_SECRET=SECRET)
    try:
        yield served.start()
    finally:
        served.close()


def status(node: ServedNode, key: str = "", token: str = "") -> int:
    headers = {"X-API-Key": key} if key else {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{node.url}/api/v1/ledger", headers=headers).status_code


@pytest.mark.parametrize("verb", ["key", "token"])
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--role", "root"),
        ("--role", "agent-client"),
        ("--role", "agent-client", "--agents", ""),
        ("--role", "viewer", "--agents", "a"),
        ("--role", "viewer", "--namespace", "A/b"),
        ("--role", "viewer", "--ttl", "x"),
    ],
)
def test_nobody_gets_a_role_by_silence_or_by_mistake(
    guarded: ServedNode, verb: str, options: tuple[str, ...]
) -> None:
    done = guarded.cli(verb, "create", "--subject", "me", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr
    assert "\\t" not in done.stderr  # click's own tabs are room, not characters to be shown


def test_a_token_says_what_its_bearer_may_do(guarded: ServedNode) -> None:
    scope = ("--role", "agent-client", "--namespace", "team", "--agents", "team/billing, team/mail-*")
    made = guarded.json("token", "create", "--subject", "shop", *scope)
    claims = jwt.decode(made["token"], SECRET, algorithms=["HS256"])
    assert (claims["role"], claims["namespace"]) == (Role.AGENT_CLIENT, "team")
    assert claims["agents"] == ["team/billing", "team/mail-*"]
    assert claims["jti"] == made["jti"]
    assert status(guarded, token=made["token"]) == 403


@pytest.mark.parametrize("whole", [False, True], ids=["by its id", "by itself"])
def test_a_token_is_revoked(guarded: ServedNode, whole: bool) -> None:
    made = guarded.json("token", "create", "--subject", "me", "--role", "viewer", "--ttl", "2h")
    assert status(guarded, token=made["token"]) == 200
    answer = guarded.json("token", "revoke", "-", stdin=made["token"] if whole else made["jti"])
    assert answer["jti"] == made["jti"]
    assert ("expires_at" in answer) is whole
    until(lambda: status(guarded, token=made["token"]) == 401, "the token is refused", 5)
    assert made["jti"] in [item["jti"] for item in guarded.json("token", "list")]


def test_a_token_without_an_id_cannot_be_revoked(guarded: ServedNode) -> None:
    done = guarded.cli("token", "revoke", jwt.encode({"sub": "me"}, SECRET, "HS256"))
    assert (done.returncode, done.stdout) == (2, "")


def test_a_token_lasts_no_longer_than_a_year(guarded: ServedNode) -> None:
    done = guarded.cli("token", "create", "--subject", "me", "--role", "viewer", "--ttl", "400d")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_key_is_turned(guarded: ServedNode) -> None:
    old = guarded.json("key", "create", "--subject", "app", "--role", "viewer", "--namespace", "team")
    answer = guarded.json("key", "rotate", old["key_id"], "--overlap", "0s")
    fresh: dict[str, Any] = answer["made"]
    assert (fresh["role"], fresh["namespace"]) == (Role.VIEWER, "team")
    assert status(guarded, fresh["key"]) == 200
    until(lambda: status(guarded, old["key"]) == 401, "the old key has ended", 5)
    second = guarded.cli("key", "rotate", fresh["key_id"], "-q").stdout.strip()
    assert status(guarded, second) == 200
    third = guarded.cli("key", "create", "--subject", "app", "--role", "viewer")
    assert (third.returncode, "CONFLICT" in third.stderr, fresh["key_id"] in third.stderr) == (1, True, True)


def test_the_first_key_is_for_root_and_ends_with_the_first_administrators(guarded: ServedNode) -> None:
    path = guarded.directory / "bootstrap_key"
    bootstrap = ("key", "bootstrap", "--file", str(path))
    assert guarded.cli(*bootstrap).returncode == 0
    first = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert status(guarded, first) == 200
    assert guarded.cli(*bootstrap).returncode == 0
    second = path.read_text().strip()
    until(lambda: status(guarded, first) == 401, "the one before has ended", 5)
    assert status(guarded, second) == 200
    bound = guarded.json("key", "create", "--subject", "lead", "--role", "admin", "--namespace", "team")
    viewer = guarded.json("key", "create", "--subject", "eye", "--role", "viewer")
    assert guarded.cli(*bootstrap).returncode == 0
    third = path.read_text().strip()
    assert status(guarded, third) == 200  # a namespace's administrator, or a viewer, is not who is waited for
    admin = guarded.json("key", "create", "--subject", "me", "--role", "admin")
    until(lambda: status(guarded, third) == 401, "it was of use", 5)
    assert {status(guarded, key["key"]) for key in (bound, viewer, admin)} == {200}
    assert guarded.cli(*bootstrap).returncode == 0
    assert not path.exists()
    guarded.json("key", "revoke", admin["key_id"])
    assert guarded.cli(*bootstrap).returncode == 0  # whoever has lost all keys, and is root here, gets in again
    assert status(guarded, path.read_text().strip()) == 200


def test_a_node_that_asks_nobody_needs_no_first_key(node: ServedNode, tmp_path: Path) -> None:
    path = tmp_path / "bootstrap_key"
    path.write_text("old\n")
    assert node.cli("key", "bootstrap", "--file", str(path)).returncode == 0
    assert not path.exists()
    assert all(row["subject"] != "bootstrap" for row in node.json("key", "list"))


def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(guarded: ServedNode, tmp_path: Path) -> None:
    for row in guarded.json("key", "list"):
        guarded.json("key", "revoke", row["key_id"])
    target, path = tmp_path / "target", tmp_path / "bootstrap_key"
    target.write_text("mine")
    path.symlink_to(target)
    assert guarded.cli("key", "bootstrap", "--file", str(path)).returncode == 0
    assert (target.read_text(), path.is_symlink()) == ("mine", False)


def test_the_role_of_a_script_may_be_in_the_environment(guarded: ServedNode) -> None:
    environ = {**guarded.environ, "CAXTON_KEY_ROLE": "viewer"}
    done = run_cli("key", "create", "--subject", "script", "--output", "json", env=environ)
    assert json.loads(done.stdout)["role"] == Role.VIEWER

"""Secrets over HTTP and from the command line: never read back. And signatures, on their way in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from caxton.provenance import PrivateKey, key_id_of, sign
from caxton.selftest.wat import reactor
from support.served_node import ECHO, ServedNode

ASKS = reactor(
    """(i32.store8 (i32.const 1024) (i32.const 34))
    (local.set $got (call $secret (i32.const 16) (i32.const 6) (i32.const 1025) (i32.const 200)))
    (if (i32.lt_s (local.get $got) (i32.const 0)) (then (return (call $answer (local.get $got)))))
    (i32.store8 (i32.add (i32.const 1025) (local.get $got)) (i32.const 34))
    (call $reply (i32.const 1024) (i32.add (local.get $got) (i32.const 2)))""",
    extra='(data (i32.const 16) "team/s")',
    locals_="(local $got i32)",
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    key = tmp_path_factory.mktemp("key") / "secrets_key"
    key.write_text(
        base64.b64encode(bytes.fromhex("8f1d0c5b7a3e92d46601bfc87e2a5394d0e17c3f884b6a25f90d31e7c45ab286")).decode()
    )
    key.chmod(0o600)
    made = ServedNode(CAXTON_SECURITY__SECRETS_KEY_FILE=str(key))
    try:
        yield made.start()
    finally:
        made.close()


def test_a_secret_goes_in_and_only_its_agent_sees_it(node: ServedNode) -> None:
    assert node.json("secret", "set", "team/s", stdin="first\n")["version"] == 1
    agent = node.write("asks.wat", ASKS)
    node.json("agent", "deploy", agent, "--name", "team/asks", "--grant", "secrets=team/s")
    assert node.json("agent", "invoke", "team/asks", "1")["content"] == "first"
    value = node.write("value", "second")
    assert node.json("secret", "set", "team/s", "--from-file", value)["version"] == 2
    assert node.json("agent", "invoke", "team/asks", "1")["content"] == "second"
    listed = node.cli("secret", "list").stdout
    assert "team/s" in listed
    assert "second" not in listed
    assert node.json("secret", "remove", "team/s") == {"count": 1}
    assert node.json("agent", "invoke", "team/asks", "1")["content"] == -4
    again = node.cli("secret", "remove", "team/s")
    assert (again.returncode, "SECRET_NOT_FOUND" in again.stderr) == (1, True)


def test_there_is_no_argument_for_a_value(node: ServedNode) -> None:
    assert node.cli("secret", "set", "name", "value").returncode == 2


def test_a_signature_is_found_beside_the_module(node: ServedNode, tmp_path: Path) -> None:
    module, key = node.write("signed.wat", ECHO), node.directory / "signer"
    made = node.json("agent", "keygen", str(key))
    assert node.json("agent", "sign", module, "--key", str(key), "--for", "team/*")["key"] == made["key"]
    unknown = node.cli("agent", "deploy", module, "--name", "team/signed")
    assert (unknown.returncode, "SIGNATURE_REFUSED" in unknown.stderr) == (1, True)
    (node.directory / "signed.wat.sig").unlink()
    assert node.json("agent", "deploy", module, "--name", "team/signed")["signed_by"] is None


def test_json_carries_a_signature_too(node: ServedNode) -> None:
    import httpx

    key = PrivateKey.generate()
    text = sign(key, hashlib.sha256(ECHO.encode()).hexdigest(), "*")
    body = {"name": "json", "wat": ECHO, "signature": text}
    for method, url in (("POST", "/agents"), ("PUT", "/agents/team/signed")):
        asked = body if method == "POST" else {"wat": ECHO, "signature": text}
        answer = httpx.request(method, f"{node.url}/api/v1{url}", json=asked, timeout=30.0)
        assert answer.status_code == 422
        details = answer.json()["error"]["details"]
        assert (details["reason"], details["key_id"]) == ("unknown_key", key_id_of(key.public_key()))

"""The form of a signature, who may give one, and every reason to refuse one."""

from __future__ import annotations

import base64
import hashlib
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.protocol.errors import CaxtonError, Code
from caxton.provenance import Reason, Trust, key_id_of, new_key, parse_signature, read_private, sign
from caxton.provenance.keys import PrivateKey
from caxton.provenance.scope import covers, is_scope

MODULE = b"\0asm\1\0\0\0"
SHA256 = hashlib.sha256(MODULE).hexdigest()
KEY, OTHER = PrivateKey.generate(), PrivateKey.generate()
NOW = 1_700_000_000.0


def public(key: PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def refusal(trust: Trust, name: str, text: str | None, sha256: str = SHA256, *, required: bool = False) -> str:
    with pytest.raises(CaxtonError) as caught:
        trust.require(name, sha256, text, required=required, now=NOW)
    assert caught.value.code is Code.SIGNATURE_REFUSED
    return str(caught.value.details["reason"])


def test_a_good_signature_names_its_key() -> None:
    trust = Trust.load([f"team/*={public(KEY)}"])
    text = sign(KEY, SHA256, "team/*", int(NOW) + 1)
    assert trust.require("team/name", SHA256, text, required=True, now=NOW) == key_id_of(KEY.public_key())


def test_without_a_signature_it_depends_on_whether_one_is_required() -> None:
    trust = Trust.load([public(KEY)])
    assert trust.require("name", SHA256, None, required=False, now=NOW) is None
    assert refusal(trust, "name", None, required=True) == Reason.MISSING


@pytest.mark.parametrize("required", [True, False])
def test_each_way_of_being_wrong_has_its_reason(required: bool) -> None:
    trust = Trust.load([f"team/*={public(KEY)}"])
    good = sign(KEY, SHA256, "team/*")
    for reason, name, text, sha256 in [
        (Reason.MALFORMED, "team/a", "", SHA256),
        (Reason.MALFORMED, "team/a", "caxton-module-signature v2" + good[26:], SHA256),
        (Reason.MALFORMED, "team/a", good + "\n", SHA256),
        (Reason.MALFORMED, "team/a", good.replace("\n", "\r\n"), SHA256),
        (Reason.MALFORMED, "team/a", good.replace("never", "2026-02-31T00:00:00Z"), SHA256),
        (Reason.MALFORMED, "team/a", good.replace("team/*", "te*"), SHA256),
        (Reason.MALFORMED, "team/a", good + "x" * 3_000, SHA256),
        (Reason.UNKNOWN_KEY, "team/a", sign(OTHER, SHA256, "team/*"), SHA256),
        (Reason.WRONG_MODULE, "team/a", good, hashlib.sha256(b"another").hexdigest()),
        (Reason.NOT_FOR_NAMESPACE, "other/a", good, SHA256),
        (Reason.NOT_FOR_NAMESPACE, "team", good, SHA256),
        (Reason.NOT_FOR_NAMESPACE, "teams/a", good, SHA256),
        (Reason.NOT_FOR_NAMESPACE, "other/a", sign(KEY, SHA256, "*"), SHA256),
        (Reason.NOT_FOR_NAMESPACE, "team/b", sign(KEY, SHA256, "team/a"), SHA256),
        (Reason.EXPIRED, "team/a", sign(KEY, SHA256, "team/*", int(NOW)), SHA256),
    ]:
        assert refusal(trust, name, text, sha256, required=required) == reason, text


def test_no_line_can_be_changed_under_its_signature() -> None:
    trust = Trust.load([public(KEY), public(OTHER)])
    good = sign(KEY, SHA256, "team/*", int(NOW) + 10)
    other_id = key_id_of(OTHER.public_key())
    for before, after in [
        (SHA256, hashlib.sha256(b"another").hexdigest()),
        ("team/*", "*"),
        (key_id_of(KEY.public_key()), other_id),
        ("2023-11", "2033-11"),
    ]:
        assert before in good
        assert refusal(trust, "team/a", good.replace(before, after)) == Reason.INVALID


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_signature_or_is_refused_as_none(text: str) -> None:
    assert parse_signature(text) is None
    assert refusal(Trust.load([public(KEY)]), "name", text) == Reason.MALFORMED


def test_expiry_is_for_what_comes_in() -> None:
    trust = Trust.load([public(KEY)])
    text = sign(KEY, SHA256, "*", int(NOW) - 1)
    assert trust.require("a", SHA256, text, required=True) == key_id_of(KEY.public_key())


def test_a_scope_is_everything_a_namespace_or_one_agent() -> None:
    assert all(map(is_scope, ("*", "team/*", "name", "team/name")))
    assert not any(map(is_scope, ("", "**", "te*", "*/name", "team/", "team/na*", "a/b/*", "/*", "Team/*")))
    assert [covers("team/*", name) for name in ("team/a", "team", "team2/a", "a/team")] == [True, False, False, False]


def test_keys_come_as_files_and_as_text_each_with_its_scopes(tmp_path: Path) -> None:
    made = new_key(tmp_path / "one=1")
    (tmp_path / "raw").write_text(public(OTHER) + "\n")
    trust = Trust.load([f"a/*={tmp_path}/one=1.pub", f"{tmp_path}/raw", f"b/*={tmp_path}/one=1.pub"])
    assert len(trust) == 2
    for name in ("a/x", "b/x"):
        assert trust.require(name, SHA256, sign(made, SHA256, "*"), required=True, now=NOW)
    assert refusal(trust, "c/x", sign(made, SHA256, "*")) == Reason.NOT_FOR_NAMESPACE
    assert trust.require("c/x", SHA256, sign(OTHER, SHA256, "*"), required=True, now=NOW)


def test_a_new_key_is_for_its_owner_alone_and_never_replaces_one(tmp_path: Path) -> None:
    made = new_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert key_id_of(read_private(tmp_path / "key").public_key()) == key_id_of(made.public_key())
    with pytest.raises(CaxtonError) as caught:
        new_key(tmp_path / "key")
    assert caught.value.code is Code.CONFLICT


def test_what_is_no_key_is_refused_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no key")
    (tmp_path / "open.pub").write_text(public(KEY))
    (tmp_path / "open.pub").chmod(0o666)
    private = tmp_path / "private"
    new_key(private)
    for text in ("text", "nowhere", "open.pub", "private"):
        with pytest.raises(CaxtonError) as caught:
            Trust.load([public(KEY), f"team/*={tmp_path}/{text}"])
        assert caught.value.code is Code.CONFIG_INVALID
        assert "item 2" in caught.value.message
        assert caught.value.details["path"] == str(tmp_path / text)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_alone_makes_a_signature(tmp_path: Path) -> None:
    """The steps of app/docs/provenance.md, as a shell runs them."""
    page = (Path(__file__).parents[2] / "app" / "docs" / "provenance.md").read_text()
    script = page.split("```sh openssl\n")[1].split("```")[0]
    (tmp_path / "agent.wasm").write_bytes(MODULE)
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    trust = Trust.load([f"team/*={tmp_path}/signer.pub"])
    text = (tmp_path / "agent.wasm.sig").read_text()
    assert trust.require("team/agent", SHA256, text, required=True, now=NOW)
    assert refusal(trust, "other/agent", text) == Reason.NOT_FOR_NAMESPACE

"""Secrets of the node: whose files they may lie in, which are none, and that nothing shows them."""

from __future__ import annotations

import base64
import grp
import os
import secrets
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.config import PUBLIC, exposure, load
from caxton.config.sources import Raw
from caxton.config.weakness import is_guessable
from caxton.protocol.errors import CaxtonError, Code

SECRET = "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"
KEY = base64.b64encode(bytes.fromhex("8f1d0c5b7a3e92d46601bfc87e2a5394d0e17c3f884b6a25f90d31e7c45ab286")).decode()


def node(directory: Path, text: str) -> Path:
    file = directory / "node.toml"
    file.write_text(text)
    return file


def problems(caught: pytest.ExceptionInfo[CaxtonError]) -> dict[str, dict[str, str]]:
    assert caught.value.code is Code.CONFIG_INVALID
    return {one["path"]: one for one in caught.value.details["problems"]}


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o620, 0o660, 0o666, 0o777])
@pytest.mark.parametrize("name", ["secret", "caxton.env"])
def test_a_file_that_others_can_open_is_refused_with_its_mode_and_the_way_out(
    tmp_path: Path, name: str, mode: int
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "caxton.env").write_text("A=b\n")
    (tmp_path / "caxton.env").chmod(0o600)
    file = node(tmp_path, f'[security]\njwt_secret_file = "{tmp_path}/secret"')
    assert load(file, {}).config.security.jwt_secret == SECRET
    (tmp_path / name).chmod(mode)
    with pytest.raises(CaxtonError) as caught:
        load(file, {})
    (problem,) = problems(caught).values()
    assert str(tmp_path / name) in problem["found"]
    assert f"{mode:04o}" in problem["found"]
    assert problem["hint"] == f"chmod 0600 {tmp_path / name}"
    looking = load(file, {}, needed=PUBLIC)  # what looks after the node must be able to say so
    assert any(str(tmp_path / name) in warning for warning in looking.warnings)
    assert SECRET not in str(caught.value) + str(caught.value.details) + str(looking.warnings)


def test_a_file_may_be_read_by_the_services_group_and_by_no_other(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(0o640)
    assert exposure(path) is None  # root's group, or the private one of who runs this
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    foreign = next(one for one in grp.getgrall() if one.gr_name not in ("root", "caxton"))
    os.chown(path, 0, foreign.gr_gid)
    found = exposure(path)
    assert found is not None
    assert foreign.gr_name in found[0]
    path.chmod(0o600)
    assert exposure(path) is None
    os.chown(path, 12_345, 0)
    assert exposure(path) == (f"{path} owned by 12345", f"chown root {path}")


def test_a_secret_inside_a_readable_configuration_is_a_warning(tmp_path: Path) -> None:
    file = node(tmp_path, f'[security]\njwt_secret = "{SECRET}"')
    file.chmod(0o644)
    assert any("security.jwt_secret" in warning for warning in load(file, {}).warnings)
    file.chmod(0o600)
    assert load(file, {}).warnings == []


@pytest.mark.parametrize(
    "secret",
    [
        "your-jwt-secret",
        "your-jwt-secret-your-jwt-secret-your",
        "a" * 32,
        "ab" * 16,
        "abcdefgh" * 4,
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "0123456789012345678901234567890123456789",
        "supersecretsupersecretsupersecret1!",
        "Password1234!Password5678!Password90",
        "aaaaaaaabbbbbbbbccccccccddddddddeeeeffgh",
        "${JWT_SECRET}-changeme-0a8d7f6s5d4f3a2",
    ],
)
def test_what_people_type_is_no_secret(tmp_path: Path, secret: str) -> None:
    environ = {"SECRET_VALUE": secret}
    with pytest.raises(CaxtonError) as caught:
        load(node(tmp_path, '[security]\njwt_secret = "${SECRET_VALUE}"'), environ)
    assert list(problems(caught)) == ["security.jwt_secret"]
    assert secret not in str(caught.value) + str(caught.value.details)


@pytest.mark.parametrize("key", ["coordination.encrypt_key", "security.secrets_key", "security.previous_secrets_key"])
@pytest.mark.parametrize("raw", [bytes(32), b"a" * 32, bytes(range(32)), b"0123456789abcdef0123456789abcdef"])
def test_bytes_that_anybody_would_try_are_no_key(tmp_path: Path, key: str, raw: bytes) -> None:
    section, name = key.split(".")
    with pytest.raises(CaxtonError) as caught:
        load(node(tmp_path, f'[{section}]\n{name} = "{base64.b64encode(raw).decode()}"'), {})
    assert list(problems(caught)) == [key]


@given(st.sampled_from([string.hexdigits[:16], string.ascii_letters + string.digits]), st.integers(32, 64))
def test_a_random_secret_is_taken(alphabet: str, length: int) -> None:
    assert not is_guessable("".join(secrets.choice(alphabet) for _ in range(length)))


@given(st.sampled_from([16, 24, 32]))
def test_random_bytes_are_taken(length: int) -> None:
    assert not is_guessable(secrets.token_bytes(length).decode("latin-1"))


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    text = f'[security]\njwt_secret = "{SECRET}"\nsecrets_key = "{KEY}"\n[coordination]\nencrypt_key = "{KEY}"'
    loaded = load(node(tmp_path, text), {})
    shown = repr(loaded) + str(loaded.config) + repr(loaded.config.security) + repr(Raw(SECRET, "somewhere"))
    assert SECRET not in shown
    assert KEY not in shown

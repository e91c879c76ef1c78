"""The public key for tokens: its kind and its size are judged before a node starts with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from caxton.config import load
from caxton.protocol.errors import CaxtonError

RSA = rsa.generate_private_key(65_537, 2_048)
ED25519 = ed25519.Ed25519PrivateKey.generate()


def pem(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def configured(directory: Path, algorithm: str, key: bytes | None) -> Path:
    path = directory / "key.pem"
    if key is not None:
        path.write_bytes(key)
    file = directory / "node.toml"
    file.write_text(f'[security]\njwt_algorithm = "{algorithm}"\njwt_public_key_path = "{path}"\n')
    return file


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", pem(RSA)), ("EdDSA", pem(ED25519))])
def test_a_good_key_is_taken(tmp_path: Path, algorithm: str, key: bytes) -> None:
    loaded = load(
        configured(tmp_path, algorithm, key), {"CAXTON_SECURITY__JWT_SECRET": "rQ5v0dY3m8KpXw1sTz7uBn4cGh6jLf2a"}
    )
    assert loaded.config.security.jwt_algorithm == algorithm
    assert any("jwt_secret: opens nothing" in warning for warning in loaded.warnings)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", pem(ED25519)),
        ("EdDSA", pem(RSA)),
        ("RS256", pem(rsa.generate_private_key(65_537, 1_024))),
        ("EdDSA", pem(ec.generate_private_key(ec.SECP256R1()))),
        ("RS256", RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
        ("RS256", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
        ("RS256", b""),
        ("RS256", b"\xff" * 100),
        ("HS256", pem(RSA)),
    ],
    ids=["Ed25519", "RSA", "1024 bits", "a curve", "private", "damaged", "empty", "binary", "HS256"],
)
def test_another_is_refused_at_its_path(tmp_path: Path, algorithm: str, key: bytes) -> None:
    with pytest.raises(CaxtonError) as refused:
        load(configured(tmp_path, algorithm, key), {})
    (problem,) = refused.value.details["problems"]
    assert problem["path"] == "security.jwt_public_key_path"


def test_none_at_all_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[security]\njwt_algorithm = "EdDSA"\n')
    with pytest.raises(CaxtonError) as refused:
        load(file, {})
    assert [one["path"] for one in refused.value.details["problems"]] == ["security.jwt_public_key_path"]


def test_one_that_is_not_there_is_a_warning_for_those_who_do_not_need_it(tmp_path: Path) -> None:
    warnings = load(configured(tmp_path, "EdDSA", None), {}).warnings
    assert any("jwt_public_key_path" in warning and "cannot be read" in warning for warning in warnings)

"""Ed25519 keys as files and text.

Owns how they are read, made and named. Must never print a private one, or write one that others can read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from caxton.protocol.errors import CaxtonError, Code

PrivateKey = Ed25519PrivateKey
PublicKey = Ed25519PublicKey
KEY_BYTES: Final = 32
KEY_ID_DIGITS: Final = 16
_MAX_FILE_BYTES: Final = 10_000


def key_id_of(key: PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the 32 bytes that are the public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:KEY_ID_DIGITS]


def public_from_base64(text: str) -> PublicKey | None:
    """A public key written as base64 of its 32 bytes; None for anything else."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return Ed25519PublicKey.from_public_bytes(raw) if len(raw) == KEY_BYTES else None


def read_public(path: Path) -> PublicKey:
    """The public key in a file: PEM, or base64 of its 32 bytes. `CONFIG_INVALID` for anything else."""
    data = _read(path)
    try:
        text = data.decode("ascii")
        found = serialization.load_pem_public_key(data) if "-----BEGIN" in text else public_from_base64(text)
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PublicKey):
        raise _invalid(path, "holds no ed25519 public key", "PEM (openssl pkey -pubout), or base64 of its 32 bytes")
    return found


def read_private(path: Path) -> PrivateKey:
    """The private key in a PEM file (PKCS#8, not encrypted). `CONFIG_INVALID` for anything else."""
    try:
        found = serialization.load_pem_private_key(_read(path), password=None)
    except TypeError:
        raise _invalid(path, "is encrypted", "openssl pkey -in FILE -out DECRYPTED") from None
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, Ed25519PrivateKey):
        raise _invalid(path, "holds no ed25519 private key", "PEM: openssl genpkey -algorithm ed25519")
    return found


def new_key(path: Path) -> PrivateKey:
    """A fresh key in `path` (0600) and its public half in `path`.pub; `CONFLICT` when one is there."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    beside = path.with_name(f"{path.name}.pub")
    for target in (path, beside):
        if target.exists():
            raise CaxtonError(
                Code.CONFLICT, f"{target} is there already; a key is never overwritten", path=str(target)
            )
    _write(path, private, 0o600)
    _write(beside, public, 0o644)
    return key


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise _invalid(path, f"cannot be written: {error.strerror}", "a directory that you may write to") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such path"
        raise _invalid(path, f"cannot be read: {reason}", "a readable file") from None


def _invalid(path: Path, what: str, expected: str) -> CaxtonError:
    return CaxtonError(Code.CONFIG_INVALID, f"{path} {what}; expected: {expected}", path=str(path), expected=expected)

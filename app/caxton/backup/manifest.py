"""Manifests: what a backup holds, written beside it and, for the state, inside it as well.

Owns their shape and their bytes. Must never believe one: `verify` compares it with the file.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from caxton import __version__
from caxton.backup.faults import Fault, invalid
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.views import Counts

FORMAT: Final = 1


class FileSums(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file as it lies there, and (state only) the database that it unpacks to."""

    size_bytes: int
    sha256: str
    database_bytes: int | None = None
    database_sha256: str | None = None


class Module(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A module inside the backup."""

    sha256: str
    size_bytes: int


class ConfigFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the configuration; no checksum when the backup is encrypted: it would tell of secrets."""

    name: str
    size_bytes: int
    sha256: str | None = None


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When, where and by which release it was made."""

    created_at: str
    node: str
    software: str


class StateManifest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="state", tag_field="kind"
):
    """Of a backup of the state. `rows` by table; `ledger` = the sum over all agents; `file` only outside."""

    format: int = FORMAT
    origin: Origin
    schema_version: int
    schema_compat: int
    rows: dict[str, int]
    ledger: Counts
    modules: list[Module]
    file: FileSums | None = None


class ConfigManifest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="config", tag_field="kind"
):
    """Of a backup of the configuration. `left_out`: what is not in it, because it is secret."""

    format: int = FORMAT
    origin: Origin
    encrypted: bool
    files: list[ConfigFile]
    left_out: list[str]
    file: FileSums | None = None


Manifest: TypeAlias = StateManifest | ConfigManifest


class _Format(msgspec.Struct):
    format: int


_decoder: Final[msgspec.json.Decoder[Manifest]] = msgspec.json.Decoder(Manifest)


def origin(taken_at: float) -> Origin:
    """This node, this release."""
    return Origin(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken_at)), socket.gethostname(), __version__)


def render(manifest: Manifest) -> bytes:
    """The bytes of a manifest; equal manifests have equal bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def parse(document: bytes, path: Path) -> Manifest:
    """The manifest in `document`; `BACKUP_INVALID` for anything but the bytes that were written.

    `SCHEMA_TOO_NEW` for the format of a newer release.
    """
    try:
        if msgspec.json.decode(document, type=_Format).format > FORMAT:
            raise CaxtonError(
                Code.SCHEMA_TOO_NEW, f"{path}: the backup was made by a newer release: install that", path=str(path)
            )
        manifest = _decoder.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise invalid(path, Fault.MANIFEST, f"the manifest cannot be read: {error}") from None
    if render(manifest) != document:
        raise invalid(path, Fault.MANIFEST, "the manifest was changed after it was written")
    return manifest


def without_file(manifest: StateManifest) -> StateManifest:
    """The manifest as it is inside the backup, where the sums of the file cannot be."""
    return msgspec.structs.replace(manifest, file=None)

"""What a backup of the configuration must be: the archive that its manifest says, file by file.

Owns these checks. Must never unpack anything to disk. An encrypted one is compared as a whole: its key is elsewhere.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path
from typing import IO, Final, cast

from caxton.backup.faults import Fault, invalid
from caxton.backup.layout import Entry
from caxton.backup.manifest import ConfigManifest, parse
from caxton.backup.packing import sums

_AGE_HEADER: Final = b"age-encryption.org/v1\n"
_OTHER_FILES: Final = "it holds other files than its manifest says"
_ELSEWHERE: Final = frozenset({"", ".", ".."})
_SPECIAL: Final = 0o7000
_CHUNK: Final = 1 << 20
_HEADER_BYTES: Final = 64 * 1024
"""What stands between two members, and at the end; tarfile reads ahead by 10 KiB."""
ENCRYPTED: Final = "it is encrypted: compared with its checksum, not opened"


def verify_configuration(entry: Entry) -> list[str]:
    """What there is to say about a backup that holds; `BACKUP_INVALID` otherwise."""
    try:
        document = entry.manifest.read_bytes()
    except FileNotFoundError:
        raise invalid(entry.path, Fault.MANIFEST, "its manifest is missing") from None
    manifest = parse(document, entry.manifest)
    if not isinstance(manifest, ConfigManifest) or manifest.file is None or manifest.encrypted != entry.encrypted:
        raise invalid(entry.manifest, Fault.MANIFEST, "the manifest is not one of this backup")
    if sums(entry.path) != manifest.file:
        raise invalid(entry.path, Fault.CHECKSUM, "it is not the file that its manifest is of")
    if entry.encrypted:
        with entry.path.open("rb") as file:
            if file.read(len(_AGE_HEADER)) != _AGE_HEADER:
                raise invalid(entry.path, Fault.DAMAGED, "it is not encrypted by age")
        return [ENCRYPTED]
    _compare(entry.path, manifest)
    return []


def _compare(path: Path, manifest: ConfigManifest) -> None:
    expected = {file.name: (file.size_bytes, file.sha256) for file in manifest.files}
    found: dict[str, tuple[int, str | None]] = {}
    try:
        with gzip.open(path) as file:
            bounded = _Bounded(file)
            with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r|") as archive:  # tarfile only reads
                for member in archive:
                    name = _name(path, member)
                    if name in found or name not in expected or member.size != expected[name][0]:
                        raise invalid(path, Fault.ROWS, _OTHER_FILES)
                    bounded.left = member.size + _HEADER_BYTES
                    found[name] = (member.size, _digest(archive, member))
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise invalid(path, Fault.DAMAGED, f"it cannot be read: {error}") from None
    if found != expected:
        raise invalid(path, Fault.ROWS, _OTHER_FILES)


class _Bounded:
    """A file of which `left` bytes may be read: tarfile holds headers in memory, however long they claim to be."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self.left = _HEADER_BYTES

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise tarfile.ReadError("a header is too large")
        return data


def _name(path: Path, member: tarfile.TarInfo) -> str:
    """The member's name below the archive's one folder; refused unless whoever unpacks it gets a file right there."""
    parts = member.name.split("/")
    if not member.isreg() or member.issparse() or member.mode & _SPECIAL or _ELSEWHERE.intersection(parts):
        raise invalid(path, Fault.DAMAGED, f"{member.name[:200]!r} is no plain file of the configuration")
    return "/".join(parts[1:])


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Read in pieces: how large a member is, whoever made the archive says."""
    content, digest = archive.extractfile(member), hashlib.sha256()
    assert content is not None  # a regular file has content
    while chunk := content.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()

"""What a backup of the configuration must be: the archive that its manifest says, file by file.

Owns these checks. Must never unpack anything to disk. An encrypted one is compared as a whole: its key is elsewhere.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from pathlib import Path
from typing import Final

from caxton.backup.faults import Fault, invalid
from caxton.backup.layout import Entry
from caxton.backup.manifest import ConfigManifest, parse
from caxton.backup.packing import sums

_AGE_HEADER: Final = b"age-encryption.org/v1\n"
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
    found = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is None:
                    raise invalid(path, Fault.DAMAGED, f"{member.name} is no file")
                data = content.read()
                found[member.name.split("/", 1)[-1]] = (len(data), hashlib.sha256(data).hexdigest())
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise invalid(path, Fault.DAMAGED, f"it cannot be read: {error}") from None
    if found != {file.name: (file.size_bytes, file.sha256) for file in manifest.files}:
        raise invalid(path, Fault.ROWS, "it holds other files than its manifest says")

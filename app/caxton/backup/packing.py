"""Packing a database with gzip and unpacking it, in streams, with checksums of both sides.

Owns the compressed form. Must never read a table.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import Final

from caxton.backup import files
from caxton.backup.faults import Fault, invalid
from caxton.backup.manifest import FileSums

LEVEL: Final = 1
_CHUNK: Final = 1 << 20
_SYNC_BYTES: Final = 8 << 20
"""Flushed in small parts: the sync of the node's log may have to wait for the whole of another file's flush."""
_ROOM_BYTES: Final = 64 << 20
"""How often the room on the disk is looked at while something unpacks."""
_GZIP: Final = zlib.MAX_WBITS | 16


def pack(source: Path, target: Path) -> FileSums:
    """Compresses `source` into the new file `target`, which is on disk when this returns."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    plain, packed, plain_bytes, packed_bytes = hashlib.sha256(), hashlib.sha256(), 0, 0
    with source.open("rb") as reader, open(files.create(target), "wb") as writer:
        ended, synced = False, 0
        while not ended:
            chunk = reader.read(_CHUNK)
            plain.update(chunk)
            plain_bytes += len(chunk)
            ended = not chunk
            out = packer.flush() if ended else packer.compress(chunk)
            packed.update(out)
            packed_bytes += len(out)
            writer.write(out)
            if ended or packed_bytes - synced > _SYNC_BYTES:
                writer.flush()
                os.fsync(writer.fileno())
                synced = packed_bytes
    return FileSums(packed_bytes, packed.hexdigest(), plain_bytes, plain.hexdigest())


def unpack(source: Path, target: Path, *, most: int | None = None, reserve: int = 0) -> FileSums:
    """Decompresses `source` into the new file `target`; `BACKUP_INVALID` when it is not one whole gzip stream.

    `most`: the bytes that it may become, as far as somebody says so. What a stream claims of itself is not believed:
    `reserve` bytes stay free on the disk, else `STORAGE_FULL`.
    """
    unpacker = zlib.decompressobj(_GZIP)
    plain, packed, plain_bytes, packed_bytes = hashlib.sha256(), hashlib.sha256(), 0, 0
    with source.open("rb") as reader, open(files.create(target), "wb") as writer:
        while chunk := reader.read(_CHUNK):
            packed.update(chunk)
            packed_bytes += len(chunk)
            try:
                while chunk:  # in pieces: a crafted chunk unpacks to a thousand times its size
                    out = unpacker.decompress(chunk, _CHUNK)
                    plain.update(out)
                    plain_bytes += len(out)
                    if most is not None and plain_bytes > most:
                        raise invalid(
                            source, Fault.CHECKSUM, f"it becomes more than the {most} bytes of its manifest"
                        )
                    if plain_bytes // _ROOM_BYTES > (plain_bytes - len(out)) // _ROOM_BYTES:
                        files.require_room(target.parent, _ROOM_BYTES, reserve)
                    writer.write(out)
                    chunk = unpacker.unconsumed_tail
            except zlib.error as error:
                raise invalid(source, Fault.DAMAGED, f"it cannot be decompressed: {error}") from None
            if unpacker.unused_data:
                raise invalid(source, Fault.DAMAGED, "something follows after the end of the backup")
        rest = unpacker.flush()  # at most one match that was cut by the size of a piece
        plain.update(rest)
        plain_bytes += len(rest)
        writer.write(rest)
        if not unpacker.eof:
            raise invalid(source, Fault.TRUNCATED, "it ends too early: the file is not complete")
    return FileSums(packed_bytes, packed.hexdigest(), plain_bytes, plain.hexdigest())


def sums(path: Path) -> FileSums:
    """Size and checksum of a file as it lies there."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as reader:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileSums(size, digest.hexdigest())


def unpacked_bytes(path: Path) -> int:
    """What the end of a gzip file claims of its unpacked size, modulo 4 GiB; 0 when it is too short to say."""
    with path.open("rb") as reader:
        if os.fstat(reader.fileno()).st_size < 18:
            return 0
        reader.seek(-4, os.SEEK_END)
        return int.from_bytes(reader.read(4), "little")

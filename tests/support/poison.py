"""Run on a machine as the executor's user, who has the cache and its key: replaces machine code in artifacts.

Standard input: JSON, a system call by module's sha256: `[number, arguments]`, an argument a number or text. What it
writes is authenticated like the supervisor's own, so that nothing but the worker's walls is left.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # -I: only what is named here
from support.native_payload import Call, poisoned

CACHE = Path("/var/cache/caxton-executor")
MAC_BYTES = 32


def poison(path: Path, call: Call, key: bytes) -> None:
    stored = path.read_bytes()
    (length,) = struct.unpack_from("<I", stored, MAC_BYTES)
    header = stored[MAC_BYTES : MAC_BYTES + 4 + length]
    artifact = poisoned(stored[MAC_BYTES + len(header) :], call)
    digest = hashlib.blake2b(path.name.encode() + b"\0" + header, key=key, digest_size=MAC_BYTES)
    digest.update(artifact)
    path.write_bytes(digest.digest() + header + artifact)


def main() -> None:
    cache = next(path.parent for path in CACHE.rglob("key"))
    key = (cache / "key").read_bytes()
    for sha256, (number, arguments) in json.load(sys.stdin).items():
        (path,) = cache.glob(f"{sha256}-*.artifact")
        values = tuple(value.encode() + b"\0" if isinstance(value, str) else value for value in arguments)
        poison(path, Call(number, values), key)
    print("poisoned")


if __name__ == "__main__":
    main()

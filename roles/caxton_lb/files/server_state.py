"""Keeps what haproxy knows of its servers over a reload: who is drained, who is down.

Owns the file of `server-state-file`. Must never leave an old one behind: haproxy would believe it, and take a node out that was
put back long ago.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

SECONDS = 5.0


def ask(path: str) -> bytes:
    """What `show servers state` answers on the admin socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        connection.connect(path)
        connection.sendall(b"show servers state\n")
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def main(address: str, target: str) -> int:
    """Writes the file as a whole; without an answer there is none, and haproxy starts from its checks alone."""
    path = Path(target)
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_bytes(ask(address))
        os.chmod(beside, 0o600)
        beside.replace(path)
    except OSError as error:
        path.unlink(missing_ok=True)
        print(f"the servers' state is not kept: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))

"""Keeps what haproxy knows of its servers over a reload: who is drained, who is down.

    server_state.py SOCKET STATE_FILE CONFIGURATION

Owns the file of `server-state-file`. Must never leave an old one behind: haproxy would believe it, and take a node
out that was put back long ago. Nor may a server that has moved be in it: haproxy would go on sending to the old
address.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

SECONDS = 5.0
SERVER = re.compile(rb"^\s+server (\S+) (\S+):(\d+)", re.MULTILINE)
NAME, ADDRESS, PORT = 3, 4, 18
"""Columns of `show servers state`, version 1."""


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


def kept(state: bytes, configuration: bytes) -> bytes:
    """The lines of those servers that are where the new configuration has them."""
    places = set(SERVER.findall(configuration))
    lines = []
    for line in state.splitlines():
        row = line.split()
        moved = len(row) > PORT and row[0].isdigit() and (row[NAME], row[ADDRESS], row[PORT]) not in places
        if not moved:
            lines.append(line)
    return b"\n".join(lines) + b"\n"


def main(address: str, target: str, configuration: str) -> int:
    """Writes the file as a whole; without an answer there is none, and haproxy starts from its checks alone."""
    path = Path(target)
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_bytes(kept(ask(address), Path(configuration).read_bytes()))
        os.chmod(beside, 0o600)
        beside.replace(path)
    except OSError as error:
        path.unlink(missing_ok=True)
        print(f"the servers' state is not kept: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

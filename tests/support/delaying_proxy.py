"""`python -m support.delaying_proxy PORT SECONDS`: passes on what was redirected to it, each way so much later.

Owns its connections. Must never read what it passes on.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress

from support.namespaces import PROXY_MARK

_ORIGINAL_DESTINATION = 80
_CHUNK = 65_536


def _meant(sock: socket.socket) -> tuple[str, int]:
    """Where the connection was going before it was redirected here."""
    port, address = struct.unpack_from("!2xH4s", sock.getsockopt(socket.SOL_IP, _ORIGINAL_DESTINATION, 16))
    return socket.inet_ntoa(address), port


async def _later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Bytes keep their distance in time, as on a long line; so does the end."""
    loop = asyncio.get_running_loop()
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except ConnectionError:
                data = b""
            line.put_nowait((loop.time() + seconds, data))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, data = await line.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                return
            writer.write(data)
            await writer.drain()
    finally:
        reading.cancel()
        writer.close()


async def _serve(port: int, seconds: float) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PROXY_MARK)
        own.setblocking(False)
        with suppress(OSError):
            await asyncio.get_running_loop().sock_connect(own, _meant(writer.get_extra_info("socket")))
            there, back = await asyncio.open_connection(sock=own)
            ways = (_later(reader, back, seconds), _later(there, writer, seconds))
            await asyncio.gather(*ways, return_exceptions=True)
        writer.close()

    server = await asyncio.start_server(pass_on, "0.0.0.0", port)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))

"""Which nodes nginx sends requests to: those whose GET /ready answers 200.

nginx without its commercial part asks no node anything; what it learns it learns from requests that failed, and
there a node that is not ready cannot be told from an agent that answers 503. This is the missing check, with
haproxy's rules: `fall` failures in a row take a node out, `rise` successes bring it back, and in between it is asked
more often. And a node is out as long as a file of its name lies in the directory `drained`, whatever it answers.

Owns the file that nginx includes into its upstream. Must never take the last node out, nor signal nginx itself: a
path unit of systemd reloads it when the file changes, and keeps a copy of what it reloaded. A change that comes while
a reload is under way starts no other one, so this program compares, and writes the file once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINE_BYTES = 4096
PUBLISH_SECONDS = 0.5
PATIENCE_SECONDS = 3.0
"""How long a reload may take before the file is written once more."""


@dataclass
class Node:
    """One node and what was seen of it. `ready` None = not asked yet; `streak` = answers in a row against it."""

    name: str
    address: str
    port: int
    drained: bool
    marked: bool = False
    ready: bool | None = None
    streak: int = 0

    def saw(self, ready: bool, fall: int, rise: int) -> bool:
        """Takes one answer; whether that changed the verdict. The very first one is the verdict."""
        if self.ready is None:
            self.ready = ready
            return True
        self.streak = 0 if ready == self.ready else self.streak + 1
        if self.streak < (rise if ready else fall):
            return False
        self.ready, self.streak = ready, 0
        return True


def tls_context(settings: dict[str, Any]) -> ssl.SSLContext | None:
    """How the nodes' certificates are verified, or None where they speak plain HTTP."""
    if not settings["node_tls"]:
        return None
    context = ssl.create_default_context(cafile=settings["node_ca"])
    context.check_hostname = bool(settings["node_tls_name"])
    return context


async def answers_200(node: Node, settings: dict[str, Any], context: ssl.SSLContext | None) -> bool:
    """One GET /ready on a connection of its own."""
    name = settings["node_tls_name"] if context else None
    with contextlib.suppress(OSError, TimeoutError, ssl.SSLError, ValueError):
        async with asyncio.timeout(settings["timeout"]):
            reader, writer = await asyncio.open_connection(
                node.address, node.port, ssl=context, server_hostname=name or (node.address if context else None)
            )
            try:
                head = f"GET /ready HTTP/1.1\r\nHost: {settings['host']}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                line = await reader.readline()
            finally:
                writer.close()
            return line[:LINE_BYTES].split(b" ")[1:2] == [b"200"]
    return False


def servers(nodes: list[Node]) -> str:
    """The lines of nginx's upstream. Without any ready node all but the drained stay: their own answer says more."""
    nobody = not any(node.ready and not node.drained and not node.marked for node in nodes)
    lines = ["# Written by caxton-lb-ready.service; changes here are lost."]
    for node in nodes:
        out = node.drained or node.marked or (not node.ready and not nobody)
        # max_fails=0: nginx's own verdict would come from clients' requests, and so be at the mercy of any client.
        lines.append(f"server {node.address}:{node.port} max_fails=0{' down' if out else ''}; # {node.name}")
    return "\n".join(lines) + "\n"


def says(path: Path, text: str) -> bool:
    """Whether the file is there and holds exactly this."""
    return path.exists() and path.read_text() == text


def write(path: Path, text: str) -> None:
    """Replaces the file as a whole, which starts a reload."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.chmod(beside, 0o644)
    beside.replace(path)


def look_at_marks(nodes: list[Node], directory: Path) -> None:
    """Takes over what an operator says."""
    for node in nodes:
        marked = (directory / node.name).exists()
        if marked != node.marked:
            node.marked = marked
            print(f"{node.name} is {'drained' if marked else 'no longer drained'} by an operator", flush=True)


async def publish(nodes: list[Node], settings: dict[str, Any]) -> None:
    """Keeps the file true for ever, once something is known of every node."""
    path, in_force, written = Path(settings["servers"]), Path(settings["in_force"]), 0.0
    while True:
        look_at_marks(nodes, Path(settings["drained"]))
        if all(node.ready is not None for node in nodes):
            text = servers(nodes)
            overdue = time.monotonic() - written > PATIENCE_SECONDS
            if not says(path, text) or (overdue and not says(in_force, text)):
                write(path, text)
                written = time.monotonic()
        await asyncio.sleep(PUBLISH_SECONDS)


async def watch(node: Node, settings: dict[str, Any], context: ssl.SSLContext | None) -> None:
    """Asks one node for ever."""
    while True:
        ready = await answers_200(node, settings, context)
        if node.saw(ready, settings["fall"], settings["rise"]):
            print(f"{node.name} is {'ready' if ready else 'not ready'}", flush=True)
        await asyncio.sleep(settings["fast_interval"] if node.streak else settings["interval"])


async def main(path: str) -> None:
    """Runs until it is ended."""
    settings = json.loads(Path(path).read_text())
    nodes = [Node(one["name"], one["address"], one["port"], one["drained"]) for one in settings["nodes"]]
    context = tls_context(settings)
    async with asyncio.TaskGroup() as group:
        group.create_task(publish(nodes, settings))
        for node in nodes:
            group.create_task(watch(node, settings, context))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))

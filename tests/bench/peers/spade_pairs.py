"""The SPADE peer: pairs of agents that pass one message back and forth.

Runs in the peers' environment (app/requirements-bench.txt), never in Caxton's. `spade_pairs.py PAIRS SECONDS
local` keeps all agents in one process, where SPADE hands messages over in memory; `… xmpp` puts the two halves
of each pair into two processes, so that messages pass SPADE's XMPP server. Nothing is durable in either.
Prints one JSON line: messages per second, both directions counted.
"""

import asyncio
import json
import os
import subprocess
import sys
import time

import spade
from spade.agent import Agent
from spade.behaviour import CyclicBehaviour
from spade.message import Message

BODY = "x" * 512
received = 0


class Echo(CyclicBehaviour):
    """Answers every message to where it came from."""

    async def run(self) -> None:
        """One message."""
        global received
        message = await self.receive(timeout=10)
        if message is None:
            return
        received += 1
        await self.send(informing(str(message.sender).split("/")[0]))


class Player(Agent):
    """One side of a pair."""

    async def setup(self) -> None:
        """Starts to answer."""
        self.echo = Echo()
        self.add_behaviour(self.echo)


def informing(receiver: str) -> Message:
    """An inform of 512 bytes."""
    message = Message(to=receiver, body=BODY)
    message.set_metadata("performative", "inform")
    return message


async def players(names: list[str]) -> list[Player]:
    """Registered and started agents."""
    made = [Player(f"{name}@localhost", "secret") for name in names]
    for player in made:
        await player.start(auto_register=True)
    return made


async def second_half(pairs: int) -> None:
    """The other process of `xmpp`: answers until it is ended."""
    await players([f"b{i}" for i in range(pairs)])
    print("up", flush=True)
    await asyncio.sleep(3600)


async def first_half(pairs: int, seconds: float, mode: str) -> None:
    """Kicks off every pair and counts."""
    other = None
    if mode == "xmpp":
        arguments = [sys.executable, __file__, str(pairs), str(seconds), "answer"]
        other = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        await asyncio.get_running_loop().run_in_executor(None, other.stdout.readline)
    else:
        await players([f"b{i}" for i in range(pairs)])
    mine = await players([f"a{i}" for i in range(pairs)])
    for i, player in enumerate(mine):
        await player.echo.send(informing(f"b{i}@localhost"))
    await asyncio.sleep(1.0)
    first, started = received, time.perf_counter()
    await asyncio.sleep(seconds)
    both_ways = 2 if other else 1
    rate = both_ways * (received - first) / (time.perf_counter() - started)
    print(json.dumps({"pairs": pairs, "mode": mode, "messages_per_second": rate}), flush=True)
    if other:
        other.kill()
    os.killpg(0, 9)  # the embedded server's own shutdown takes long and is not what is measured


if __name__ == "__main__":
    pair_count, measured_seconds, how = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    if how == "answer":
        spade.run(second_half(pair_count), embedded_xmpp_server=False)
    else:
        spade.run(first_half(pair_count, measured_seconds, how), embedded_xmpp_server=True)

"""The NATS peer: requests that enter at one server of a cluster of three and are answered at another.

Runs in the peers' environment (app/requirements-bench.txt), never in Caxton's. `nats_pairs.py ENTRY ANSWERER SECONDS`
(two URLs). The responder is a process of its own, as an agent is. Nothing is durable. Prints one JSON line: the
latency of one request at a time, and the rate of 64 at a time.
"""

import asyncio
import json
import subprocess
import sys
import time

import nats

BODY = b"x" * 1024
SUBJECT = "echo"
AT_ONCE = 64


async def answer(url: str) -> None:
    """Answers until it is ended."""
    connection = await nats.connect(url)

    async def handle(message: object) -> None:
        await message.respond(message.data)

    await connection.subscribe(SUBJECT, cb=handle)
    await connection.flush()
    print("up", flush=True)
    await asyncio.Event().wait()


async def ask(url: str, seconds: float) -> None:
    """Measures."""
    connection = await nats.connect(url)
    for _ in range(200):
        await connection.request(SUBJECT, BODY, timeout=10)
    alone: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        await connection.request(SUBJECT, BODY, timeout=10)
        alone.append(time.perf_counter() - begun)
    done = 0
    end = time.perf_counter() + seconds

    async def keep_asking() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await connection.request(SUBJECT, BODY, timeout=10)
            done += 1

    begun = time.perf_counter()
    await asyncio.gather(*(keep_asking() for _ in range(AT_ONCE)))
    rate = done / (time.perf_counter() - begun)
    alone.sort()
    p50, p99 = (alone[int(len(alone) * share)] * 1e3 for share in (0.5, 0.99))
    print(json.dumps({"p50_ms": p50, "p99_ms": p99, "per_second": rate}), flush=True)


async def main(entry: str, answerer: str, seconds: float) -> None:
    """A responder at one server, a client at the other."""
    responder = subprocess.Popen([sys.executable, __file__, "answer", answerer], stdout=subprocess.PIPE)
    try:
        await asyncio.get_running_loop().run_in_executor(None, responder.stdout.readline)
        await asyncio.sleep(1.0)  # the interest travels to the other server
        await ask(entry, seconds)
    finally:
        responder.kill()


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        asyncio.run(answer(sys.argv[2]))
    else:
        asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))

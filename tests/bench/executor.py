"""What isolation, fairness and fibers cost in the executor, each figure beside the same work without them."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bench.in_process import Fiber, InProcess
from bench.measure import Figure, Table, alternate, paired_ratio, percentile, rate
from caxton.protocol.agents import Instance
from caxton.protocol.execution import Execute, Result
from caxton.protocol.frames import encode_frame
from support.wat import ECHO
from support.worker_harness import Harness, message

ROUNDS: Final = 9
IN_FLIGHT: Final = 32
SLICE_MS: Final = 2.0
HEAVY: Final = 4
LIGHT_CLIENTS: Final = 8
_TESTS: Final = Path(__file__).resolve().parents[1]
_WITHOUT_WASM: Final = f"""import sys; sys.path.insert(0, {str(_TESTS)!r})
from bench.peers.echo_worker import main; sys.exit(main(sys.argv[1]))"""


def run() -> list[Table]:
    """All tables of the executor."""
    process = InProcess()
    return [calls(process, [_load()]), over_the_socket(), fresh(process), fairness()]


def calls(process: InProcess, notes: list[str]) -> Table:
    """One echo of 1 KiB on a warm instance."""
    data, fiber, bare = b"x" * 1024, Fiber(process), process.bare()
    agent, encoded = process.agent(Instance.PERSISTENT), _message()
    bare.prepare()
    assert fiber.echo(data) == bare.echo(data) == data

    def worker() -> float:
        per_second = IN_FLIGHT * rate(lambda: process.execute(agent, encoded, IN_FLIGHT), 60)
        assert process.taken() > IN_FLIGHT * 60 * 1024
        return per_second

    ours, whole, theirs = alternate(
        ROUNDS, lambda: rate(lambda: fiber.echo(data), 10_000), worker, lambda: rate(lambda: bare.echo(data), 20_000)
    )
    bare.drop()
    figures = [
        Figure("bare synchronous C API", _micros(theirs), "µs"),
        Figure("fiber and host function", _micros(ours), "µs"),
        Figure("fiber / bare", paired_ratio(ours, theirs), "ratio", "≥ 0.25"),
        Figure("whole worker without sockets: message bytes → result bytes", _micros(whole), "µs"),
    ]
    return Table("Echo of 1 KiB, warm instance", figures, notes)


def fresh(process: InProcess) -> Table:
    """A new instance for every message."""
    agent, encoded, bare, data = process.agent(Instance.PER_MESSAGE), _message(), process.bare(), b"x" * 1024

    def ours() -> float:
        per_second = IN_FLIGHT * rate(lambda: process.execute(agent, encoded, IN_FLIGHT), 30)
        assert process.taken() > IN_FLIGHT * 30 * 1024
        return per_second

    def theirs() -> None:
        bare.prepare()
        bare.echo(data)
        bare.drop()

    mine, other = alternate(ROUNDS, ours, lambda: rate(theirs, 1_000))
    figures = [
        Figure("bare instantiate, call, drop", _micros(other), "µs"),
        Figure("worker, per_message: message bytes → result bytes", _micros(mine), "µs"),
        Figure("worker / bare", paired_ratio(mine, other), "ratio", "≥ 0.5"),
    ]
    notes = [
        "Both sides make the same system calls for memory: one mmap, mprotect and munmap per instance (4 GiB are",
        "reserved for each); ours adds the reading of the CPU clock. What is left is Python: run queue, limits,",
        "accounting, the message's JSON and the result, and after a munmap it runs slower than when warm.",
    ]
    return Table("Fresh instance per message", figures, notes)


def over_the_socket() -> Table:
    """The real worker process against the same process that echoes without a guest."""
    with Harness() as ours, Harness(python=_WITHOUT_WASM) as theirs:
        drives = [_Drive(ours), _Drive(theirs)]
        rates = alternate(ROUNDS, *(drive.run for drive in drives))
        cpu = [statistics.median(drive.cpu) * 1e6 for drive in drives]
    figures = [
        Figure("worker without wasm", statistics.median(rates[1]), "echoes/s"),
        Figure("worker", statistics.median(rates[0]), "echoes/s"),
        Figure("worker / without wasm", paired_ratio(*rates), "ratio", "≥ 0.35"),
        Figure("CPU of the process per echo, without wasm", cpu[1], "µs"),
        Figure("CPU of the process per echo", cpu[0], "µs"),
    ]
    return Table(f"Over the socket, {IN_FLIGHT} in flight", figures)


class _Drive:
    """A closed loop over one worker's socket. Frames are prepared and results are only counted: a slow
    client would make both sides look alike.
    """

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.cpu: list[float] = []
        handles = [harness.load(ECHO) for _ in range(IN_FLIGHT)]
        for handle in handles:
            assert harness.run(handle, "warm").status == "ok"
        encoded = _message()
        self._frames = {100 + i: encode_frame(Execute(100 + i, h, 1, encoded)) for i, h in enumerate(handles)}

    def run(self, seconds: float = 0.5) -> float:
        """Echoes per second."""
        router, frames = self._harness.router, self._frames
        router.settimeout(10.0)
        clock, cpu_before, started, count = time.monotonic, cpu_seconds(self._harness), time.monotonic(), 0
        router.sendall(b"".join(frames.values()))
        outstanding, rest = len(frames), b""
        while outstanding:
            data = rest + router.recv(1 << 18)
            numbers, rest = _result_numbers(data)
            count += len(numbers)
            if clock() - started < seconds:
                router.sendall(b"".join([frames[number] for number in numbers]))
            else:
                outstanding -= len(numbers)
        elapsed = clock() - started
        self.cpu.append((cpu_seconds(self._harness) - cpu_before) / count)
        return count / elapsed


def _result_numbers(data: bytes) -> tuple[list[int], bytes]:
    """Numbers of the executions whose results are in `data`, and the incomplete rest.

    A `Result` is an array of more than 15 (3 bytes), the tag 1 and its number, here always below 2¹⁶.
    """
    numbers, at, end = [], 0, len(data)
    while end - at >= 4:
        following = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if following > end:
            break
        if data[at + 4] == 0xDC and data[at + 7] == 1:
            number = data[at + 8]
            numbers.append(data[at + 9] if number == 0xCC else number)
        at = following
    return numbers, data[at:]


def fairness() -> Table:
    """A light agent with 8 clients beside 4 agents that burn CPU."""
    with Harness() as harness:
        turns = _turns(harness)
        light, heavy = harness.load(ECHO), [harness.load(_burner(turns + i)) for i in range(HEAVY)]
        alone = [_latencies(harness, light, []).seconds for _ in range(3)]
        beside = [_latencies(harness, light, heavy) for _ in range(7)]
    p50, p99 = (statistics.median(percentile(run.seconds, share) for run in beside) * 1e3 for share in (0.5, 0.99))
    own = statistics.median(percentile(run.worker_cpu, 0.99) for run in beside) * 1e3
    figures = [
        Figure("light alone, p99", statistics.median(percentile(found, 0.99) for found in alone) * 1e3, "ms"),
        Figure("light beside the heavy, p50", p50, "ms"),
        Figure("light beside the heavy, p99", p99, "ms"),
        Figure("the same in slices of 2 ms", p99 / SLICE_MS, "slices", "≤ 8, aim 3"),
        Figure("the same by the worker's own CPU clock", own / SLICE_MS, "slices"),
        Figure("heavy messages meanwhile", statistics.median(run.heavy_per_second for run in beside), "1/s"),
    ]
    title = f"A light agent ({LIGHT_CLIENTS} clients) beside {HEAVY} that burn 42 ms of CPU per message"
    notes = [
        "By its own clock: how long the worker ran while a light message waited, not for how long others had",
        "the core.",
    ]
    return Table(title, figures, [*notes, _load()])


def _burner(turns: int) -> str:
    """An agent that counts to `turns`."""
    return f"""(module (memory (export "memory") 2)
      (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
      (func (export "handle_message") (param i32 i32) (result i32) (local $n i32)
       (local.set $n (i32.const {turns}))
       (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 0)))"""


def _turns(harness: Harness) -> int:
    """How far to count for 42 ms of CPU here."""
    probe = 20_000_000
    handle = harness.load(_burner(probe))
    return int(probe * 0.042 / statistics.median(harness.run(handle).usage.cpu_seconds for _ in range(5)))


class _Latencies(NamedTuple):
    """Of the light agent's messages, from submission to result; both in seconds."""

    seconds: list[float]
    worker_cpu: list[float]
    heavy_per_second: float


def _latencies(harness: Harness, light: int, heavy: list[int], seconds: float = 1.5) -> _Latencies:
    """A closed loop of the light agent's clients while each heavy agent always has a message."""

    def clocks() -> tuple[float, float]:
        return time.monotonic(), cpu_seconds(harness)

    walls: list[float] = []
    cpus: list[float] = []
    busy, done = {harness.execute(handle): handle for handle in heavy}, 0
    waiting = {harness.execute(light): clocks() for _ in range(LIGHT_CLIENTS)}
    began = time.monotonic()
    while waiting or busy:
        result = harness.wait_for(lambda frame: isinstance(frame, Result))
        wall, cpu = clocks()
        more = wall - began < seconds
        if result.exec_id in waiting:
            wall_before, cpu_before = waiting.pop(result.exec_id)
            walls.append(wall - wall_before)
            cpus.append(cpu - cpu_before)
            if more:
                waiting[harness.execute(light)] = clocks()
        else:
            handle = busy.pop(result.exec_id)
            done += more
            if more:
                busy[harness.execute(handle)] = handle
    return _Latencies(walls, cpus, done / seconds)


def cpu_seconds(harness: Harness) -> float:
    """CPU seconds of the worker so far, by its process's own clock."""
    return time.clock_gettime((~harness.process.pid << 3) | 2)


def _message() -> bytes:
    """A message whose JSON, and so the echo, has about 1 KiB."""
    return msgspec.msgpack.encode(message("x" * 760))


def _load() -> str:
    return "load of the machine: {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


def _micros(per_second: list[float]) -> float:
    return 1e6 / statistics.median(per_second)

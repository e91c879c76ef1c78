"""The supervisor's hold on its workers: start, kill, replace, end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from caxton.executor.processes import rss_bytes
from caxton.protocol.agents import Profile
from caxton.protocol.control import KillWorker, RecycleWorker, SpawnWorker, WorkerDown, WorkerUp
from support.executor_node import ExecutorNode, alive, eventually
from support.sight import require_sight

ABI = """
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
"""
ECHO = f"""(module {ABI} (memory (export "memory") 2)
 (func (export "handle_message") (param $p i32) (param $n i32) (result i32)
  (call $reply (local.get $p) (local.get $n))))"""
FILL = f"""(module {ABI} (memory (export "memory") 2 65536)
 (func (export "handle_message") (param i32 i32) (result i32)
  (drop (memory.grow (i32.const 60000)))
  (memory.fill (i32.const 131072) (i32.const 7) (i32.const -500000000)) (i32.const 0)))"""


@pytest.fixture
def node() -> Iterator[ExecutorNode]:
    with ExecutorNode() as running:
        yield running


def test_workers_answer_over_their_own_sockets(node: ExecutorNode) -> None:
    router = node.router()
    workers = router.hello(2)
    sha256 = router.digest(ECHO)
    assert len({worker.pid for worker in workers}) == 2
    for worker in workers:
        worker.load(1, sha256)
        exec_id = worker.execute(1, "hello")
        result = worker.result()
        assert (result.exec_id, result.status) == (exec_id, "ok")


def test_a_worker_holds_only_its_own_descriptors(node: ExecutorNode) -> None:
    router = node.router()
    workers = router.hello(2)
    pulses, sockets = set[int](), set[str]()
    for worker in workers:
        require_sight(worker.pid)
        folder = f"/proc/{worker.pid}/fd"
        kinds = descriptors(folder)
        own = {kind for kind in kinds.values() if kind.startswith("socket:")}
        assert len(own) == 2
        sockets |= own
        # the mapping keeps a duplicate of its descriptor: two, of one page
        inodes = {os.stat(f"{folder}/{fd}").st_ino for fd, kind in kinds.items() if "caxton-pulse" in kind}
        assert len(inodes) == 1
        pulses |= inodes
        assert not [kind for kind in kinds.values() if "executor.sock" in kind or "artifacts" in kind]
        assert environment(worker.pid) == b""
    assert (len(pulses), len(sockets)) == (2, 4)


def descriptors(folder: str) -> dict[str, str]:
    """What each open descriptor is; one that is closed between listing and reading is left out."""
    kinds = {}
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            kinds[fd] = os.readlink(f"{folder}/{fd}")
    return kinds


def environment(pid: int) -> bytes:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()


def test_one_bulk_operation_past_its_time_is_killed_with_its_name_and_replaced(node: ExecutorNode) -> None:
    router = node.router()
    stuck, other = router.hello(2)
    fill, echo = router.digest(FILL), router.digest(ECHO)
    stuck.load(1, fill, limits={"memory_bytes": 4 * 1024**3, "execution_timeout_seconds": 0.2})
    other.load(1, echo)
    culprit = stuck.execute(1)
    down = router.wait_for(WorkerDown)
    assert (down.worker_id, down.reason, down.culprit) == (stuck.worker_id, "killed_timeout", culprit)
    assert down.status == -signal.SIGKILL
    other.execute(1, "still here")
    assert other.result().status == "ok"
    fresh = router.worker()
    fresh.load(1, echo)
    fresh.execute(1, "new")
    assert fresh.result().status == "ok"


def test_a_crash_names_the_execution_that_was_on_the_worker(node: ExecutorNode) -> None:
    router = node.router()
    (worker,) = router.hello(1)
    worker.load(1, router.digest(FILL), limits={"memory_bytes": 4 * 1024**3, "execution_timeout_seconds": 20.0})
    before = rss_bytes(worker.pid)
    culprit = worker.execute(1)
    eventually(lambda: rss_bytes(worker.pid) > before + 50_000_000, "the guest fills its memory")
    os.kill(worker.pid, signal.SIGABRT)
    down = router.wait_for(WorkerDown)
    assert (down.reason, down.culprit, down.status) == ("crashed", culprit, -signal.SIGABRT)
    assert router.worker().pid != worker.pid


def test_a_crash_of_an_idle_worker_names_nobody(node: ExecutorNode) -> None:
    router = node.router()
    (worker,) = router.hello(1)
    os.kill(worker.pid, signal.SIGKILL)
    down = router.wait_for(WorkerDown)
    assert (down.reason, down.culprit) == ("crashed", None)
    assert router.worker().pid != worker.pid


def test_a_tagged_worker_is_started_on_demand_and_not_replaced(node: ExecutorNode) -> None:
    router = node.router()
    (pooled,) = router.hello(1)
    router.send(SpawnWorker("mine"))
    own = router.worker("mine")
    router.send(KillWorker(own.worker_id))
    down = router.wait_for(WorkerDown)
    assert (down.worker_id, down.tag, down.reason) == (own.worker_id, "mine", "killed")
    router.send(KillWorker(pooled.worker_id))
    replacement = router.wait_for(WorkerUp)
    assert replacement.tag == ""  # nothing for "mine" came before it


def test_recycling_replaces_unless_told_otherwise(node: ExecutorNode) -> None:
    router = node.router()
    (first,) = router.hello(1)
    router.send(RecycleWorker(first.worker_id))
    assert router.wait_for(WorkerDown).reason == "recycled"
    second = router.worker()
    router.send(RecycleWorker(second.worker_id, replace=False))
    assert router.wait_for(WorkerDown).worker_id == second.worker_id
    router.send(SpawnWorker("marker"))
    assert router.wait_for(WorkerUp).tag == "marker"


def test_workers_die_with_their_router(node: ExecutorNode) -> None:
    router = node.router()
    workers = router.hello(2)
    router.socket.close()
    for worker in workers:
        eventually(lambda pid=worker.pid: not alive(pid), "the worker ends")  # type: ignore[misc] # bound early
    fresh = node.router().hello(1)
    assert fresh[0].pid not in {worker.pid for worker in workers}


def test_a_second_hello_starts_anew(node: ExecutorNode) -> None:
    router = node.router()
    (former,) = router.hello(1)
    (fresh,) = router.hello(1)
    assert fresh.worker_id != former.worker_id
    assert former.at_end()


def test_everything_dies_with_a_killed_supervisor(node: ExecutorNode) -> None:
    workers = node.router().hello(2)
    node.end(signal.SIGKILL)
    for worker in workers:
        eventually(lambda pid=worker.pid: not alive(pid), "the worker ends")  # type: ignore[misc] # bound early


def test_sigterm_is_an_orderly_end(node: ExecutorNode) -> None:
    workers = node.router().hello(2)
    assert node.end() == 0
    assert not node.socket.exists()
    assert not any(alive(worker.pid) for worker in workers)
    assert b"Traceback" not in node.stderr


WAIT = f"""(module {ABI} (memory (export "memory") 2 2 shared)
 (func (export "handle_message") (param i32 i32) (result i32)
  (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))"""


def test_an_atomic_wait_is_stopped_by_a_kill() -> None:
    with ExecutorNode('wasm_features = ["threads"]') as node:
        router = node.router()
        (stuck,) = router.hello(1)
        prepared = router.prepare(WAIT.encode(), Profile.THREADS)
        assert prepared.info, prepared.error
        stuck.load(1, prepared.info.sha256, profile=Profile.THREADS, limits={"execution_timeout_seconds": 0.3})
        culprit = stuck.execute(1)
        down = router.wait_for(WorkerDown)
        assert (down.reason, down.culprit) == ("killed_timeout", culprit)
        assert router.worker().pid != stuck.pid

"""What the supervisor tells its service manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.executor_node import APP, ExecutorNode, alive
from support.manager import Manager, listening


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def told(manager: Manager, watchdog_seconds: float = 0.4) -> ExecutorNode:
    period = str(int(watchdog_seconds * 1e6))
    return ExecutorNode(NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC=period)


def test_ready_alive_stopping() -> None:
    with listening() as manager, told(manager) as node:
        manager.hear_until("READY=1".__eq__)
        assert node.answers()
        assert "WATCHDOG=1" not in manager.heard
        manager.hear_until("WATCHDOG=1".__eq__)
        assert node.router().hello(2)
        manager.hear_until("STATUS=2 workers run".__eq__)
        manager.hear_until("WATCHDOG=1".__eq__)
        node.end()
        manager.hear_until("STOPPING=1".__eq__)


def test_the_worker_of_the_self_check_is_gone_when_it_is_ready() -> None:
    with listening() as manager, told(manager) as node:
        manager.hear_until("READY=1".__eq__)
        assert not [child for child in children(node.process.pid) if alive(child)]


def test_a_supervisor_that_stands_still_gives_no_sign_of_life() -> None:
    with listening() as manager, told(manager) as node:
        manager.hear_until("WATCHDOG=1".__eq__)
        os.kill(node.process.pid, signal.SIGSTOP)
        try:
            manager.socket.settimeout(1.0)
            silent = False
            for _ in range(20):  # what was said before
                try:
                    manager.hear()
                except TimeoutError:
                    silent = True
                    break
            assert silent
        finally:
            os.kill(node.process.pid, signal.SIGCONT)
        manager.socket.settimeout(30)
        manager.hear_until("WATCHDOG=1".__eq__)


def test_a_worker_that_is_stopped_is_replaced_and_life_goes_on() -> None:
    with listening() as manager, told(manager) as node:
        (worker,) = node.router().hello(1)
        os.kill(worker.pid, signal.SIGSTOP)
        assert node.routers[-1].worker().pid != worker.pid
        assert not alive(worker.pid)
        manager.forget()
        manager.hear_until("WATCHDOG=1".__eq__)


def test_a_manager_that_does_not_read_stops_nobody() -> None:
    with listening() as manager, told(manager, watchdog_seconds=0.02) as node:
        (worker,) = node.router().hello(1)
        os.kill(worker.pid, signal.SIGKILL)  # by then the manager's queue is full
        assert node.routers[-1].worker().pid != worker.pid


def test_a_host_where_no_worker_runs_is_refused_at_the_start() -> None:
    """Too little address space for wasmtime: enough for the supervisor, not for a worker."""
    with listening() as manager, ExecutorNode() as node:
        node.end(signal.SIGKILL)
        bound = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({400 << 20}, {400 << 20})); "
        code = bound + "import runpy; runpy.run_module('caxton.executor', run_name='__main__', alter_sys=True)"
        environ = {"PYTHONPATH": str(APP), "PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(manager.path)}
        command = [sys.executable, "-c", code, "--config", str(node.config)]
        ended = subprocess.run(command, env=environ, cwd=node.home, capture_output=True, timeout=60)
        assert ended.returncode == 1
        assert b"self-check" in ended.stderr.splitlines()[-1]
        manager.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.hear()

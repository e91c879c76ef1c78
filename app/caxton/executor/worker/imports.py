"""The table of everything that a guest may import: `caxton` and WASI preview 1.

Owns names and signatures of imports. Must never implement one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from caxton.executor import wasi
from caxton.executor.binding.host import HostFunction
from caxton.executor.guest import OutOfBounds
from caxton.executor.worker import hostcalls, talking, waiting
from caxton.executor.worker.execution import Execution, Sleep

MODULE: Final = "caxton"
_EFAULT: Final = 21

_PLAIN: Final[tuple[tuple[str, str, str, Callable[..., Any]], ...]] = (
    ("store_data", "iiii", "i", hostcalls.store_data),
    ("delete_data", "ii", "i", hostcalls.delete_data),
    ("set_timer", "I", "i", hostcalls.set_timer),
    ("cancel_timer", "i", "i", hostcalls.cancel_timer),
    ("current_timestamp", "", "I", hostcalls.current_timestamp),
    ("random_u32", "", "i", hostcalls.random_u32),
    ("console_log", "ii", "", hostcalls.console_log),
    ("console_error", "ii", "", hostcalls.console_error),
    ("get_config", "iiii", "i", hostcalls.get_config),
    ("read_reply", "ii", "i", hostcalls.read_reply),
)
_DEFERRED: Final[tuple[tuple[str, str, str, Callable[..., Any]], ...]] = (
    ("load_data", "iiii", "i", waiting.load_data),
    ("get_secret", "iiii", "i", waiting.get_secret),
    ("request", "iiii", "i", waiting.request),
    ("sleep_micros", "I", "i", waiting.sleep_micros),
    ("subscribe_messages", "ii", "i", talking.subscribe_messages),
    ("broadcast_message", "iiii", "i", talking.broadcast_message),
    ("http_request", "iiii", "i", waiting.http_request),
)


def functions(*, checked_send: bool, files: bool) -> list[HostFunction]:
    """All imports. With `checked_send` `send_message` is decoded at once, for grants that name receivers;
    `files` is for agents that have directories.
    """
    found = [HostFunction(MODULE, "reply", "ii", "i", False, hostcalls.reply)]  # checks its own bounds: hot
    found += [HostFunction(MODULE, n, p, r, False, hostcalls.bounded(f)) for n, p, r, f in _PLAIN]
    found += [HostFunction(MODULE, n, p, r, True, hostcalls.bounded(f)) for n, p, r, f in _DEFERRED]
    send = waiting.send_message_checked if checked_send else hostcalls.send_message
    found.append(HostFunction(MODULE, "send_message", "ii", "i", checked_send, hostcalls.bounded(send)))
    return found + [
        HostFunction(wasi.IMPORT_MODULE, f.name, f.params, f.returns, f.deferred, _with_state(f.call))
        for f in wasi.functions_for(files).values()
    ]


def _with_state(call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(execution: Execution, *arguments: int) -> Any:
        try:
            answer = call(execution.wasi, execution.memory, *arguments)
        except OutOfBounds:
            return _EFAULT
        return Sleep(answer.until, _bounded(answer.finish)) if isinstance(answer, wasi.Wait) else answer

    return checked


def _bounded(finish: Callable[[], int]) -> Callable[[], int]:
    def checked() -> int:
        try:
            return finish()
        except OutOfBounds:
            return _EFAULT

    return checked

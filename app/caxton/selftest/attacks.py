"""The attacks of a self-test, one or more for every limit of an agent and for every wall around it.

Owns what is tried and what must come of it. Must never ask for a limit that a node would not let an agent have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from caxton.protocol.errors import Code
from caxton.selftest import modules
from caxton.selftest.encode import many_functions, nested_loops, straight_line
from caxton.selftest.judge import Attack, Expected
from caxton.selftest.wat import SPIN

MIB: Final = 1 << 20
MODULE_BYTES: Final = 100_000_000
COMPILE_SECONDS: Final = 200.0
"""180 s of CPU, and some for the way."""
ENOSPC: Final = 51
OWN_VARIABLES: Final = 4
"""CAXTON_AGENT, CAXTON_MESSAGE_ID, CAXTON_CONVERSATION_ID, CAXTON_NODE."""

GOOD_AGENT: Final = b"""(module
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\\22well\\22")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param i32 i32) (result i32) (call $reply (i32.const 0) (i32.const 6))))"""
"""Answers "well"; what it does beside the attacks shows whether they reach beyond themselves."""


def _text(wat: str) -> Callable[[], bytes]:
    return wat.encode


def _stopped(code: Code) -> Expected:
    return Expected(codes=frozenset({code}))


def _refused(code: Code, rule: str | None = None) -> Expected:
    return Expected(at="deploy", codes=frozenset({code}), rule=rule, seconds=60.0)


def _huge() -> bytes:
    """One byte too many, most of them in a custom section."""
    return b"\0asm\1\0\0\0" + bytes(MODULE_BYTES - 7)


_ONE_MIB: Final = {"memory_bytes": MIB}
_SHORT: Final = {"execution_timeout_seconds": 0.2}
_SCRATCH: Final = {"scratch": True}

RUNNING: Final = (
    Attack("memory_bytes", "grow until refused, limit 1 MiB", _text(modules.MEMORY_GROWS),
           Expected(content=16, memory_bytes=MIB), _ONE_MIB),
    Attack("memory_bytes", "grow until refused, then abort", _text(modules.MEMORY_BOMB),
           Expected(codes=frozenset({Code.MEMORY_LIMIT})), {"memory_bytes": 4 * MIB}),
    Attack("memory_bytes", "start with 65 MB, limit 1 MiB", _text(modules.MEMORY_AT_START),
           _refused(Code.INVALID_WASM), _ONE_MIB),
    Attack("stack_bytes", "endless recursion", _text(modules.RECURSION), _stopped(Code.STACK_OVERFLOW)),
    Attack("execution_timeout_seconds", "endless loop, limit 0.2 s", _text(SPIN),
           _stopped(Code.EXECUTION_TIMEOUT), _SHORT),
    Attack("execution_timeout_seconds", "sleep a minute, limit 0.2 s", _text(modules.SLEEP),
           _stopped(Code.EXECUTION_TIMEOUT), _SHORT),
    Attack("execution_timeout_seconds", "a minute in a WASI call, limit 0.2 s", _text(modules.POLL % 60_000_000_000),
           _stopped(Code.EXECUTION_TIMEOUT), _SHORT),
    Attack("cpu_time_seconds", "endless loop, limit 0.1 s of CPU", _text(SPIN),
           _stopped(Code.CPU_LIMIT), {"cpu_time_seconds": 0.1}),
    Attack("fuel", "endless loop, limit 10,000", _text(SPIN), _stopped(Code.FUEL_EXHAUSTED), {"fuel": 10_000},
           profile="deterministic"),
    Attack("table_elements", "grow until refused, limit 1,000", _text(modules.TABLE_GROWS),
           Expected(content=910), {"table_elements": 1_000}),
    Attack("output_bytes", "endless output, limit 200 KB", _text(modules.FLOOD % (1, "(br $l)")),
           _stopped(Code.OUTPUT_LIMIT), {"output_bytes": 200_000}),
    Attack("log_bytes", "500 KB of log, limit 5 KB", _text(modules.LOG_FLOOD),
           Expected(log_bytes=5_000), {"log_bytes": 5_000}),
    Attack("messages_per_execution", "send until refused, limit 10", _text(modules.MESSAGE_FLOOD),
           Expected(exit_code=10), {"messages_per_execution": 10}),
    Attack("host_calls_per_execution", "endless host calls, limit 1,000", _text(modules.HOST_CALL_FLOOD),
           _stopped(Code.HOST_CALL_LIMIT), {"host_calls_per_execution": 1_000}),
    Attack("state_bytes", "store until refused, limit 1,000 bytes", _text(modules.KEY_FLOOD),
           Expected(content=11), {"state_bytes": 1_000}),
    Attack("state_bytes", "400 bytes more with each of 3 messages, limit 1,000", _text(modules.KEY_A_MESSAGE),
           Expected(failure_code=Code.RESOURCE_LIMIT_EXCEEDED), {"state_bytes": 1_000}, messages=3),
    Attack("state_bytes", "a key of 1,001 bytes, a value of 1,000,001", _text(modules.LARGE_KEYS),
           Expected(exit_code=40)),
    Attack("temp_storage_bytes", "fill the scratch directory, limit 1 MiB", _text(modules.STORAGE_FLOOD),
           Expected(exit_code=ENOSPC), {"temp_storage_bytes": MIB}, _SCRATCH),
)  # fmt: skip

WALLS: Final = (
    Attack("paths", "open /etc/passwd by path, .. and links", _text(modules.ESCAPE), Expected(exit_code=40),
           grants=_SCRATCH),
    Attack("sockets", "accept, receive, send on every descriptor", _text(modules.SOCKETS), Expected(exit_code=40)),
    Attack("environment", "count the host's variables", _text(modules.ENVIRONMENT),
           Expected(exit_code=OWN_VARIABLES)),
    Attack("pointers", "host calls on bytes outside of its memory", _text(modules.POINTERS), Expected(exit_code=40)),
    Attack("grants", "store, send, secret, HTTP without a grant", _text(modules.UNGRANTED), Expected(exit_code=40),
           grants={"send": [], "kv": False}),
    Attack("secrets", "ask for another secret than the one granted", _text(modules.OTHERS_SECRET),
           Expected(exit_code=40), grants={"secrets": ["mine"]}),
    Attack("sender", "send in the name of another", _text(modules.FORGERY),
           Expected(failure_code=Code.INVALID_MESSAGE)),
    Attack("imports", "import env.system", _text(modules.FORBIDDEN_IMPORT), _refused(Code.INVALID_WASM, "imports")),
    Attack("module size", "100 MB and one byte", _huge, _refused(Code.PAYLOAD_TOO_LARGE)),
    Attack("module structure", "100,001 functions", lambda: many_functions(100_001, 1),
           _refused(Code.INVALID_WASM, "functions")),
    Attack("module structure", "loops in loops that take a compiler 40 s", lambda: nested_loops(500, 200),
           _refused(Code.INVALID_WASM, "loop-nesting")),
    Attack("compile", "the longest function that is let through", lambda: straight_line(90_000),
           Expected(at="deploy", codes=frozenset({None, Code.COMPILE_LIMIT}), seconds=COMPILE_SECONDS)),
)  # fmt: skip

ATTACKS: Final = (*RUNNING, *WALLS)

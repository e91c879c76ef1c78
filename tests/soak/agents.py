"""The agents of a soak: each goes one way, and together every way there is.

Owns their text and configuration. Must never hold state that a killed worker could lose.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caxton.selftest.wat import ECHO, SPIN, reactor
from support.wat import CAT, TALLY, TRAP

ONCE: Final = {"retry": {"max_deliveries": 1}}
NAP: Final = reactor("(drop (call $sleep (i64.const 500))) (call $reply (local.get $p) (local.get $n))")
SLEEP: Final = reactor("(drop (call $sleep (i64.const 5000000))) (i32.const 0)")
ASK: Final = reactor(
    "(drop (call $request (i32.const 100) (i32.const 45) (i32.const 500) (i32.const 100))) (i32.const 0)",
    extra='(data (i32.const 100) "{\\22performative\\22:\\22request\\22,\\22receiver\\22:\\22echo-0\\22}")',
)
INCARNATION: Final = reactor(
    "(call $reply (i32.const 200) (call $config (i32.const 100) (i32.const 18) (i32.const 200) (i32.const 20)))",
    extra='(data (i32.const 100) "caxton.incarnation")',
)
"""Answers which of its instances it is: more than the first when idle ones were ended."""
DROWSY: Final = 12


DREAM: Final = reactor(
    """(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
     (call $answer (i32.load (i32.const 0)))"""
)
"""Counts in its memory, which it keeps by snapshots: through idle times and through kills."""
DREAMERS: Final = 12


class Member(NamedTuple):
    """An agent, and how many messages of each round go to it."""

    name: str
    wat: str
    messages: int
    config: dict[str, Any]


MEMBERS: Final = (
    *(Member(f"echo-{number}", ECHO, 60, {}) for number in range(4)),
    *(Member(f"fresh-{number}", ECHO, 40, {"instance": "per_message"}) for number in range(2)),
    Member("cat", CAT, 20, {}),
    Member("tally", TALLY, 60, {}),
    Member("nap", NAP, 60, {}),
    Member("ask", ASK, 40, {}),
    Member("trap", TRAP, 40, ONCE),
    Member("spin", SPIN, 2, {**ONCE, "limits": {"execution_timeout_seconds": 0.02}}),
)
SLEEPER: Final = Member("sleeper", SLEEP, 0, {"instance": "per_message", "max_concurrency": 64, **ONCE})
"""Invoked by callers who give up, and sent what is then cancelled."""

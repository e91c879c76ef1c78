"""The border between one recorded guest and the world: what it was answered, kept or given again.

Owns the list of answers of one execution, in both directions: written down while it runs for real, read while it is
replayed. Must never keep a secret's value, nor ask the world during a replay.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Final

from caxton.executor.worker.execution import Ask
from caxton.protocol.recordings import MASK, MAX_BYTES, OUTSIDE, Call, Divergence, Memory, Recording
from caxton.protocol.snapshots import BLOCK_BYTES

_DEFAULT_ROOM: Final = 1
_CALL_BYTES: Final = 100
"""What a call takes beside what it says."""


class Diverged(Exception):
    """The guest asked what it had not asked when it was recorded: there is no answer to give."""


class Border:
    """`tape`: the recording to replay; None records."""

    def __init__(self, tape: Recording | None = None, *, with_memory: bool = True) -> None:
        self.replays = tape is not None
        self.began_us = time.time_ns() // 1_000 if tape is None else tape.began_us
        self.before: Memory | None = tape.before if tape is not None and with_memory else None
        """Of a replay: what the memory has to be made."""
        self.noted: Memory | None = None
        self.lacks: str | None = tape.lacks if tape is not None else None
        self.digest: str | None = None
        self.knows_secret = False
        """The guest has or may have a secret: what it tells anybody, and a digest of its memory, is not kept."""
        self.calls: list[Call] = []
        self.full = False
        """There was more than a recording may hold: there is none."""
        self.diverged: Divergence | None = None
        self.unanswered = False
        self._asked = 0
        self._left = MAX_BYTES
        self._tape = tape.calls if tape is not None else []
        self._used = [False] * len(self._tape)
        self._random = random.Random(tape.seed if tape else 0)  # nosec B311 # repeats itself: that is what it is for
        if self.before is not None:
            self.note(self.before)

    def begin(self) -> None:
        """The execution's turn has come; of a replay that was when it was recorded."""
        if not self.replays:
            self.began_us = time.time_ns() // 1_000

    def note(self, memory: Memory) -> None:
        """The guest's memory before the execution."""
        self.noted = memory
        self._take(len(memory.blocks) * BLOCK_BYTES)

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return self._value(Call("clock"), lambda: (time.time_ns() // 1_000, b"")).status

    def random_bytes(self, count: int) -> bytes:
        """That many random bytes."""
        return self._value(Call("random", str(count)), lambda: (0, os.urandom(count))).data

    def room(self, look: Callable[[], bool]) -> bool:
        """Whether a message finds room; `look` says so of the moment."""
        return bool(self._value(Call("room"), lambda: (look(), b"")).status)

    def answered(self, waiting: Ask, status: int, data: bytes) -> None:
        """The world's answer to a call that waited for it."""
        asked = _question(waiting)
        told = asked.kind == "secret" and status >= 0
        hidden = self.knows_secret and asked.kind in OUTSIDE
        self.knows_secret |= told
        what, given = ("", b"") if hidden else (asked.what, asked.given)
        kept = MASK * len(data) if told else bytes(data)
        self._keep(Call(asked.kind, what, given, status, kept, told or hidden))

    def replayed(self, waiting: Ask) -> tuple[int, bytes]:
        """The recorded answer; `Diverged` when there is none."""
        asked = _question(waiting)
        found = self._next(asked)
        if found is None:
            self._keep(asked)
            self.unanswered = True
            raise Diverged
        # A hidden question shows here, with masks for the secrets: so two replays can be compared.
        self._keep(Call(asked.kind, asked.what, asked.given, found.status, found.data, found.masked))
        self.knows_secret |= found.kind == "secret" and found.masked
        return found.status, found.data

    def finish(self) -> None:
        """The guest has ended: what was recorded and not asked for is a difference too."""
        if self.replays and self.diverged is None and self._asked < len(self._tape):
            self.diverged = Divergence(self._asked + 1, self._tape[self._asked], None)

    def _value(self, asked: Call, real: Callable[[], tuple[int, bytes]]) -> Call:
        if self.replays:
            call = self._next(asked) or self._invented(asked)
        else:
            status, data = real()
            call = Call(asked.kind, asked.what, b"", int(status), data)
        self._keep(call)
        return call

    def _keep(self, call: Call) -> None:
        self._asked += 1
        self._take(_CALL_BYTES + len(call.what) + len(call.given) + len(call.data))
        if not self.full:
            self.calls.append(call)

    def _take(self, count: int) -> None:
        """Bytes of what a recording may hold; once they are used up nothing of it stays, and the guest goes on."""
        self._left -= count
        if self._left < 0:
            self.full, self.noted = True, None
            self.calls.clear()

    def _next(self, asked: Call) -> Call | None:
        """The recorded answer to the same question: the next one, else one that comes later, else an earlier one."""
        at = self._asked
        recorded = self._tape[at] if at < len(self._tape) else None
        if recorded is None or not recorded.asks(asked):
            if self.diverged is None:
                self.diverged = Divergence(at + 1, recorded, asked)
            recorded = self._elsewhere(asked)
        else:
            self._used[at] = True
        return recorded

    def _elsewhere(self, asked: Call) -> Call | None:
        same = [number for number, call in enumerate(self._tape) if call.asks(asked)]
        fresh = [number for number in same if not self._used[number]]
        if fresh:
            self._used[fresh[0]] = True
            return self._tape[fresh[0]]
        return self._tape[same[-1]] if same and asked.kind != "random" else None

    def _invented(self, asked: Call) -> Call:
        """What the recorded guest never asked for and what need not come from outside; the same in every replay."""
        return {
            "clock": Call("clock", status=self.began_us),
            "room": Call("room", status=_DEFAULT_ROOM),
        }.get(asked.kind) or Call("random", asked.what, data=self._random.randbytes(int(asked.what)))


def _question(waiting: Ask) -> Call:
    message = waiting.message
    if message is None:
        return Call(waiting.kind, waiting.key or "", waiting.data)
    return Call(waiting.kind, message.receiver, message.content)

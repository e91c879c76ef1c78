"""Clients that talk to a cluster while things break: each says everything until it is accepted, in its turn.

Owns what was sent and accepted. Must never judge, nor break anything.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from chaos.judge import Sent

SCRIBE: Final = """
(module
  (import "caxton" "load_data" (func $load (param i32 i32 i32 i32) (result i32)))
  (import "caxton" "store_data" (func $store (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "n")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param $at i32) (param $length i32) (result i32)
    (if (i32.ne (call $load (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 4)) (i32.const 4))
      (then (i32.store (i32.const 16) (i32.const 0))))
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (drop (call $store (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 4)))
    (drop (call $store (local.get $at) (local.get $length) (i32.const 16) (i32.const 4)))
    (i32.const 0)))
"""
"""Counts in the key `n` (4 bytes, little-endian); a key that is a message keeps the count at which it came."""
COURIER: Final = """
(module
  (import "caxton" "send_message" (func $send (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param $at i32) (param $length i32) (result i32) (local $from i32) (local $to i32)
    (local.set $from (local.get $at))
    (loop $look
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (br_if $look (i64.ne (i64.load (local.get $from)) (i64.const 8389754706581218082)))) ;; "content
    (local.set $from (i32.add (local.get $from) (i32.const 10)))
    (local.set $to (i32.add (local.get $at) (local.get $length)))
    (loop $look
      (local.set $to (i32.sub (local.get $to) (i32.const 1)))
      (br_if $look (i64.ne (i64.load (local.get $to)) (i64.const 8243124909658808876)))) ;; ,"conver
    (i32.shr_u (call $send (local.get $from) (i32.sub (local.get $to) (local.get $from))) (i32.const 31))))
"""
"""Has no state: sends the message that is the content of the one that it gets."""
PAUSE_SECONDS: Final = 0.1
"""Between two attempts to say the same."""
_AGAIN: Final = frozenset({408, 429, 502, 503, 504, 507})


@dataclass(frozen=True)
class Way:
    """To whom a client talks: to a scribe, by way of a courier or not."""

    scribe: str
    courier: str | None = None


class Client(threading.Thread):
    """Leads some conversations, all through one node: order holds for what one node accepts."""

    def __init__(self, number: int, connect: Callable[[], httpx.Client], ways: list[Way], pause: float) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._number = number
        self._connect = connect
        self._ways = ways
        self._pause = pause
        self._halt = threading.Event()
        self._random = random.Random(number)  # whom to talk to, not when: that is the machine's
        self.sent: list[Sent] = []
        self.refused: dict[int, int] = {}
        """How often an answer was no acceptance, by status; 0 = no answer."""
        self.longest_wait = 0.0
        """How long it took at most until something was accepted, seconds."""
        self.accepted_at: list[float] = []
        """When, on the monotonic clock."""
        self.problem: str | None = None
        self._gave_up = threading.Event()

    def run(self) -> None:
        """Until `end`; what is being said then is said to its end."""
        turns = dict.fromkeys(self._ways, 0)
        with self._connect() as client:
            while not self._halt.wait(self._pause) and self.problem is None:
                way = self._random.choice(self._ways)
                self._say(client, way, turns[way])
                turns[way] += 1

    def end(self, seconds: float) -> None:
        """Lets it say what it is saying; it has so long until that must be accepted."""
        self._halt.set()
        self.join(seconds)
        if self.is_alive():
            self._gave_up.set()
            self.problem = self.problem or f"{self.name}: not accepted within {seconds:.0f} s after the faults ended"

    def _say(self, client: httpx.Client, way: Way, turn: int) -> None:
        begun = time.monotonic()
        one, body = self._words(way, turn)
        while not self._accepted(client, body):
            if self.problem is not None or self._gave_up.is_set():
                return
            time.sleep(PAUSE_SECONDS)
        now = time.monotonic()
        self.longest_wait = max(self.longest_wait, now - begun)
        self.accepted_at.append(now)
        self.sent.append(one)

    def _words(self, way: Way, turn: int) -> tuple[Sent, dict[str, Any]]:
        """What is said, and the message of it. Couriers may overtake each other: each trip is a conversation."""
        words = f"{self._number}-{way.courier or ''}-{turn}"
        talk = f"talk-{words}" if way.courier else f"talk-{self._number}-{way.scribe}"
        one = Sent(words, way.scribe, talk, 0 if way.courier else turn)
        head = {"performative": "request", "conversation_id": talk}
        message: dict[str, Any] = {**head, "receiver": one.agent, "content": words}
        if way.courier:
            message = {"performative": "request", "receiver": way.courier, "content": message}
        return one, {**message, "message_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{words}-{way.scribe}"))}

    def _accepted(self, client: httpx.Client, body: dict[str, Any]) -> bool:
        try:
            answer = client.post("/api/v1/messages", json=body)
        except httpx.TransportError:
            self.refused[0] = self.refused.get(0, 0) + 1
            return False
        if answer.status_code == 202:
            return True
        self.refused[answer.status_code] = self.refused.get(answer.status_code, 0) + 1
        if answer.status_code not in _AGAIN:
            self.problem = f"{self.name}: {answer.status_code} {answer.text[:300]}"
        return False

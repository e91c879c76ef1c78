"""Clients that talk to a cluster while things break: each says everything until it is accepted, in its turn.

Owns what was sent and accepted. Must never judge, nor break anything.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

import httpx

from chaos.judge import Sent

SCRIBE: Final = """
(module
  (import "caxton" "load_data" (func $load (param i32 i32 i32 i32) (result i32)))
  (import "caxton" "store_data" (func $store (param i32 i32 i32 i32) (result i32)))
  (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "n")
  (func (export "caxton_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "handle_message") (param $at i32) (param $length i32) (result i32)
    (if (i32.ne (call $load (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 4)) (i32.const 4))
      (then (i32.store (i32.const 16) (i32.const 0))))
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (drop (call $store (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 4)))
    (drop (call $store (local.get $at) (local.get $length) (i32.const 16) (i32.const 4)))
    (call $reply (local.get $at) (local.get $length))))
"""
"""Counts in the key `n` (4 bytes, little-endian); a key called as the content keeps the count at which that came."""
PAUSE_SECONDS: Final = 0.1
"""Between two attempts to say the same."""
_AGAIN: Final = frozenset({408, 429, 502, 503, 504, 507})


class Client(threading.Thread):
    """Leads some conversations, all through one node: order holds for what one node accepts."""

    def __init__(self, number: int, connect: Callable[[], httpx.Client], agents: list[str], pause: float) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._number = number
        self._connect = connect
        self._agents = agents
        self._pause = pause
        self._halt = threading.Event()
        self._random = random.Random(number)  # whom to talk to, not when: that is the machine's
        self.sent: list[Sent] = []
        self.refused: dict[int, int] = {}
        """How often an answer was no acceptance, by status; 0 = no answer."""
        self.longest_wait = 0.0
        """How long it took at most until something was accepted, seconds."""
        self.problem: str | None = None

    def run(self) -> None:
        """Until `end`; what is being said then is said to its end."""
        turns = dict.fromkeys(self._agents, 0)
        with self._connect() as client:
            while not self._halt.wait(self._pause) and self.problem is None:
                agent = self._random.choice(self._agents)
                talk = f"talk-{self._number}-{agent}"
                one = Sent(f"{self._number}-{agent}-{turns[agent]}", agent, talk, turns[agent])
                self._say(client, one)
                turns[agent] += 1

    def end(self, seconds: float) -> None:
        """Lets it say what it is saying; it has so long until that must be accepted."""
        self._halt.set()
        self.join(seconds)
        if self.is_alive():
            self.problem = self.problem or f"{self.name}: not accepted within {seconds:.0f} s after the faults ended"

    def _say(self, client: httpx.Client, one: Sent) -> None:
        begun = time.monotonic()
        body = {
            "message_id": str(uuid.uuid5(uuid.NAMESPACE_OID, one.words)),
            "performative": "request",
            "receiver": one.agent,
            "conversation_id": one.conversation,
            "content": one.words,
        }
        while not self._accepted(client, body):
            if self.problem is not None:
                return
            time.sleep(PAUSE_SECONDS)
        self.longest_wait = max(self.longest_wait, time.monotonic() - begun)
        self.sent.append(one)

    def _accepted(self, client: httpx.Client, body: dict[str, str]) -> bool:
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

"""The agents that the router's tests deploy, in text form. A message lies at 32768, below is the test's own."""

from __future__ import annotations

_IMPORTS = """
 (import "caxton" "reply" (func $reply (param i32 i32) (result i32)))
 (import "caxton" "send_message" (func $send (param i32 i32) (result i32)))
 (import "caxton" "store_data" (func $store (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "load_data" (func $load (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "set_timer" (func $set_timer (param i64) (result i32)))
 (import "caxton" "get_config" (func $config (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "request" (func $request (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "http_request" (func $http (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "subscribe_messages" (func $subscribe (param i32 i32) (result i32)))
 (import "caxton" "broadcast_message" (func $broadcast (param i32 i32 i32 i32) (result i32)))
 (import "caxton" "sleep_micros" (func $sleep (param i64) (result i32)))
"""


def reactor(handler: str, *, extra: str = "", data: str = "") -> str:
    """`handler` leaves the status; `$p`, `$n` are the message, `$i` is free. `data` lies at 0, as JSON text."""
    text = data.replace("\\", "\\\\").replace('"', '\\"')
    return f"""(module {_IMPORTS}
 (memory (export "memory") 4)
 (data (i32.const 0) "{text}")
 (data (i32.const 1000) "n")
 (data (i32.const 1100) "caxton.incarnation")
 (func (export "caxton_alloc") (param i32) (result i32) (i32.const 32768))
 (func $bump (local $v i32)
  (if (i32.ge_s (call $load (i32.const 1000) (i32.const 1) (i32.const 2000) (i32.const 8)) (i32.const 0))
   (then (local.set $v (i32.load8_u (i32.const 2000)))))
  (i32.store8 (i32.const 2000) (i32.add (local.get $v) (i32.const 1)))
  (drop (call $store (i32.const 1000) (i32.const 1) (i32.const 2000) (i32.const 1))))
 (func $first_instance (result i32)
  (drop (call $config (i32.const 1100) (i32.const 18) (i32.const 2100) (i32.const 8)))
  (i32.eq (i32.load8_u (i32.const 2100)) (i32.const 49)))
 {extra}
 (func (export "handle_message") (param $p i32) (param $n i32) (result i32) (local $i i32)
  {handler}))"""


ECHO = reactor("(call $reply (local.get $p) (local.get $n))")
SILENT = reactor("(i32.const 0)")
COUNTER = reactor("(call $bump) (i32.const 0)")
TRAP = reactor("(call $bump) unreachable")
TRAP_ONCE = reactor("(call $bump) (if (call $first_instance) (then unreachable)) (i32.const 0)")
"""Counts, and traps afterwards as long as it is the agent's first instance."""
REFUSES = reactor("(call $bump) (i32.const 7)")
PICKY = reactor(
    """(block $fine (loop $l
     (br_if $fine (i32.eq (local.get $i) (local.get $n)))
     (if (i32.eq (i32.load8_u (i32.add (local.get $p) (local.get $i))) (i32.const 33)) (then unreachable))
     (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $l)))
    (call $bump) (i32.const 0)"""
)
"""Traps on every message that holds a `!`, counts the others."""
SPIN = reactor("(loop $l (br $l)) (i32.const 0)")
TIMER = reactor(
    "(drop (call $set_timer (i64.const 50000))) (i32.const 0)",
    extra='(func (export "handle_timer") (param i32) (result i32) (call $bump) (i32.const 0))',
)


def starts_at(incarnation: int, *, else_traps: bool = False) -> str:
    """Its `agent_init` fails before this incarnation (one digit); then it counts."""
    early = "unreachable" if else_traps else "(return (i32.const 3))"
    return reactor(
        "(call $bump) (i32.const 0)",
        extra=f"""(func (export "agent_init") (result i32)
         (drop (call $config (i32.const 1100) (i32.const 18) (i32.const 2100) (i32.const 8)))
         (if (i32.lt_u (i32.load8_u (i32.const 2100)) (i32.const {48 + incarnation})) (then {early}))
         (i32.const 0))""",
    )


def sleeper(seconds: float) -> str:
    """Counts, sleeps, and is done."""
    return reactor(f"(call $bump) (drop (call $sleep (i64.const {int(seconds * 1e6)}))) (i32.const 0)")


def sender(receiver: str, times: int = 1) -> str:
    """Sends the same message some times."""
    data = f'{{"performative":"inform","receiver":"{receiver}","content":1}}'
    call = f"(drop (call $send (i32.const 0) (i32.const {len(data)})))"
    return reactor(call * times + "(i32.const 0)", data=data)


def insistent(receiver: str, times: int) -> str:
    """Sends the same message some times; answers with how often (one digit) there was no room for it."""
    data = f'{{"performative":"inform","receiver":"{receiver}","content":"zz"}}'
    call = f"(local.set $i (i32.add (local.get $i) (i32.eq (call $send (i32.const 0) (i32.const {len(data)}))"
    return reactor(
        f"{call} (i32.const -3))))" * times
        + "(i32.store8 (i32.const 3000) (i32.add (i32.const 48) (local.get $i)))"
        + "(call $reply (i32.const 3000) (i32.const 1))",
        data=data,
    )


def requester(receiver: str) -> str:
    """Asks and answers with the reply; with a negative code it fails with that code's number."""
    data = f'{{"performative":"request","receiver":"{receiver}","content":1}}'
    ask = f"(call $request (i32.const 0) (i32.const {len(data)}) (i32.const 65536) (i32.const 65536))"
    return reactor(
        f"(local.set $i {ask})"
        "(if (i32.lt_s (local.get $i) (i32.const 0)) (then (return (i32.sub (i32.const 0) (local.get $i)))))"
        "(call $bump)"
        "(drop (call $reply (i32.const 65536) (local.get $i))) (i32.const 0)",
        data=data,
    )


def fetcher(request: str) -> str:
    """Makes one HTTP request (the JSON of it) and answers with what it got; a negative code is its own failure."""
    given = f"(i32.const 0) (i32.const {len(request.encode())})"
    return reactor(
        f"(local.set $i (call $http {given} (i32.const 65536) (i32.const 65536)))"
        "(if (i32.lt_s (local.get $i) (i32.const 0)) (then (return (i32.sub (i32.const 0) (local.get $i)))))"
        "(drop (call $reply (i32.const 65536) (local.get $i))) (i32.const 0)",
        data=request,
    )


def recorder(offset: int, trap_on: str | None = None, opened_by: str | None = None) -> str:
    """Appends the two bytes at `offset` of every message to key `n`; traps at first on the message `trap_on`.

    With `opened_by` it traps on every message before the first of these.
    """
    trap = closed = ""
    if opened_by is not None:
        number = int.from_bytes(opened_by.encode(), "little")
        given = f"(i32.load16_u (i32.add (local.get $p) (i32.const {offset})))"
        closed = f"(if (i32.ne {given} (i32.const {number})) (then unreachable))"
    if trap_on is not None:
        number = int.from_bytes(trap_on.encode(), "little")
        trap = f"""(if (i32.and (call $first_instance)
         (i32.eq (i32.load16_u (i32.add (local.get $p) (i32.const {offset}))) (i32.const {number})))
         (then unreachable))"""
    return reactor(
        f"""{trap}
  (local.set $i (call $load (i32.const 1000) (i32.const 1) (i32.const 4096) (i32.const 16384)))
  (if (i32.lt_s (local.get $i) (i32.const 0)) (then {closed} (local.set $i (i32.const 0))))
  (i32.store16 (i32.add (i32.const 4096) (local.get $i))
   (i32.load16_u (i32.add (local.get $p) (i32.const {offset}))))
  (call $store (i32.const 1000) (i32.const 1) (i32.const 4096) (i32.add (local.get $i) (i32.const 2)))"""
    )


def content_offset(receiver: str) -> int:
    """Where the content of `node.message(receiver, …)` begins in the JSON that a guest gets."""
    head = '{"message_id":"%s","performative":"request","sender":"client:test","receiver":"%s","content":'
    return len(head % ("0" * 36, receiver))


def subscriber(topic: str) -> str:
    """Subscribes whenever it gets a message, and counts it; -1 (DENIED) and the like are its failure's number."""
    data = f'{{"topic":"{topic}"}}'
    return reactor(
        f"(local.set $i (call $subscribe (i32.const 0) (i32.const {len(data)})))"
        "(if (i32.lt_s (local.get $i) (i32.const 0)) (then (return (i32.sub (i32.const 0) (local.get $i)))))"
        "(call $bump) (i32.const 0)",
        data=data,
    )


def broadcaster(wanted: str, draft: str) -> str:
    """Broadcasts `draft` to the filter `wanted`; keeps the answer, one byte, as key `n`."""
    assert len(wanted) <= 200
    at = f"(i32.const 200) (i32.const {len(draft)})"
    return reactor(
        f"(i32.store8 (i32.const 2000) (call $broadcast (i32.const 0) (i32.const {len(wanted)}) {at}))"
        "(drop (call $store (i32.const 1000) (i32.const 1) (i32.const 2000) (i32.const 1))) (i32.const 0)",
        data=wanted.ljust(200) + draft,
    )


def bidder(bid: str, result: str = '{"ok":true}', *, on_accept: str = "") -> str:
    """Answers a call for proposals of the node with `bid`, and `accept_proposal` with `result`; counts rejections."""
    draft = f'{{"performative":"propose","receiver":"task:node","protocol":"fipa-contract-net","content":{bid}}}'
    said = "(i32.load16_u (i32.add (local.get $p) (i32.const 69)))"  # how the performative begins
    accept = on_accept or f"(return (call $reply (i32.const 400) (i32.const {len(result)})))"
    assert len(draft) <= 400
    return reactor(
        f"(if (i32.eq {said} (i32.const {int.from_bytes(b'cf', 'little')}))"
        f" (then (return (call $send (i32.const 0) (i32.const {len(draft)})))))"
        f"(if (i32.eq {said} (i32.const {int.from_bytes(b'ac', 'little')})) (then {accept}))"
        "(call $bump) (i32.const 0)",
        data=draft.ljust(400) + result,
    )


def answerer(content: str) -> str:
    """Answers everything with this content."""
    return reactor(f"(call $reply (i32.const 0) (i32.const {len(content)}))", data=content)


def _word(text: str) -> int:
    """Eight bytes of text as a guest loads them."""
    assert len(text) == 8
    return int.from_bytes(text.encode(), "little")


def puppet(counting: str = "(call $bump)") -> str:
    """Sends the message that it gets as the content of another; of any other message it counts one."""
    return reactor(
        "(call $act (local.get $p) (local.get $n))",
        extra=f"""(func $act (param $p i32) (param $n i32) (result i32) (local $s i32) (local $e i32)
  (local.set $s (local.get $p))
  (loop $l
   (local.set $s (i32.add (local.get $s) (i32.const 1)))
   (br_if $l (i64.ne (i64.load (local.get $s)) (i64.const {_word('"content')}))))
  (local.set $s (i32.add (local.get $s) (i32.const 10)))
  (local.set $e (i32.sub (i32.add (local.get $p) (local.get $n)) (i32.const 8)))
  (loop $m
   (local.set $e (i32.sub (local.get $e) (i32.const 1)))
   (br_if $m (i64.ne (i64.load (local.get $e)) (i64.const {_word(',"conver')}))))
  (if (i64.eq (i64.load (local.get $s)) (i64.const {_word('{"perfor')}))
   (then (return (i32.shr_u
    (call $send (local.get $s) (i32.sub (local.get $e) (local.get $s))) (i32.const 31)))))
  {counting}
  (i32.const 0))""",
    )

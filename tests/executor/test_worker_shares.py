"""What agents of one worker share: stacks, descriptors, scratch space, and what is said of full mailboxes."""

from __future__ import annotations

import json
import resource

import pytest
from wasmtime import Linker, Module, wat2wasm

from caxton.executor.binding import stacks
from caxton.executor.binding.instance import Instance, make_template
from caxton.executor.engine import make_engine
from caxton.protocol.agents import Profile
from caxton.protocol.control import Reach
from caxton.protocol.execution import End, Gone, Pressure
from support.worker_harness import STACK_BYTES, Harness
from support.worker_modules import reactor

ENOSPC = 51
KEEPS_40_MB = reactor(
    """(drop (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 1)
        (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 64)))
       (call $answer (call $resize (i32.load (i32.const 64)) (i64.const 40000000)))""",
    extra='(data (i32.const 16) "f")',
).replace(
    "(module ",
    """(module
 (import "wasi_snapshot_preview1" "path_open"
  (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $resize (param i32 i64) (result i32)))""",
    1,
)


@pytest.fixture(scope="module")
def worker():
    with Harness(reach=Reach.SCRATCH) as harness:
        yield harness


def test_scratch_directories_share_one_limit(worker: Harness) -> None:
    first, second = (worker.load(KEEPS_40_MB, scratch=True) for _ in range(2))
    assert worker.run(first).reply == b"0"
    assert worker.run(second).reply == b"%d" % ENOSPC  # 64 MB for all
    worker.send(End(first))
    worker.wait_for(lambda frame: isinstance(frame, Gone) and frame.handle == first)
    assert worker.run(second).reply == b"0"


def test_a_worker_may_open_as_many_files_as_the_system_allows(worker: Harness) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.parametrize("send", [["*"], ["other", "full", "fuller"]])
@pytest.mark.parametrize(
    ("draft", "refused"),
    [
        ({"performative": "inform", "receiver": "full", "content": 1}, True),
        ({"performative": "inform", "receiver": "other", "content": "full"}, False),
        ({"performative": "inform", "receiver": "other", "content": ["receiver", "full"]}, False),
        ({"performative": "inform", "receiver": "fuller", "content": {"full": 1}}, False),
    ],
)
def test_only_the_receiver_decides_whether_a_mailbox_is_full(
    worker: Harness, send: list[str], draft: dict[str, object], refused: bool
) -> None:
    text = json.dumps(draft)
    quoted = text.replace('"', '\\"')
    sender = worker.load(
        reactor(
            f"(call $answer (call $send (i32.const 16) (i32.const {len(text)})))",
            extra=f'(data (i32.const 16) "{quoted}")',
        ),
        send=send,
    )
    worker.send(Pressure(["full"], False))
    result = worker.run(sender)
    worker.send(Pressure([], False))
    assert result.reply == (b"-3" if refused else b"0")
    assert len(result.sent) == (1 if refused else 2)  # the reply too


def test_stacks_are_used_again_and_few_are_kept() -> None:
    engine = make_engine(Profile.STANDARD, 2 * STACK_BYTES, (), stacks.use_pool)  # a size of its own
    module = Module(engine, wat2wasm('(module (func (export "f") (result i32) (i32.const 7)))'))
    template = make_template(engine, Linker(engine).instantiate_pre(module), uses_fuel=False)
    before, kept_before = stacks.counts()
    guests = [called(Instance(template, memory_bytes=0, table_elements=0)) for _ in range(stacks.KEPT * 2)]
    assert stacks.counts() == (before + len(guests), kept_before)
    for guest in guests:
        guest.close()
    assert stacks.counts() == (before + stacks.KEPT, kept_before + stacks.KEPT)
    again = called(Instance(template, memory_bytes=0, table_elements=0))
    assert stacks.counts() == (before + stacks.KEPT, kept_before + stacks.KEPT - 1)
    again.close()


def called(guest: Instance) -> Instance:
    guest.begin_instantiate()
    assert guest.poll()
    guest.finish()
    guest.begin(guest.function(b"f"))
    assert guest.poll()
    assert guest.finish() == 7
    return guest

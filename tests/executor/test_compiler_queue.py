"""The queue of compilations: one at a time, in order, joined, cached, dropped with the router."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from caxton.protocol.agents import Profile
from caxton.protocol.control import Prepared, Progress
from caxton.protocol.errors import Code
from support import bombs
from support.executor_node import ExecutorNode, Router, alive, eventually

SLOW = bombs.constant_chains(12, 20_000)
QUICK = b'(module (memory (export "memory") 1) (func (export "_start")))'


@pytest.fixture
def node() -> Iterator[ExecutorNode]:
    with ExecutorNode() as running:
        yield running


@pytest.fixture
def router(node: ExecutorNode) -> Router:
    router = node.router()
    router.hello(0)
    return router


def compilers(node: ExecutorNode) -> list[int]:
    pid = node.process.pid
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split() if alive(int(child))]


def test_a_module_is_compiled_once(node: ExecutorNode, router: Router) -> None:
    first, second = router.prepare(QUICK), router.prepare(QUICK)
    assert first.info == second.info
    assert (first.cached, second.cached) == (False, True)
    node.restart()
    again = node.router()
    again.hello(0)
    assert again.prepare(QUICK).cached


def test_equal_requests_join_and_a_second_deployment_waits_its_turn(node: ExecutorNode, router: Router) -> None:
    one, other = router.ask(SLOW), router.ask(SLOW)
    quick = router.ask(QUICK)
    seen = set[int]()
    while seen != {one, other}:
        seen.add(router.wait_for(Progress).request_id)
    assert len(compilers(node)) == 1
    order = [router.wait_for(Prepared) for _ in range(3)]
    assert [frame.error for frame in order] == [None, None, None]
    assert {frame.request_id for frame in order[:2]} == {one, other}
    assert order[2].request_id == quick


def test_a_refusal_reaches_the_router_as_data(router: Router) -> None:
    answer = router.prepare(b"\x7fELF")
    assert answer.error
    assert (answer.error.code, answer.error.details["rule"]) == (Code.INVALID_WASM, "magic")


def test_a_digest_that_is_none_is_refused(router: Router) -> None:
    request = router.ask(QUICK, sha256="../../etc/passwd")
    answer = router.wait_for(Prepared, lambda frame: frame.request_id == request)
    assert answer.error
    assert answer.error.code is Code.INVALID_REQUEST


def test_compilations_end_with_their_router(node: ExecutorNode, router: Router) -> None:
    request = router.ask(SLOW)
    router.wait_for(Progress, lambda frame: frame.request_id == request)
    (child,) = compilers(node)
    router.close()
    eventually(lambda: not alive(child), "the compiler ends")
    fresh = node.router()
    fresh.hello(0)
    assert fresh.prepare(QUICK).error is None


def test_a_tampered_artifact_is_compiled_again_and_still_runs(node: ExecutorNode, router: Router) -> None:
    assert not router.prepare(QUICK).cached
    (path,) = node.artifacts.glob("*.artifact")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    node.end()
    path.write_bytes(data)
    node.process = node.launch()
    eventually(node.answers, "the executor listens")
    fresh = node.router()
    fresh.hello(0)
    answer = fresh.prepare(QUICK)
    assert answer.info
    assert not answer.cached
    assert path.read_bytes() != bytes(data)


def test_descriptors_do_not_pile_up(node: ExecutorNode, router: Router) -> None:
    router.prepare(b"\x7fELF")
    router.prepare(QUICK)
    before = len(os.listdir(f"/proc/{node.process.pid}/fd"))
    for _ in range(5):
        router.prepare(b"\x7fELF")
        router.prepare(QUICK)
    assert len(os.listdir(f"/proc/{node.process.pid}/fd")) == before


def test_a_profile_that_the_node_does_not_offer_is_refused(router: Router) -> None:
    answer = router.prepare(QUICK, Profile.THREADS)
    assert answer.error
    assert (answer.error.code, answer.error.details["path"]) == (Code.INVALID_REQUEST, "config.profile")


def test_profiles_are_compiled_apart(router: Router) -> None:
    assert not router.prepare(QUICK, Profile.STANDARD).cached
    assert not router.prepare(QUICK, Profile.DETERMINISTIC).cached
    assert router.prepare(QUICK, Profile.STANDARD).cached

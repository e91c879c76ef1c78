"""Every operation with arguments that nobody means: an answer or a refusal each, never an internal error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton.protocol.errors import Code
from caxton.protocol.frames import encode_frame
from caxton.protocol.operations import OPERATIONS, Call, Fail, Item, Nothing, Reply
from support.desk_node import RouterNode, deploy, until
from support.router_client import RouterClient
from support.router_modules import ECHO

AWAY = {"node.pause", "node.drain"}
"""They do what they say to the node that the others are tried on."""

words = st.sampled_from(
    ["", "echo", "a/b", "A", "é", "\0", "' OR 1=1 --", "%", "*", "x" * 300, "00000000-0000-4000-8000-000000000000"]
)
odd = st.one_of(
    st.none(),
    st.booleans(),
    words,
    st.sampled_from([0, 1, 50, -1, 2**31, 2**63 - 1, -(2**63), 0.0, -0.5, 1e308, math.inf, math.nan]),
    st.binary(max_size=16),
    st.lists(words, max_size=3),
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, bytes]:
    """An operation with a map of its own fields, each with an odd value or left out."""
    op = draw(st.sampled_from(sorted(set(OPERATIONS) - AWAY)))
    fields = OPERATIONS[op][0].__struct_fields__
    if draw(st.integers(0, 9)) == 0:
        return op, draw(st.binary(max_size=40))
    args = {name: draw(odd) for name in fields if draw(st.integers(0, 3))}
    if op == "agent.deploy":
        fields = ("name", "args", "env", "limits", "grants")
        args["config"] = {name: draw(odd) for name in fields if draw(st.booleans())}
    return op, msgspec.msgpack.encode(args)


@pytest.fixture(scope="module")
def node() -> Iterator[RouterNode]:
    with RouterNode() as started, started.client() as client:
        deploy(client, "echo", ECHO)
        yield started


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(calls(), min_size=1, max_size=6))
def test_odd_arguments_are_answered_or_refused(node: RouterNode, made: list[tuple[str, bytes]]) -> None:
    with node.client(timeout=15) as client:
        for call_id, (op, args) in enumerate(made, 1):
            client.socket.sendall(encode_frame(Call(call_id, op, args)))
        streams = {number for number, (op, _) in enumerate(made, 1) if op in ("events", "agent.logs")}
        waiting = set(range(1, len(made) + 1)) - streams
        while waiting:
            frame = client.receive()
            assert not isinstance(frame, Fail) or frame.error.code is not Code.INTERNAL_ERROR, (made, frame)
            if isinstance(frame, Reply | Fail):
                waiting.discard(frame.call_id)
            else:
                assert isinstance(frame, Item)
                assert frame.call_id in streams


def test_the_node_is_well_afterwards(node: RouterNode) -> None:
    with node.client() as client:
        until(lambda: _balanced(client))
        assert "Traceback" not in node.log


def _balanced(client: RouterClient) -> Any:
    ledger = client.call("ledger", Nothing())["node"]
    return ledger["imbalance"] == 0

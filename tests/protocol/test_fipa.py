"""The protocols as tables: every state that can be reached has a way to an end, and no sequence breaks them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.protocol import fipa
from caxton.protocol.fipa import ENDS, EXPIRED, NEW, PROTOCOLS, Role
from caxton.protocol.messages import Performative

ROLES = st.sampled_from(Role)
PERFORMATIVES = st.sampled_from(Performative)


def reached(protocol: str, start: str) -> set[str]:
    """Every state that can come after `start`, itself included."""
    found, more = {start}, [start]
    while more:
        following = set(PROTOCOLS[protocol].get(more.pop(), {}).values()) - found
        found |= following
        more += following
    return found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_state_is_reached_and_has_a_way_to_an_end(protocol: str) -> None:
    every = reached(protocol, NEW)
    assert set(PROTOCOLS[protocol]) <= every
    assert every - set(PROTOCOLS[protocol]) <= ENDS  # a state without steps is an end
    for state in every:
        assert reached(protocol, state) & ENDS
        assert (state in ENDS) == (not fipa.allowed(protocol, state))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_only_the_initiator_begins_and_whoever_waits_is_not_the_one_to_answer(protocol: str) -> None:
    assert {role for role, _ in PROTOCOLS[protocol][NEW]} == {Role.INITIATOR}
    for state, steps in PROTOCOLS[protocol].items():
        if state != NEW:
            assert any(role is not fipa.waiting(state) for role, _ in steps)


@given(st.sampled_from(sorted(PROTOCOLS)), st.lists(st.tuples(ROLES, PERFORMATIVES), max_size=40))
def test_no_sequence_of_steps_breaks_a_protocol(protocol: str, steps: list[tuple[Role, Performative]]) -> None:
    state = NEW
    for role, performative in steps:
        following = fipa.after(protocol, state, role, performative)
        assert (f"{role}: {performative}" in fipa.allowed(protocol, state)) == (following is not None)
        assert state not in ENDS or following is None
        state = following or state
        assert state in {NEW, *fipa.STATES}


def test_what_the_specification_allows() -> None:
    def path(protocol: str, *steps: tuple[str, str]) -> str | None:
        state: str | None = NEW
        for role, performative in steps:
            state = fipa.after(protocol, state, Role(role), performative) if state else None
        return state

    ours, theirs = "initiator", "participant"
    begun = (ours, "request")
    for answer in ("refuse", "not_understood", "inform", "failure"):
        assert path("fipa-request", begun, (theirs, answer)) in ENDS
    assert path("fipa-request", begun, (theirs, "agree"), (theirs, "inform")) == "done"
    assert path("fipa-request", begun, (theirs, "agree"), (theirs, "agree")) is None
    assert path("fipa-request", begun, (theirs, "propose")) is None
    bid = ((ours, "cfp"), (theirs, "propose"))
    assert path("fipa-contract-net", *bid, (ours, "accept_proposal"), (theirs, "inform")) == "done"
    assert path("fipa-contract-net", *bid, (ours, "reject_proposal")) == "rejected"
    assert path("fipa-contract-net", *bid, (theirs, "inform")) is None
    assert path("fipa-contract-net", (ours, "cfp"), (ours, "accept_proposal")) is None
    subscribed = ((ours, "subscribe"), (theirs, "agree"), (theirs, "inform"), (theirs, "inform"))
    assert path("fipa-subscribe", *subscribed) == "subscribed"
    assert path("fipa-query", (ours, "query_if"), (theirs, "confirm")) == "done"
    assert EXPIRED in ENDS
    assert not fipa.is_checked("fipa-brokering")

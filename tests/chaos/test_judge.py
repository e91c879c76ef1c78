"""The judge of a chaos run finds each thing that must not be; the draw of faults is the seed's."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest

from chaos.judge import Account, Diary, Evidence, Seen, Sent, problems
from chaos.schedule import LENGTHS, Kind, schedule

SENT = [Sent(f"a{turn}", "clerk", "talk", turn) for turn in range(3)]
WELL = Evidence(
    SENT,
    {"clerk": Diary(3, {"a0": 1, "a1": 2, "a2": 3})},
    {"node1": Account(3, 2, 0), "node2": Account(2, 0, 0)},
    [Seen("clerk", 1.0, ("node1",)), Seen("clerk", 2.0, ())],
)


def changed(**other: object) -> Evidence:
    return dataclasses.replace(WELL, **other)  # type: ignore[arg-type]  # of the fields' own types


WRONG: dict[str, tuple[Callable[[], Evidence], str]] = {
    "nothing sent": (lambda: changed(sent=[]), "nothing was accepted"),
    "agent gone": (lambda: changed(diaries={}), "clerk is gone"),
    "lost": (lambda: changed(diaries={"clerk": Diary(2, {"a0": 1, "a2": 2})}), "no effect"),
    "twice": (lambda: changed(diaries={"clerk": Diary(4, {"a0": 1, "a1": 2, "a2": 4})}), "twice"),
    "order": (lambda: changed(diaries={"clerk": Diary(3, {"a0": 1, "a1": 3, "a2": 2})}), "a2 took effect before a1"),
    "imbalance": (lambda: changed(accounts={"node1": Account(3, 0, 1)}), "off by 1"),
    "under way": (lambda: changed(accounts={"node1": Account(3, 0, 0, open=1)}), "under way"),
    "dead": (lambda: changed(accounts={"node1": Account(3, 0, 0, dead=1)}), "died"),
    "doubled in the ledgers": (lambda: changed(accounts={"node1": Account(4, 0, 0)}), "ledgers have 4"),
    "two homes": (lambda: changed(seen=[Seen("clerk", 1.0, ("node1", "node2"))]), "node1 and node2 at once"),
}


def test_a_run_that_went_well_has_no_problems() -> None:
    assert problems(WELL) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_must_not_be_is_found(name: str) -> None:
    make, words = WRONG[name]
    assert any(words in line for line in problems(make()))


def test_a_seed_gives_its_faults_again_and_another_gives_others() -> None:
    kinds = list(Kind)
    assert schedule(7, 300, 3, kinds) == schedule(7, 300, 3, kinds) != schedule(8, 300, 3, kinds)


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_is_one_that_can_happen(seed: int) -> None:
    faults = schedule(seed, 600, 3, list(Kind))
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert {fault.kind for fault in faults} == set(Kind)
    for fault in faults:
        assert (fault.seconds > 0) == (fault.kind in LENGTHS)
        assert len(set(fault.nodes)) == len(fault.nodes)
    for kind in Kind:
        own = [fault for fault in faults if fault.kind is kind]
        assert all(one.at + one.seconds <= two.at for one, two in itertools.pairwise(own))

"""What a cut between two nodes meant: homes, agents on both sides, duplicates; and no more than a hundred of them."""

from __future__ import annotations

from caxton.cluster.cuts import AFTERWARDS_SECONDS, KEPT, SHOWN_IDS, Cuts


def test_a_cut_lasts_until_the_node_is_met_again() -> None:
    cuts = Cuts()
    cut = cuts.parted("n2", 100.0, ["b", "a"], minority=False)
    assert cuts.parted("n2", 105.0, ["c"], minority=True) is cut  # noticed twice is one
    assert (cut.since, cut.until, cut.homes, cut.minority) == (100.0, None, ["a", "b"], True)
    assert cuts.met("n3", 110.0) is None
    assert cuts.met("n2", 120.0) is cut
    assert (cut.until, cuts.lasting("n2")) == (120.0, None)
    assert cuts.parted("n2", 130.0, [], minority=False) is not cut
    assert [one.since for one in cuts.all()] == [100.0, 130.0]


def test_the_minority_is_noted_on_the_cuts_that_last() -> None:
    cuts = Cuts()
    over = cuts.parted("n2", 1.0, [], minority=False)
    cuts.met("n2", 2.0)
    lasting = cuts.parted("n3", 3.0, [], minority=False)
    cuts.in_minority()
    assert (over.minority, lasting.minority) == (False, True)


def test_agents_on_both_sides_are_those_that_ran_here_and_there() -> None:
    cut = Cuts().parted("n2", 1.0, [], minority=False)
    cut.baseline = {"both": 5, "idle": 7}
    cut.ran = cut.still_ran({"both": 6, "idle": 7, "new": 1})
    assert cut.ran == ["both", "new"]
    Cuts.told(cut, ["both", "idle"])
    assert (cut.both_sides, cut.complete) == (["both"], True)


def test_duplicates_are_put_down_to_the_cut_for_an_hour() -> None:
    cuts = Cuts()
    assert not cuts.suppressed("n2", "m", 1.0)
    cut = cuts.parted("n2", 1.0, [], minority=False)
    cuts.met("n2", 10.0)
    for number in range(SHOWN_IDS + 5):
        assert cuts.suppressed("n2", f"m{number}", 20.0)
    assert (cut.suppressed_count, len(cut.suppressed)) == (SHOWN_IDS + 5, SHOWN_IDS)
    assert not cuts.suppressed("n2", "late", 11.0 + AFTERWARDS_SECONDS)


def test_the_last_hundred_are_kept() -> None:
    cuts = Cuts()
    for number in range(KEPT + 3):
        cuts.parted("n2", float(number), [], minority=False)
        cuts.met("n2", number + 0.5)
    assert [cuts.all()[0].since, len(cuts.all())] == [3.0, KEPT]
    assert len(Cuts([*cuts.all(), *cuts.all()]).all()) == KEPT

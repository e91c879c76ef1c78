"""What must hold at every size, on a simulated clock: copies become equal soon, a node's share stays its share."""

from __future__ import annotations

import pytest

from sim.scenarios import Figures, measure, moved

SIZES = ((3, 100), (30, 100), (90, 100), (30, 2_000))


@pytest.fixture(scope="module")
def figures() -> dict[tuple[int, int], Figures]:
    return {size: measure(*size) for size in SIZES}


@pytest.mark.parametrize("size", SIZES)
def test_a_change_is_everywhere_within_two_seconds(
    size: tuple[int, int], figures: dict[tuple[int, int], Figures]
) -> None:
    found = figures[size]
    assert found.one_change_seconds is not None
    assert found.one_change_seconds < 2
    assert found.burst_seconds is not None
    assert found.burst_seconds < 4


@pytest.mark.parametrize("size", SIZES)
def test_a_newcomer_has_everything_at_once_and_gets_it_about_once(
    size: tuple[int, int], figures: dict[tuple[int, int], Figures]
) -> None:
    found = figures[size]
    assert found.newcomer_seconds is not None
    assert found.newcomer_seconds < 5
    records = size[1] + 51
    assert 300 * records < found.newcomer_bytes < 2_000 * records + 20_000 * size[0]


def test_a_cluster_at_rest_says_nothing_of_its_agents(figures: dict[tuple[int, int], Figures]) -> None:
    few, many = figures[30, 100].rest, figures[30, 2_000].rest
    assert many.bytes < 1.05 * few.bytes


def test_what_a_node_sends_grows_no_faster_than_the_cluster(figures: dict[tuple[int, int], Figures]) -> None:
    small, large = figures[30, 100], figures[90, 100]
    assert large.rest.bytes < 4 * small.rest.bytes
    assert large.rest.most_bytes < 1.5 * large.rest.bytes
    assert large.one_change_bytes < 4 * small.one_change_bytes


@pytest.mark.parametrize(("nodes", "agents"), [(3, 1_000), (30, 5_000), (100, 3_000)])
def test_a_change_of_members_moves_one_members_share(nodes: int, agents: int) -> None:
    come, gone = moved(nodes, agents)
    assert 0.4 * agents / (nodes + 1) < come < 2 * agents / (nodes + 1)
    assert 0.4 * agents / nodes < gone < 2 * agents / nodes

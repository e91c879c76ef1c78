"""Whether a cluster is whole: every single thing that may be wrong is a problem, by name and node."""

from __future__ import annotations

import msgspec
import pytest

from caxton.protocol.cluster import MemberView, OutboxView, Path
from caxton.router.cluster.verdict import CLOCK_SECONDS, OUTBOX_SECONDS, problems

MEMBERS = [MemberView(node_id=name, path=Path.DIRECT, registry_equal=True) for name in ("n1", "n2", "n3")]


def names(
    members: list[MemberView], outbox: list[OutboxView] | None = None, *, expected: int = 3, majority: bool = True
) -> list[str]:
    found = problems(members, outbox or [], expected_nodes=expected, majority=majority)
    return [" ".join(filter(None, (one.problem, one.node))) for one in found]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"path": Path.NONE}, "unreachable n2"),
        ({"state": "draining"}, "draining n2"),
        ({"state": "failed"}, "failed n2"),
        ({"registry_equal": False}, "registry_differs n2"),
        ({"clock_offset_seconds": -CLOCK_SECONDS - 1}, "clock n2"),
    ],
)
def test_what_is_wrong_with_one_member(changed: dict[str, object], problem: str) -> None:
    assert names(MEMBERS) == []
    assert names([MEMBERS[0], msgspec.structs.replace(MEMBERS[1], **changed), MEMBERS[2]]) == [problem]


def test_a_relay_and_a_registry_that_nobody_knows_yet_are_no_problem() -> None:
    member = msgspec.structs.replace(MEMBERS[1], path=Path.RELAY, registry_equal=None)
    assert names([MEMBERS[0], member, MEMBERS[2]]) == []


def test_who_left_is_missed_as_long_as_it_is_expected() -> None:
    left = msgspec.structs.replace(MEMBERS[2], state="left", path=Path.NONE)
    assert names([*MEMBERS[:2], left]) == ["missing"]
    assert names([*MEMBERS[:2], left], expected=2) == []


def test_no_majority_and_what_waits_for_long() -> None:
    assert names(MEMBERS, majority=False) == ["minority"]
    waits = [OutboxView("a", "n2", 3, OUTBOX_SECONDS + 1), OutboxView("b", "n3", 9, OUTBOX_SECONDS - 1)]
    assert names(MEMBERS, waits) == ["outbox n2"]

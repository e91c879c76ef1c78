"""The verdict on an attack, given what was seen: it says no as readily as yes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from caxton.cli.selftest_run import Beats
from caxton.cli.selftest_verb import report, row_of
from caxton.cli.state import State
from caxton.protocol.agents import Limits
from caxton.protocol.errors import Code
from caxton.selftest import ATTACKS, Attack, Expected, Observed, judge
from caxton.selftest.judge import PATIENCE_SECONDS

GOT_THROUGH = Observed(
    "invoke", 0.1, performative="inform", content="well", peak_memory_bytes=1 << 30, log_bytes=500_000
)
CALLER_GAVE_UP = Observed("invoke", PATIENCE_SECONDS + 0.1, str(Code.EXECUTION_TIMEOUT))
NOT_TRIED = Observed("deploy", 0.1, str(Code.INTERNAL_ERROR))
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack.limit}: {attack.tried}")


def as_expected(expected: Expected) -> Observed:
    """What is seen when everything holds."""
    inside = {"code": expected.failure_code or Code.AGENT_FAILED, "exit_code": expected.exit_code}
    content = inside if expected.exit_code is not None or expected.failure_code else expected.content
    code = next(iter(sorted(expected.codes, key=lambda code: code or "")))
    return Observed(expected.at, 0.3, code, expected.rule, "inform", content)


@every_attack
def test_what_is_expected_holds(attack: Attack) -> None:
    assert judge(attack.expected, as_expected(attack.expected)).held


@every_attack
@pytest.mark.parametrize(
    "observed", [GOT_THROUGH, CALLER_GAVE_UP, NOT_TRIED], ids=["through", "gave up", "not tried"]
)
def test_a_limit_that_does_not_bind_is_seen(attack: Attack, observed: Observed) -> None:
    assert not judge(attack.expected, observed).held


@pytest.mark.parametrize(
    ("expected", "observed"),
    [
        (Expected(content=16, memory_bytes=1 << 20), {"content": 16, "peak_memory_bytes": (1 << 20) + 1}),
        (Expected(content=910), {"content": 911}),
        (Expected(exit_code=10), {"content": {"code": "AGENT_FAILED", "exit_code": 11}}),
        (Expected(log_bytes=5_000), {"log_bytes": 5_001}),
        (Expected(codes=frozenset({Code.CPU_LIMIT})), {"code": "CPU_LIMIT", "seconds": 10.1}),
        (Expected(at="deploy", codes=frozenset({Code.INVALID_WASM}), rule="functions"),
         {"at": "deploy", "code": "INVALID_WASM", "rule": "text"}),
    ],
)  # fmt: skip
def test_one_too_many_is_seen(expected: Expected, observed: dict[str, object]) -> None:
    assert not judge(expected, dataclasses.replace(Observed("invoke", 0.1), **observed)).held


def test_every_limit_of_an_agent_is_attacked() -> None:
    assert set(Limits.__struct_fields__) <= {attack.limit for attack in ATTACKS}


def test_a_row_that_did_not_hold_says_so_and_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    good = Beats([0.004, 0.002], [])
    rows = [row_of(attack, as_expected(attack.expected), good) for attack in ATTACKS]
    assert report(State(), rows) == 0
    assert "NO" not in capsys.readouterr().out
    rows[3] = row_of(ATTACKS[3], GOT_THROUGH, good)
    assert report(State(), rows) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [number for number, line in enumerate(lines[1:]) if " NO " in line] == [3]
    assert report(State(output="json"), rows) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["held"], [row["held"] for row in shown["rows"]].index(False)) == (False, 3)


@pytest.mark.parametrize("beats", [Beats([0.1], ["AGENT_FAILED"]), Beats([], [])], ids=["failed", "never answered"])
def test_a_good_agent_that_suffers_fails_the_run(beats: Beats) -> None:
    rows = [row_of(ATTACKS[0], as_expected(ATTACKS[0].expected), beats)]
    assert rows[0]["held"]
    assert report(State(quiet=True), rows) == 1

"""The verdict on one attack: what must have become of it against what was seen.

Owns the comparison, on plain data. Must never send anything: whoever attacks hands over what it saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from caxton.protocol.errors import Code

PATIENCE_SECONDS: Final = 20.0
"""So long a caller waits for an attack. Longer than any attack may take, or its giving up would look like a limit."""


@dataclass(frozen=True)
class Expected:
    """What must have happened: `at` which step it ended, and how; what is None is not looked at.

    `codes`: the error code is one of them (`None` in it: no error at all). `rule`: the structural rule that a
    deployment was refused by. `exit_code`, `content`: of the agent's reply. The rest are most values.
    """

    at: str = "invoke"
    codes: frozenset[Code | None] = frozenset({None})
    rule: str | None = None
    exit_code: int | None = None
    content: Any = None
    failure_code: Code | None = None
    seconds: float = 10.0
    memory_bytes: int | None = None
    log_bytes: int | None = None


@dataclass(frozen=True)
class Attack:
    """One attempt on one limit. `module` is made when it is needed; `limits` and `grants` as in a deployment.

    The last of `messages` invocations is the one that is judged.
    """

    limit: str
    tried: str
    module: Callable[[], bytes]
    expected: Expected
    limits: Mapping[str, Any] = field(default_factory=dict)
    grants: Mapping[str, Any] = field(default_factory=dict)
    profile: str = "standard"
    messages: int = 1


@dataclass(frozen=True)
class Observed:
    """What an attack led to. `at`: `deploy` when it was refused there. Seconds and bytes."""

    at: str
    seconds: float
    code: str | None = None
    rule: str | None = None
    performative: str | None = None
    content: Any = None
    peak_memory_bytes: int = 0
    log_bytes: int = 0


class Verdict(NamedTuple):
    """Whether the limit held, and what was seen, in a few words."""

    held: bool
    saw: str


def judge(expected: Expected, observed: Observed) -> Verdict:
    """Holds only when everything that was expected is what was seen."""
    inside = observed.content if isinstance(observed.content, dict) else {}
    held = (
        observed.at == expected.at
        and observed.code in expected.codes
        and observed.seconds <= expected.seconds
        and (expected.rule is None or observed.rule == expected.rule)
        and (expected.exit_code is None or inside.get("exit_code", 0) == expected.exit_code)
        and (expected.content is None or observed.content == expected.content)
        and (expected.failure_code is None or inside.get("code") == expected.failure_code)
        and (expected.memory_bytes is None or observed.peak_memory_bytes <= expected.memory_bytes)
        and (expected.log_bytes is None or observed.log_bytes <= expected.log_bytes)
    )
    return Verdict(held, describe(expected, observed))


def describe(expected: Expected, observed: Observed) -> str:
    """What was seen, as people would say it: a refusal, a code, an answer; and the size that matters."""
    took = f"after {observed.seconds:.2f} s"
    if observed.at == "deploy" and observed.code is not None:
        rule = f" (rule {observed.rule})" if observed.rule else ""
        return f"refused: {observed.code}{rule}"
    if observed.code is not None:
        return f"{observed.code} {took}"
    if observed.at == "deploy":
        return f"compiled {took}"
    parts = [_answer(observed)]
    if expected.memory_bytes is not None:
        parts.append(f"{observed.peak_memory_bytes} bytes of memory")
    if expected.log_bytes is not None:
        parts.append(f"{observed.log_bytes} bytes of log")
    return ", ".join(parts)


def _answer(observed: Observed) -> str:
    if isinstance(observed.content, dict) and "code" in observed.content:
        exit_code = observed.content.get("exit_code")
        return f"failure, exit {exit_code}" if exit_code is not None else f"failure: {observed.content['code']}"
    return f"answered {observed.content!r}"[:60]

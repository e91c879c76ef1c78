"""Whether a canary goes on, is promoted, or is taken back.

Owns the comparison of two versions' figures. Must never act on it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from caxton.protocol.versions import Canary, Figures

NOISE_SECONDS: Final = 0.005
"""Medians that are nearer to each other than this are equal, whatever their ratio."""


class Verdict(NamedTuple):
    """`promote`, or the `reason` why the new version is taken back."""

    promote: bool
    reason: str


def verdict(plan: Canary, new: Figures, old: Figures, *, over: bool) -> Verdict | None:
    """None: it goes on. `over`: its duration has passed.

    Failures that the executions still missing could not make good any more are enough to be taken back at once.
    """
    allowed = plan.max_error_rate * max(new.executions, plan.min_executions)
    if new.failed > allowed and new.error_rate > old.error_rate:
        return Verdict(
            False,
            f"{new.failed} of {new.executions} executions failed ({new.error_rate:.1%}; "
            f"allowed {plan.max_error_rate:.1%}, the old version {old.error_rate:.1%})",
        )
    if new.executions < plan.min_executions:
        return None
    bound = max(plan.max_latency_ratio * old.p50_seconds, old.p50_seconds + NOISE_SECONDS)
    if old.executions >= plan.min_executions and new.p50_seconds > bound:
        return Verdict(
            False,
            f"the median execution took {new.p50_seconds * 1000:.1f} ms, the old version's "
            f"{old.p50_seconds * 1000:.1f} ms (allowed {plan.max_latency_ratio:g} times that)",
        )
    return Verdict(True, "it has proven itself") if over else None

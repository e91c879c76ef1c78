"""What a node must withstand: modules that attack its limits, and the verdict on what became of each.

Owns the attacks and their judge, for `caxton selftest` and for the tests. Must never talk to a node: the command
line does.
"""

from caxton.selftest.attacks import ATTACKS, GOOD_AGENT
from caxton.selftest.judge import Attack, Expected, Observed, Verdict, judge

__all__ = ["ATTACKS", "GOOD_AGENT", "Attack", "Expected", "Observed", "Verdict", "judge"]

"""WAT text of the agents that the tests run: the one that `caxton selftest` uses."""

from __future__ import annotations

from caxton.selftest.wat import ECHO, IMPORTS, SPIN, reactor

__all__ = ["ECHO", "IMPORTS", "SPIN", "reactor"]

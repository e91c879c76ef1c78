"""The replicated registry: what is deployed, and what else every node must know (spec/cluster.md, "Registry").

Owns how copies of it become equal, whatever is lost, doubled or late. Must never do IO, look at a body, or wait: the
simulation runs these very modules with a clock and a network of its own.
"""

from caxton.cluster.registry.clock import Clock
from caxton.cluster.registry.copy import KEEP_SECONDS, Registry
from caxton.cluster.registry.epochs import AGENT, is_moment
from caxton.cluster.registry.exchange import Exchange, Taken
from caxton.cluster.registry.hints import Hints, hinted

__all__ = ["AGENT", "KEEP_SECONDS", "Clock", "Exchange", "Hints", "Registry", "Taken", "hinted", "is_moment"]

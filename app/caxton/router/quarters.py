"""In which worker processes an agent may run: what separates it from others, and which files they reach.

Owns the names of groups of workers (their tags). Must never know which workers there are.

* ``""`` the standing pool;
* `team/name` one agent's own worker, after it forced a kill, or since directories are granted to it;
* `team/` the agents of a namespace, where `isolation = "namespace"`; those of no namespace are the standing pool's;
* any of them with `+scratch` or `+dirs`: the same, for agents that have files (see `Reach`). No agent's name holds a
  plus or ends in a slash.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from caxton.protocol.access import namespace_of
from caxton.protocol.control import Reach
from caxton.protocol.execution import AgentSpec

NAMESPACE: Final = "namespace"
_SUFFIX: Final = {Reach.NOTHING: "", Reach.SCRATCH: "+scratch", Reach.GRANTED: "+dirs"}


class Quarters(NamedTuple):
    """`tag` of the workers, what they reach, and whether other agents run there too."""

    tag: str
    reach: Reach
    shared: bool


def quarters_of(spec: AgentSpec, *, isolated: bool, isolation: str) -> Quarters:
    """Where the agent of `spec` runs; `isolated`: by itself. `isolation` as configured."""
    reach = Reach.GRANTED if spec.dirs else Reach.SCRATCH if spec.scratch else Reach.NOTHING
    team = namespace_of(spec.name)
    group = spec.name if isolated else f"{team}/" if team and isolation == NAMESPACE else ""
    return Quarters(group + _SUFFIX[reach], reach, not isolated)


def own_of(tag: str, agent: str) -> bool:
    """Whether workers of this tag are the agent's own."""
    return tag.partition("+")[0] == agent


def is_group(tag: str) -> bool:
    """Whether several agents share workers of this tag, which come and go on demand."""
    group, plus, _ = tag.partition("+")
    return group.endswith("/") or (not group and bool(plus))

"""The deployed agents as the router holds them in memory.

Owns the registry of names. Must never write to the store: deployments do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from caxton.protocol.agents import AgentConfig, AgentStatus, EffectiveLimits, Instance, ModuleInfo, Quarantine, Shape
from caxton.protocol.errors import CaxtonError, Code
from caxton.store import SnapshotInfo


@dataclass(slots=True)
class Agent:
    """One deployed agent. `deployed_at` in seconds since the epoch; `incarnation` of its last instance."""

    name: str
    agent_id: str
    version: int
    config: AgentConfig
    module: ModuleInfo
    limits: EffectiveLimits
    shape: Shape
    instance: Instance
    max_concurrency: int
    deployed_at: float
    status: AgentStatus = AgentStatus.DEPLOYING
    status_reason: str | None = None
    incarnation: int = 0
    next_timer_id: int = 1
    state_bytes: int = 0
    capabilities: list[str] = field(default_factory=list)
    descriptor: Any = None
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    executions: int = 0
    """Of messages, since the router started, as the next three."""
    failures: int = 0
    """Those that counted as a failed attempt."""
    fuel: int = 0
    memory_bytes: int = 0
    """Of the instance that ran last, when its execution ended."""
    snapshot: SnapshotInfo | None = None
    """Its memory as of its last commit, for an agent whose state is that."""
    wakes: int = 0
    """How often an instance was made from it."""
    isolated: bool = False
    """Runs in a worker of its own: it forced a kill once, or has granted directories."""
    quarantine: Quarantine | None = None
    signature: str | None = None
    """The text that the module was deployed with."""
    signed_by: str | None = None

    def lost(self, culprit: bool) -> None:
        """An execution ended with its worker; it counts as failed when the agent was to blame."""
        self.executions += 1
        self.failures += culprit


_OF_A_VERSION = (
    "version", "config", "module", "limits", "shape", "instance", "max_concurrency", "deployed_at", "capabilities",
    "descriptor", "isolated", "signature", "signed_by",
)  # fmt: skip


def exchange_versions(one: Agent, other: Agent) -> None:
    """Each becomes the version that the other was; what is the agent's (keys, timers, status) stays where it is."""
    for name in _OF_A_VERSION:
        mine, theirs = getattr(one, name), getattr(other, name)
        setattr(one, name, theirs)
        setattr(other, name, mine)


class Registry:
    """Agents by name."""

    def __init__(self) -> None:
        self._agents: dict[str, Agent] = {}

    def __iter__(self) -> Iterator[Agent]:
        return iter(list(self._agents.values()))

    def __len__(self) -> int:
        return len(self._agents)

    def get(self, name: str) -> Agent | None:
        """The agent, or None."""
        return self._agents.get(name)

    def require(self, name: str) -> Agent:
        """The agent, or `AGENT_NOT_FOUND`."""
        agent = self._agents.get(name)
        if agent is None:
            raise unknown_agent(name)
        return agent

    def add(self, agent: Agent) -> None:
        """Registers a new agent, or `AGENT_ALREADY_EXISTS`."""
        if agent.name in self._agents:
            raise CaxtonError(
                Code.AGENT_ALREADY_EXISTS, f"an agent called {agent.name!r} is already deployed", name=agent.name
            )
        self._agents[agent.name] = agent

    def drop(self, name: str) -> None:
        """Forgets an agent; forgetting twice is no error."""
        self._agents.pop(name, None)


def unknown_agent(name: str) -> CaxtonError:
    """The refusal for a name that nobody has, or that the caller does not reach."""
    return CaxtonError(Code.AGENT_NOT_FOUND, f"no agent is called {name[:128]!r}", name=name[:128])

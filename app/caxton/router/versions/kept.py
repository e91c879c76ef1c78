"""Which versions of each agent are kept, and what an agent of one of them is.

Owns the list in memory and what is let go when there are too many. Must never put a version in another's place.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from caxton.config import Config
from caxton.protocol.agents import AgentConfig, EffectiveLimits, ModuleInfo
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.versions import KEPT_VERSIONS, BlueGreen, Canary, RolloutState, Strategy
from caxton.router import admission
from caxton.router.agents import Agent
from caxton.store import Changes, RolloutRow, VersionRow


class Versions:
    """Numbers and modules of the kept versions, by agent."""

    def __init__(self) -> None:
        self._modules: dict[str, dict[int, str]] = {}

    def load(self, rows: Iterable[VersionRow]) -> None:
        """What the store has."""
        for row in rows:
            self.add(row)

    def numbers(self, name: str) -> list[int]:
        """The kept versions of an agent, oldest first."""
        return sorted(self._modules.get(name, ()))

    def newest(self, name: str) -> int:
        """The largest number; a new version gets the next."""
        return max(self._modules.get(name, ()), default=0)

    def modules(self) -> set[str]:
        """SHA-256 of every module that a kept version is made of."""
        return {sha256 for versions in self._modules.values() for sha256 in versions.values()}

    def add(self, row: VersionRow) -> None:
        """A version is kept."""
        self._modules.setdefault(row.name, {})[row.version] = row.module.sha256

    def drop(self, name: str, numbers: Iterable[int] | None = None) -> set[str]:
        """Some versions, or all, are kept no more; gives their modules."""
        known = self._modules.get(name, {})
        found = {known.pop(number) for number in list(known if numbers is None else numbers)}
        if not known:
            self._modules.pop(name, None)
        return found

    def beyond(self, name: str, spared: set[int]) -> list[int]:
        """The oldest versions over `KEPT_VERSIONS`, but none of `spared`."""
        numbers = self.numbers(name)
        excess = len(numbers) - KEPT_VERSIONS
        return [number for number in numbers if number not in spared][: max(excess, 0)]


def version_row(agent: Agent, returned: str | None = None) -> VersionRow:
    """The version that the agent is now."""
    return VersionRow(
        name=agent.name,
        agent_id=agent.agent_id,
        version=agent.version,
        config=agent.config,
        module=agent.module,
        limits=agent.limits,
        shape=agent.shape,
        instance=agent.instance,
        max_concurrency=agent.max_concurrency,
        deployed_at=agent.deployed_at,
        capabilities=agent.capabilities,
        descriptor=agent.descriptor,
        isolated=agent.isolated,
        returned=returned,
        signature=agent.signature,
        signed_by=agent.signed_by,
    )


def candidate(
    agent: Agent, version: int, config: AgentConfig, module: ModuleInfo, limits: EffectiveLimits, *, isolated: bool
) -> Agent:
    """Another version of `agent`, to stand at its side. Its keys, timers and status are the agent's, not its own."""
    instance = admission.instance_of(config, module.shape)
    return Agent(
        name=agent.name,
        agent_id=agent.agent_id,
        version=version,
        config=config,
        module=module,
        limits=limits,
        shape=module.shape,
        instance=instance,
        max_concurrency=admission.concurrency_of(config, instance),
        deployed_at=time.time(),
        isolated=isolated or bool(config.grants.dirs),
    )


def agent_of_version(agent: Agent, row: VersionRow, config: Config) -> Agent:
    """A kept version of `agent`, to stand at its side; its limits are what this node's configuration allows now."""
    limits = admission.check_config(row.config, config)
    found = candidate(agent, row.version, row.config, row.module, limits, isolated=row.isolated)
    found.deployed_at = row.deployed_at
    found.capabilities, found.descriptor = list(row.capabilities), row.descriptor
    found.signature, found.signed_by = row.signature, row.signed_by
    return found


def plan_row(
    agent: Agent, strategy: Strategy, before: int, after: int, canary: Canary | None, blue_green: BlueGreen | None
) -> RolloutRow:
    """A rollout that begins now."""
    return RolloutRow(
        name=agent.name,
        agent_id=agent.agent_id,
        strategy=strategy,
        state=RolloutState.RUNNING,
        from_version=before,
        to_version=after,
        started_at=time.time(),
        canary=canary,
        blue_green=blue_green,
    )


def keep(changes: Changes, versions: Versions, row: VersionRow, spared: set[int]) -> set[str]:
    """Adds a version to `changes` and to memory, and lets the oldest go; gives the modules that may go with them."""
    changes.versions.append(row)
    versions.add(row)
    gone = versions.beyond(row.name, spared)
    changes.versions_removed.extend((row.name, number) for number in gone)
    return versions.drop(row.name, gone) if gone else set()


def no_version(name: str, version: int | None, kept: list[int]) -> CaxtonError:
    """What is said of a version that is not kept; None: there is none before the one that serves."""
    missing = "earlier version" if version is None else f"version {version}"
    return CaxtonError(
        Code.INVALID_REQUEST, f"version: {name!r} has no {missing}", path="version", found=version, expected=kept
    )


def without_rows(agents: Iterable[Agent], versions: Versions) -> list[VersionRow]:
    """The versions of agents that an older release deployed, which knows of no versions."""
    return [version_row(agent) for agent in agents if agent.version not in versions.numbers(agent.name)]


def strangers(rows: Iterable[VersionRow], agents: dict[str, str]) -> list[VersionRow]:
    """Versions of agents that an older release removed. `agents`: ids by name."""
    return [row for row in rows if agents.get(row.name) != row.agent_id]

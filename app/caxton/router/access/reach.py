"""How far a caller reaches: the agents, topics, capabilities and messages that exist for it.

Owns that comparison. Must never look anything up, and must never say of anything out of reach that it exists: the
refusals here are those for names that nobody has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, NoReturn

from caxton.protocol.access import Caller, Role
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.names import CAPABILITY_PREFIX, CLIENT_PREFIX, TOPIC_PREFIX
from caxton.router.agents import unknown_agent
from caxton.store import Extent

_ABOUT: Final = ("name", "agent", "sender", "winner", "initiator", "participant")
"""Where the data of an event names an agent that did something, or that it happened to."""


@dataclass(frozen=True, slots=True)
class Reach:
    """`namespace`, `agents`: as in `Caller`. `sender`: the caller in messages; `own_only`: it sees no others'."""

    namespace: str | None = None
    agents: tuple[str, ...] | None = None
    sender: str = ""
    own_only: bool = False

    @property
    def extent(self) -> Extent:
        """The same for queries of the store."""
        return Extent(self.namespace, self.sender if self.own_only else None)

    def inside(self, name: str) -> bool:
        """Whether a name lies in the caller's namespace."""
        return self.namespace is None or name.startswith(f"{self.namespace}/")

    def agent(self, name: str) -> bool:
        """Whether this agent exists for the caller, should it exist at all."""
        named = self.agents is None or any(fnmatchcase(name, pattern) for pattern in self.agents)
        return named and self.inside(name)

    def label(self, prefix: str, name: str) -> bool:
        """Whether a topic or capability is the caller's; among `agents` it must be literally, with its prefix."""
        return self.inside(name) and (self.agents is None or prefix + name in self.agents)

    def topic(self, name: str) -> bool:
        """Whether a topic is the caller's."""
        return self.label(TOPIC_PREFIX, name)

    def capability(self, name: str) -> bool:
        """Whether a capability is the caller's."""
        return self.label(CAPABILITY_PREFIX, name)

    def message(self, sender: str, receiver: str) -> bool:
        """Whether a message exists for the caller: it belongs to its receiver's namespace, and to its sender."""
        name = receiver.removeprefix(CAPABILITY_PREFIX).removeprefix(TOPIC_PREFIX)
        return self.inside(name) and (not self.own_only or sender == self.sender)

    def event(self, data: Mapping[str, Any]) -> bool:
        """Whether an event is about an agent in reach."""
        if self == EVERYTHING:
            return True
        return any(isinstance(name := data.get(key), str) and self.agent(name) for key in _ABOUT)

    def require_agent(self, name: str) -> None:
        """`AGENT_NOT_FOUND`, as for a name that nobody has."""
        if not self.agent(name):
            raise unknown_agent(name)

    def require_receiver(self, receiver: str) -> None:
        """May a message be sent there? `FORBIDDEN` for a topic, as any name is one; else as for an unknown name."""
        if receiver.startswith(TOPIC_PREFIX):
            if not self.topic(receiver.removeprefix(TOPIC_PREFIX)):
                self.forbid(f"the topic {receiver[:128]!r}", path="receiver")
        elif receiver.startswith(CAPABILITY_PREFIX):
            name = receiver.removeprefix(CAPABILITY_PREFIX)
            if not self.capability(name):
                raise CaxtonError(
                    Code.AGENT_NOT_FOUND,
                    f"capability {name[:128]!r}: no agent offers it",
                    capability=name[:128],
                    near=[],
                )
        else:
            self.require_agent(receiver)

    def forbid(self, what: str, **details: Any) -> NoReturn:
        """`FORBIDDEN` with the reason. Only for what does not depend on whether anything exists."""
        if self.namespace is not None:
            reason = f"this credential is bound to the namespace {self.namespace!r}"
        else:
            reason = "this credential is bound to agents by name"
        raise CaxtonError(Code.FORBIDDEN, f"{what} is out of reach: {reason}", namespace=self.namespace, **details)


EVERYTHING: Final = Reach()


def reach_of(caller: Caller) -> Reach | None:
    """How far a caller reaches; None = everywhere, which is decided in no time: most callers are on the hot path."""
    client = caller.role is Role.AGENT_CLIENT
    if caller.namespace is None and caller.agents is None and not client:
        return None
    return Reach(caller.namespace, caller.agents, CLIENT_PREFIX + caller.subject, client or caller.agents is not None)

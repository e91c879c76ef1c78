"""Where things are: the node that handles a message, runs an agent, decides about a name.

Owns the questions that forwarding asks of registry and members, and their answers. Must never ask another node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from caxton.cluster import placement
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.names import TASK_PREFIX, TASKS
from caxton.protocol.peers import AgentRecord
from caxton.router.cluster.agent_records import STOPPED
from caxton.router.cluster.sight import Sight

RETRY_SECONDS: Final = 2


class Records(Protocol):
    """What is asked of the registry; `router.cluster.records.Records` is one."""

    def agent(self, name: str) -> AgentRecord | None:
        """What every node knows of an agent."""

    def agents(self) -> Iterable[AgentRecord]:
        """All of them."""

    def is_removed(self, name: str) -> bool:
        """Whether an agent of this name is known to be gone."""


class Places:
    """`hosted(name)`: whether an agent is on this node; `serves(name)`: whether it takes messages here now;
    `begins(name)`: whether it is being started here for the first time.
    """

    def __init__(
        self,
        node_id: str,
        members: Callable[[], Sight],
        records: Records,
        hosted: Callable[[str], bool],
        serves: Callable[[str], bool],
        begins: Callable[[str], bool],
    ) -> None:
        self.node_id = node_id
        self.members = members
        self.records = records
        self.record = records.agent
        self.hosted = hosted
        self.serves = serves
        self.begins = begins

    def of_message(
        self, receiver: str, conversation_id: str, *, fresh: bool = False, here: bool | None = None
    ) -> str | None:
        """The node that handles it; None: nobody does now. A name that nobody knows is this node's to refuse.

        A `fresh` conversation, which this node has made up, belongs to nobody yet: a replica here takes it. `here`:
        whether there is one, as far as the caller is concerned.
        """
        if receiver.startswith(TASK_PREFIX):
            return self.node_id if receiver == TASKS else receiver.removeprefix(TASK_PREFIX)
        record = self.record(receiver)
        if record is None:
            return self.node_id
        if record.home is not None:
            return record.home
        active = self.members().active
        if here is None:
            here = self.serves(receiver)
        if here and (not active or (fresh and self.node_id in active)):
            return self.node_id
        place = placement.owner(record, conversation_id, active)
        if place == self.node_id and not here:  # it is about to come: meanwhile another replica takes it
            others = [one for one in placement.hosts(record, active) if one in active and one != self.node_id]
            return placement.first(conversation_id, others)
        return place

    def of_agent(self, name: str) -> str | None:
        """A node that can say how the agent is: this one if it lives here too; None: there is none now."""
        record = self.record(name)
        if record is None or (record.home is None and self.hosted(name)):
            return self.node_id
        hosts = placement.hosts(record, self.members().active)
        places = [one for one in hosts if one != self.node_id or self.hosted(name)]  # it may be about to come here
        return next((one for one in places if self.reaches(one)), next(iter(places), None))

    def decider(self, name: str, pin: str | None = None) -> str | None:
        """The node that makes changes to what has this name; None: there is none now."""
        record = self.record(name)
        if record is None and self.hosted(name):
            return self.node_id
        if pin is not None and pin not in self.members().states and pin not in self.members().out:
            return self.node_id  # to be refused: it is no member's name
        return placement.decider(name, record, self.members().active, pin)

    def reaches(self, node: str) -> bool:
        """Whether the node is this one or answers."""
        return node == self.node_id or node in self.members().reachable

    def others(self) -> list[str]:
        """Every other node that answers, by name."""
        return sorted(self.members().reachable - {self.node_id})

    def absent(self) -> list[str]:
        """Every other node of the cluster that does not answer, by name."""
        members = self.members()
        return sorted(members.nodes - members.reachable - {self.node_id})

    def exists(self, name: str) -> bool:
        """Whether anybody in the cluster has an agent of this name."""
        return self.hosted(name) or self.record(name) is not None

    def require_running(self, name: str) -> None:
        """`AGENT_STOPPED` for an agent that is to be stopped: it takes nothing, wherever it lives."""
        record = self.record(name)
        if record is not None and record.status == STOPPED:
            raise CaxtonError(
                Code.AGENT_STOPPED, f"agent {name!r} is stopped; start it first", name=name, status=STOPPED
            )

    def require_majority(self) -> None:
        """`CLUSTER_MINORITY` where this side of the cluster may not change anything."""
        if not self.members().majority:
            raise minority("this node sees less than half of the cluster: nothing is changed until it sees more")


def minority(why: str, **details: object) -> CaxtonError:
    """The refusal of a change that could be made twice, differently."""
    return CaxtonError(Code.CLUSTER_MINORITY, why, retry_after_seconds=RETRY_SECONDS, **details)


def unreachable(node: str | None, what: str) -> CaxtonError:
    """The refusal of what only that node could answer."""
    return CaxtonError(
        Code.NOT_READY,
        f"{what} is on {node or 'no node'} now, which cannot be reached; try again",
        node=node,
        retry_after_seconds=RETRY_SECONDS,
    )


def is_unreachable(error: CaxtonError) -> bool:
    """Whether a call failed on its way: the other node may have done it or not."""
    return error.code is Code.NOT_READY and "node" in error.details


def not_here(name: str, epoch: int = 0) -> CaxtonError:
    """The answer to a node that thinks that something lives here; `epoch` of the record by which it does not."""
    return CaxtonError(
        Code.NOT_READY,
        f"{name[:128]!r} does not live on this node; its record says where",
        not_here=True,
        epoch=epoch,
        retry_after_seconds=1,
    )


def is_not_here(error: CaxtonError) -> bool:
    """Whether the other node's registry says something else than this one's."""
    return error.code is Code.NOT_READY and error.details.get("not_here") is True

"""What crosses the links between nodes (spec/cluster.md): arguments of the `peer.*` operations, and registry records.

Owns their shapes. Must never open a link. A node of this release talks to one of the release before: fields are only
ever added, with defaults, and unknown ones are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from caxton.protocol.access import Caller
from caxton.protocol.agents import ModuleInfo
from caxton.protocol.messages import Message

LINK_VERSION: Final = 1
OLDEST_LINK_VERSION: Final = 1
"""What this release still talks to."""
LINK_PATH: Final = "/internal/v1/link"
LINK_UPGRADE: Final = "caxton-link/1"
NODE_ID: Final = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"
"""The pattern of a node's name, without anchors: a host name, and the name in the node's certificate."""
_node_id: Final = re.compile(NODE_ID).fullmatch


def certificate_name(shown: Mapping[str, Any] | None) -> str | None:
    """The node whose certificate this is (as `ssl.SSLSocket.getpeercert` gives it, verified); None: no node's.

    Its common name, which has to be among its DNS names too: all of those but this one may be shared by many nodes.
    """
    shown = shown or {}
    common = [value for part in shown.get("subject", ()) for key, value in part if key == "commonName"]
    names = {value for kind, value in shown.get("subjectAltName", ()) if kind == "DNS"}
    if len(common) != 1 or common[0] not in names or not _node_id(common[0]):
        return None
    return str(common[0])


class NodeState(StrEnum):
    """What a node says of itself."""

    ACTIVE = "active"
    DRAINING = "draining"
    LEFT = "left"


class PeerOpen(msgspec.Struct, frozen=True):
    """First call on a link, by the API worker that has seen the certificate: `node_id` is its name."""

    node_id: str
    link_version: int
    address: str = ""


class Beat(msgspec.Struct, frozen=True):
    """A heartbeat, and its answer. `at`: the sender's clock, seconds.

    `missing`: the members that it has had no sign of life from for `detection_timeout`; whom it knows and does not
    name, it reaches. Almost always nobody: a thousand nodes could not tell each other every second whom they reach.
    `boot_id` tells one life of a router from the next; `digest` is of its registry; `link_version` what it speaks.
    """

    node_id: str
    boot_id: str
    at: float
    state: NodeState = NodeState.ACTIVE
    missing: tuple[str, ...] = ()
    digest: str = ""
    software: str = ""
    link_version: int = LINK_VERSION
    api_address: str = ""


class Forward(msgspec.Struct, frozen=True):
    """Any operation, to be answered by the node that gets it. `args` as in `Call`; `hops` that it has made so far."""

    op: str
    args: bytes
    caller: Caller
    hops: int = 1
    origin: str = ""


class Relay(msgspec.Struct, frozen=True):
    """A call for `node`, which the asker cannot reach; made once, never by way of a third."""

    node: str
    op: str
    args: bytes
    timeout_seconds: float = 30.0


class Posted(msgspec.Struct, frozen=True):
    """A message out of an outbox. `accepted_at`: there, seconds; `delivery` as in the store.

    `attempts`: deliveries that have failed where its agent lived before; older releases do not tell.
    """

    message: Message
    accepted_at: float
    delivery: str
    attempts: int = 0


class Deliver(msgspec.Struct, frozen=True):
    """Messages out of the outbox of `origin`, in order."""

    origin: str
    posted: list[Posted]


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One entry of the registry. `hlc`: hybrid logical clock (milliseconds << 16 | counter); `writer`: node id.

    A writer never gives one `hlc` twice and never goes back, so it numbers the writer's changes too. `body` is
    msgpack of what `kind` says, kept as it came, so that fields of a newer release survive; None for a tombstone.
    """

    kind: str
    name: str
    hlc: int
    writer: str
    body: bytes | None


class Seen(msgspec.Struct, frozen=True):
    """How far a copy has one writer's changes, and the last tombstone of its that was let go there. Both `hlc`."""

    writer: str
    upto: int
    collected: int = 0


class Pull(msgspec.Struct, frozen=True):
    """Asks for what the asker lacks: `vector` says up to which `hlc` it has each writer's changes; empty: everything.

    `cursor`: of the page before; `asker`: its node id.
    """

    vector: dict[str, int]
    limit: int = 1_000
    cursor: str = ""
    asker: str = ""


class Delta(msgspec.Struct, frozen=True):
    """Records that the asker lacked. With `more` it asks again, with `cursor`; only the last page has a `vector`.

    `vector`: how far it is when it has taken all pages, where that is further than it was; `covers`: the answerer has
    all that the asker has. `missed`: writers whose tombstones the asker never saw and nobody has any more, with the
    last of them; `digest`: of the answerer's registry.
    """

    records: list[Record]
    vector: dict[str, int]
    more: bool = False
    cursor: str = ""
    covers: bool = False
    missed: dict[str, int] = {}
    digest: str = ""


class Module(msgspec.Struct, frozen=True):
    """Asks for the bytes of a module from `offset` on, as a stream of `ModulePart`."""

    sha256: str
    offset: int = 0


class ModulePart(msgspec.Struct, frozen=True):
    """The next bytes of a module that has `size_bytes` in all."""

    size_bytes: int
    data: bytes


class AgentRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a record of kind `agent`: what every node knows of an agent, wherever it runs.

    `config` is the JSON of the `AgentConfig`, kept as text: one of a newer release need not be readable to be
    forwarded to. `status`: `running` or `stopped`, what is wanted. `home` None: without durable state. `epoch` begins
    as the moment of the deployment (milliseconds since 1970; 1 where an older release deployed it) and grows whenever
    the home changes. Of two records the one of the higher epoch stays, whichever was written later; a node that finds
    a higher one than its own no longer runs the agent.
    """

    name: str
    agent_id: str
    version: int
    status: str
    config: bytes
    module: ModuleInfo
    deployed_at: float
    home: str | None = None
    replicas: int | str = 1
    node: str | None = None
    epoch: int = 1
    capabilities: tuple[str, ...] = ()
    descriptor: Any = None
    signature: str | None = None
    signed_by: str | None = None


class Awaited(msgspec.Struct, frozen=True):
    """Asks for the `Outcome` of a message that the other node has, within so many seconds."""

    message_id: str
    timeout_seconds: float

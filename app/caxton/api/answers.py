"""Models of answers that exist in HTTP only.

Owns their fields. Must never compute a value.
"""

from __future__ import annotations

import msgspec

from caxton.protocol.access import Permission, Role
from caxton.protocol.cluster import HealReport, MemberView
from caxton.protocol.debugging import TransitionView
from caxton.protocol.namespaces import NamespaceView
from caxton.protocol.operations import Affected
from caxton.protocol.recordings import RecordedView
from caxton.protocol.secrets import SecretView
from caxton.protocol.talks import CapabilityView, TalkView, TaskView, TopicView
from caxton.protocol.versions import VersionView
from caxton.protocol.views import (
    AgentView,
    ExecutionView,
    ItemView,
    KeyView,
    LogView,
    MessageView,
    StateView,
    TokenView,
)


class Health(msgspec.Struct, frozen=True):
    """Answer of GET /health."""

    status: str = "ok"


class CallerView(msgspec.Struct, frozen=True):
    """Answer of GET /whoami: what the credentials of this request say, and what they open."""

    subject: str
    role: Role
    permissions: list[Permission]
    namespace: str | None = None
    agents: list[str] | None = None


class Items(msgspec.Struct, frozen=True):
    """Answer of POST /messages for a batch, in the order of the request."""

    items: list[ItemView]


class AgentPage(msgspec.Struct, frozen=True):
    """One page of agents."""

    items: list[AgentView]
    next_cursor: str | None = None


class MessagePage(msgspec.Struct, frozen=True):
    """One page of messages or dead letters."""

    items: list[MessageView]
    next_cursor: str | None = None


class VersionPage(msgspec.Struct, frozen=True):
    """One page of versions."""

    items: list[VersionView]
    next_cursor: str | None = None


class LogPage(msgspec.Struct, frozen=True):
    """The last lines of a log."""

    items: list[LogView]
    next_cursor: str | None = None


class StatePage(msgspec.Struct, frozen=True):
    """One page of an agent's keys."""

    items: list[StateView]
    next_cursor: str | None = None


class ExecutionPage(msgspec.Struct, frozen=True):
    """One page of executions."""

    items: list[ExecutionView]
    next_cursor: str | None = None


class RecordingPage(msgspec.Struct, frozen=True):
    """One page of recorded executions."""

    items: list[RecordedView]
    next_cursor: str | None = None


class TransitionPage(msgspec.Struct, frozen=True):
    """One page of an agent's history."""

    items: list[TransitionView]
    next_cursor: str | None = None


class KeyPage(msgspec.Struct, frozen=True):
    """One page of API keys."""

    items: list[KeyView]
    next_cursor: str | None = None


class TokenPage(msgspec.Struct, frozen=True):
    """One page of revoked tokens."""

    items: list[TokenView]
    next_cursor: str | None = None


class ConversationPage(msgspec.Struct, frozen=True):
    """One page of conversations that follow a protocol."""

    items: list[TalkView]
    next_cursor: str | None = None


class SecretPage(msgspec.Struct, frozen=True):
    """One page of secrets."""

    items: list[SecretView]
    next_cursor: str | None = None


class CapabilityPage(msgspec.Struct, frozen=True):
    """One page of capabilities."""

    items: list[CapabilityView]
    next_cursor: str | None = None


class TopicPage(msgspec.Struct, frozen=True):
    """One page of topics."""

    items: list[TopicView]
    next_cursor: str | None = None


class TaskPage(msgspec.Struct, frozen=True):
    """One page of tasks."""

    items: list[TaskView]
    next_cursor: str | None = None


class NamespacePage(msgspec.Struct, frozen=True):
    """One page of namespaces."""

    items: list[NamespaceView]
    next_cursor: str | None = None


class DeployForm(msgspec.Struct, frozen=True):
    """The parts of a multipart deployment: `wasm` (binary or text format), `config` (JSON), `signature` (text)."""

    wasm: bytes
    config: str
    signature: str | None = None


class UpdateForm(msgspec.Struct, frozen=True):
    """The parts of a multipart update: any of them."""

    wasm: bytes | None = None
    config: str | None = None
    signature: str | None = None


__all__ = [
    "Affected",
    "AgentPage",
    "CapabilityPage",
    "ConversationPage",
    "DeployForm",
    "ExecutionPage",
    "Health",
    "Items",
    "KeyPage",
    "LogPage",
    "MessagePage",
    "NamespacePage",
    "SecretPage",
    "StatePage",
    "TaskPage",
    "TokenPage",
    "TopicPage",
    "UpdateForm",
    "VersionPage",
]


class MemberPage(msgspec.Struct, frozen=True):
    """The nodes of the cluster."""

    items: list[MemberView]
    next_cursor: str | None = None


class ReportPage(msgspec.Struct, frozen=True):
    """What cuts between nodes meant."""

    items: list[HealReport]
    next_cursor: str | None = None

"""Names in paths: an agent's, a message's.

Owns their patterns in URLs. Must never decide whether the thing exists.
"""

from __future__ import annotations

from typing import Final

from werkzeug.routing import BaseConverter

RESERVED: Final = frozenset(
    (
        "executions",
        "history",
        "http-calls",
        "invoke",
        "logs",
        "messages",
        "recordings",
        "rollback",
        "rollout",
        "schedules",
        "start",
        "state",
        "stop",
        "versions",
    )
)
"""What follows an agent's name in a path; no agent may have it as the second part of its name."""


class AgentName(BaseConverter):
    """`name` or `team/name`; anything else is answered 404 by the routing itself."""

    regex = rf"[^/]+(?:/(?!(?:{'|'.join(sorted(RESERVED))})$)[^/]+)?"
    part_isolating = False


class TopicName(BaseConverter):
    """As an agent's name; its second part is no verb of a topic."""

    regex = r"[^/]+(?:/(?!(?:subscribe|unsubscribe)$)[^/]+)?"
    part_isolating = False


class MessageId(BaseConverter):
    """One segment that is no verb of the dead letters."""

    regex = r"(?!(?:purge|replay)$)[^/]+"

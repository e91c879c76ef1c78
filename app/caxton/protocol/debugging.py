"""What somebody needs who looks for a fault: how an agent came to be what it is, and the node below it.

Owns these shapes. Must never hold a secret: the configuration in them is as `caxton config show` shows it.
"""

from __future__ import annotations

from typing import Any

import msgspec


class TransitionView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An agent became this: `status` as in `AgentView`, or `removed`. `at` RFC 3339."""

    at: str
    name: str
    status: str
    version: int
    agent_id: str
    reason: str | None = None


class Setting(msgspec.Struct, frozen=True):
    """One key of the configuration, where its value comes from; secrets are masked."""

    key: str
    value: Any
    origin: str


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A node, its host and its software. Sizes in bytes; `load`: the mean over 1, 5 and 15 minutes.

    `figures`: the numbers of which `/metrics` is made.
    """

    node: str
    at: str
    started_at: str
    versions: dict[str, str | None]
    host: str
    kernel: str
    machine: str
    cores: int
    load: tuple[float, float, float]
    memory_bytes: int
    memory_available_bytes: int
    data_path: str
    disk_bytes: int
    disk_free_bytes: int
    config: list[Setting]
    figures: dict[str, Any]

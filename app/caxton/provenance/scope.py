"""Which agents a signature, or a key, is good for.

Owns the three forms `*`, `team/*` and an agent's name. Must never know who signs.
"""

from __future__ import annotations

from typing import Final

from caxton.protocol.names import is_agent_name

EVERYTHING: Final = "*"
EXPECTED: Final = "* (every agent), team/* (every agent of that namespace), or one agent's name"


def is_scope(text: str) -> bool:
    """Whether `text` is one of the three forms."""
    if text == EVERYTHING:
        return True
    namespace = text.removesuffix("/*")
    return is_agent_name(text) if namespace == text else "/" not in namespace and is_agent_name(namespace)


def covers(scope: str, name: str) -> bool:
    """Whether the agent `name` is within `scope`. A namespace is not its agents' prefix: `team/*` is not `team`."""
    return scope in (EVERYTHING, name) or (scope.endswith("/*") and name.startswith(scope[:-1]))

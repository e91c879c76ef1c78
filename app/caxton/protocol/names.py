"""Names that people choose: agents, keys, topics, capabilities.

Owns which names are allowed and who a sender is. Must never look a name up.
"""

from __future__ import annotations

import re
from typing import Final

from caxton.protocol.errors import CaxtonError, Code

MAX_NAME_LENGTH: Final = 128
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)?", re.ASCII)
CLIENT_PREFIX: Final = "client:"
TIMER_PREFIX: Final = "timer:"
CAPABILITY_PREFIX: Final = "capability:"
TOPIC_PREFIX: Final = "topic:"
TASK_PREFIX: Final = "task:"
TASKS: Final = "task:node"
"""The node itself, as the one who calls for proposals; the conversation says for which task.

To agents elsewhere it is `task:ID`, with the node's id.
"""


def is_agent_name(text: str) -> bool:
    """Whether `text` may name an agent: `name` or `team/name`, lower case, digits, `.`, `_`, `-`."""
    return len(text) <= MAX_NAME_LENGTH and _NAME.fullmatch(text) is not None


def require_agent_name(text: str, path: str = "name") -> str:
    """`text` if it may name an agent, else `INVALID_REQUEST` with the field's `path`."""
    if is_agent_name(text):
        return text
    raise CaxtonError(
        Code.INVALID_REQUEST,
        f"{path}: {text[:80]!r} is not an agent name",
        path=path,
        expected=f"1 to {MAX_NAME_LENGTH} of a-z 0-9 . _ - (no dash or dot at an end), optionally team/name",
    )

"""The part of a path that is an agent's name: `name` or `team/name`.

Owns its pattern in URLs. Must never decide whether the agent exists.
"""

from __future__ import annotations

from werkzeug.routing import BaseConverter


class AgentName(BaseConverter):
    """One or two path segments; anything else is answered 404 by the routing itself."""

    regex = r"[^/]+(?:/[^/]+)?"
    part_isolating = False

"""How often somebody may ask, and how many connections they may hold.

Owns the buckets that all API workers of a node share. Must never know a route, or keep a credential.
"""

from typing import Final

from caxton.api.limits.connections import CONNECTIONS, Connections
from caxton.api.limits.gate import ADDRESS, IDENTITY, LOGIN, VISITOR, Limits

REASONS: Final = (IDENTITY, ADDRESS, LOGIN, VISITOR, CONNECTIONS)
"""Why somebody may be refused; the labels of the metric that counts it."""

__all__ = ["CONNECTIONS", "REASONS", "Connections", "Limits"]

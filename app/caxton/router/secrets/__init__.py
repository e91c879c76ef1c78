"""Agents' secrets: encrypted at rest, handed out by name and grant.

Owns everything about them in the router. Must never log, publish or record a value.
"""

from caxton.router.secrets.vault import Secrets, unknown_secret

__all__ = ["Secrets", "unknown_secret"]

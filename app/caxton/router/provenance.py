"""Signatures of modules: what comes in, and what is here already.

Owns when a signature is asked for and what is kept of it. Must never decide whether one holds: `Trust` does.

What comes in with a signature that does not hold is refused, whether signatures are required or not. What is here
already is looked at again whenever it is to be started (boot, start, rollback, a restored backup), but only where
signatures are required; and then the key must be trusted still, while the signature may have expired since.
"""

from __future__ import annotations

import time

from caxton.protocol.errors import CaxtonError
from caxton.router.agents import Agent
from caxton.router.desk import Desk


def require_incoming(desk: Desk, name: str, sha256: str, signature: str | None) -> str | None:
    """The id of the key that signed the module for this agent; None without a signature. `SIGNATURE_REFUSED`."""
    required = desk.config.security.require_signatures
    return desk.trust.require(name, sha256, signature, required=required, now=time.time())


def require_kept(desk: Desk, agent: Agent) -> None:
    """`SIGNATURE_REFUSED` where signatures are required and the one that this version came with holds no more."""
    if desk.config.security.require_signatures:
        desk.trust.require(agent.name, agent.module.sha256, agent.signature, required=True)


def refused(desk: Desk) -> list[str]:
    """Agents that could not be started now; they go on until somebody ends them."""
    found = []
    for agent in desk.registry:
        try:
            require_kept(desk, agent)
        except CaxtonError:
            found.append(agent.name)
    return found

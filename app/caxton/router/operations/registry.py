"""What other nodes ask of this one for the registry: changes, and the bytes of modules.

Owns these answers. Must never act on who asks: every member may have all of it.
"""

from __future__ import annotations

from caxton.protocol.operations import Nothing
from caxton.protocol.peers import Delta, Module, Pull
from caxton.router.cluster import modules
from caxton.router.connection import Sink
from caxton.router.desk import Desk
from caxton.router.operations.peers import clustered


async def pull(desk: Desk, args: Pull) -> Delta:
    """What the asker lacks."""
    return clustered(desk).pulling.answer(args)


async def module(desk: Desk, args: Module, sink: Sink) -> Nothing:
    """A module's bytes, in parts."""
    return await modules.give(desk.modules, args, sink)

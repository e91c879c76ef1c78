"""Dead letters that another version of their agent handles.

Owns the version that is up for as long as they take. Must never keep anything of it: when the router restarts
meanwhile, what is left is handled by the version that serves.
"""

from __future__ import annotations

from caxton.protocol.errors import CaxtonError, Code
from caxton.router.access.bounds import require_bounded
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.boxes import Box
from caxton.router.desk import Desk
from caxton.router.mailbox import MAIN, SIDE, LaneOf
from caxton.router.snapshots.rules import check_shared
from caxton.router.versions.rollouts import RUNNING, beside


async def replay_at(desk: Desk, message_ids: list[str], version: int, reach: Reach = EVERYTHING) -> int:
    """Puts dead letters of one agent back and has this version handle their conversations; gives how many.

    `FORBIDDEN` for a version with grants that the caller could not give.
    """
    name, conversations = await _conversations(desk, message_ids)
    async with desk.lock(name):
        agent = desk.registry.require(name)
        if version == agent.version:
            return await desk.core.revive(message_ids)
        if agent.status not in RUNNING:
            raise CaxtonError(Code.AGENT_STOPPED, f"agent {name!r} is {agent.status}; start it first", name=name)
        desk.rollouts.require_alone(name)
        side = await beside(desk, name, version)
        try:
            require_bounded(side.agent.config, reach.namespace)
            check_shared(agent.config, agent.module.sha256, side.agent.config, side.agent.module.sha256)
        except CaxtonError:
            await desk.core.lanes.retire(side, 0.0)
            raise
        desk.core.lanes.share(side, _only(conversations))
        desk.rollouts.replays[name] = version
        count = await desk.core.revive(message_ids)
        desk.spawn(_until_done(desk, side, message_ids))
        return count


async def _until_done(desk: Desk, side: Box, message_ids: list[str]) -> None:
    name = side.agent.name
    await desk.core.settled(message_ids)
    async with desk.lock(name):
        if side.open:  # not when the agent was stopped or removed meanwhile
            desk.core.lanes.unshare(side)
            desk.rollouts.replays.pop(name, None)
    await desk.core.lanes.retire(side)


async def _conversations(desk: Desk, message_ids: list[str]) -> tuple[str, set[str]]:
    rows = [await desk.read(desk.store.reader.message, message_id) for message_id in message_ids]
    found = [row.message for row in rows if row is not None]
    names = {message.receiver for message in found}
    if len(names) != 1:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            "version: give dead letters of one agent",
            path="version",
            found=sorted(names),
            expected="messages of one agent",
        )
    return names.pop(), {message.conversation_id for message in found}


def _only(conversations: set[str]) -> LaneOf:
    return lambda conversation_id: SIDE if conversation_id in conversations else MAIN

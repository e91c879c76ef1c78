"""Dead letters of agents whose homes move: what is asked of them waits for the end of the move, and follows it.

Owns that waiting, on the old home and on the new one, and the asking at the new one. While an agent moves its letters
are in pages that nobody looks into: what was done to them at the old home would be undone, and the new one has none
yet. Must never touch a letter: `operations.deadletters` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

import msgspec

from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.handover import Side
from caxton.protocol.operations import Affected, DeadPurge, DeadReplay, DeadReplayOne, Named
from caxton.router.access.rules import Go
from caxton.router.cluster.forwarding import Forwarding
from caxton.router.cluster.homes import Homes

WAIT_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.02
_REPLAYS: Final = (DeadReplay, DeadReplayOne)
Asked = DeadReplay | DeadReplayOne | DeadPurge | Named
_count: Final = msgspec.json.Decoder(Affected).decode


class Letters:
    """One per node of a cluster."""

    def __init__(self, homes: Homes, forwarding: Forwarding) -> None:
        self._homes, self._forwarding = homes, forwarding
        self._desk = homes.desk

    def following(self, op: str, go: Go, caller: Caller) -> Go:
        """`go`, on whichever node has the letters when no move of their agents is under way any more."""

        async def answered(args: Asked, *more: Any) -> Any:
            until = asyncio.get_running_loop().time() + WAIT_SECONDS
            receivers = await self._receivers(args, until)
            moving = sorted({name for name in receivers.values() if self._may_move(name)})
            if not moving:
                return await go(args, *more)
            found = 0
            async with self._at_rest(moving, until, replays=isinstance(args, _REPLAYS)):
                left = {name for name in moving if self._desk.registry.get(name) is None}
                if not left:
                    return await go(args, *more)
                here = set(receivers.values()) - left
                if here:
                    found = (await go(_about(args, receivers, here), *more)).count
            for name in sorted(left):
                found += await self._at_new_home(op, _about(args, receivers, {name}), name, caller, until)
            return Affected(found)

        return answered

    async def _receivers(self, args: Asked, until: float) -> dict[str, str]:
        """The agents that the letters are of, by the letters' ids; by the agent's name where all of its are meant."""
        waits, parties_of = self._homes.waits, self._desk.store.reader.parties
        ids = _ids(args)
        if not ids:
            agent = args.agent if isinstance(args, DeadReplay | DeadPurge) else None
            if agent is None:
                return {}
            async with _patience([agent], until):
                await waits.passed([agent])
            return {agent: agent}
        parties = await self._desk.read(parties_of, ids)
        if waits and len(parties) < len(ids):  # they may be letters of an agent that is on its way to this node
            with suppress(CaxtonError):
                async with _patience(waits.agents(), until):
                    await waits.passed(waits.agents())
            parties = await self._desk.read(parties_of, ids)
        return {message_id: receiver for message_id, (_, receiver) in parties.items()}

    def _may_move(self, name: str) -> bool:
        here = self._desk.registry.get(name) is not None and self._home(name) is not None
        return here or self._homes.row(name, Side.OUT) is not None

    def _home(self, name: str) -> str | None:
        record = self._homes.cluster.records.agent(name)
        return None if record is None else record.home

    @asynccontextmanager
    async def _at_rest(self, agents: list[str], until: float, *, replays: bool) -> AsyncIterator[None]:
        """No move of them is under way meanwhile, nor does one begin."""
        async with AsyncExitStack() as held:
            async with _patience(agents, until):
                for name in agents:
                    while replays and self._homes.leaves(name):
                        await asyncio.sleep(_LOOK_SECONDS)
                    await held.enter_async_context(self._homes.letters(name))
            yield

    async def _at_new_home(self, op: str, args: Asked, name: str, caller: Caller, until: float) -> int:
        """As soon as it has the letters, and nothing of the agent's mail is here any more."""
        async with _patience([name], until):
            while self._homes.row(name, Side.OUT) is not None:
                await asyncio.sleep(_LOOK_SECONDS)
        home = self._home(name)
        if home is None or home == self._homes.node_id:
            raise _moving([name])
        return _count(await self._forwarding.call(home, op, args, caller)).count


@asynccontextmanager
async def _patience(agents: list[str], until: float) -> AsyncIterator[None]:
    """`NOT_READY` where a move takes too long."""
    try:
        async with asyncio.timeout_at(until):
            yield
    except TimeoutError:
        raise _moving(agents) from None


def _ids(args: Asked) -> list[str]:
    match args:
        case DeadReplayOne():
            return [args.message_id]
        case Named():
            return [args.name]
        case _:
            return list(dict.fromkeys(args.message_ids))


def _about(args: Asked, receivers: dict[str, str], agents: set[str]) -> Asked:
    """The same, of the letters of these agents only."""
    if isinstance(args, DeadReplay | DeadPurge) and args.message_ids:
        mine = [one for one in args.message_ids if receivers.get(one) in agents]
        return msgspec.structs.replace(args, message_ids=mine)
    return args


def _moving(agents: list[str]) -> CaxtonError:
    names = ", ".join(agents)[:256]
    return CaxtonError(
        Code.NOT_READY,
        f"on the way to another node, with the dead letters: {names}; try again",
        retry_after_seconds=2,
    )

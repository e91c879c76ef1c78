"""Two versions of one agent side by side: a candidate beside the one that serves, or the old one at its end.

Owns how a version comes up, gets its share of the conversations, takes over and goes, all on one mailbox. Must never
decide which version serves, nor write anything: updates and rollouts do.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from caxton.protocol.execution import Result
from caxton.protocol.messages import Message
from caxton.router.agents import Agent
from caxton.router.boxes import Box, Boxes
from caxton.router.dispatch import Dispatch
from caxton.router.mailbox import MAIN, SIDE, LaneOf
from caxton.router.scheduler import Scheduler
from caxton.router.tenancy import Tenancy, spec_of
from caxton.router.versions.gauge import Gauge
from caxton.router.workers import Workers

_SHARES: Final = 10_000


class Lanes:
    """One call per step; the caller serialises the steps of one agent."""

    def __init__(
        self, boxes: Boxes, tenancy: Tenancy, dispatch: Dispatch, scheduler: Scheduler, workers: Workers
    ) -> None:
        self._boxes = boxes
        self._tenancy = tenancy
        self._dispatch = dispatch
        self._scheduler = scheduler
        self._workers = workers

    def open(self, agent: Agent, candidate: Agent) -> Box:
        """A place at the agent's side for another version, which gets no messages yet."""
        return self._boxes.add_side(self._tenancy.box(agent), candidate, spec_of(candidate, self._boxes.config))

    async def start(self, side: Box) -> Result:
        """Starts an instance of the version; raises what `agent_init` failed with, or what kept it from running."""
        return await self._tenancy.start_in(side)

    async def ask(self, side: Box, message: Message) -> Result:
        """Runs one message that is in no mailbox; nothing that it did takes effect."""
        worker = await self._tenancy.placed(side, self._boxes.config.runtime.agent_startup_timeout)
        return await self._dispatch.run_apart(side, message, worker)

    def share(self, side: Box, lane_of: LaneOf) -> tuple[Gauge, Gauge]:
        """The version at the side takes its conversations; gives what measures it, and the other one."""
        home = _home(side)
        side.gauge, home.gauge = Gauge(), Gauge()
        side.open = True
        home.mailbox.split(lane_of)
        self._scheduler.wake(home)
        return side.gauge, home.gauge

    def unshare(self, side: Box) -> None:
        """The version at the side takes nothing more; what it has begun ends there."""
        home = _home(side)
        side.open = False
        side.gauge = home.gauge = None
        home.mailbox.split(None)
        self._scheduler.wake(home)

    def switch(self, side: Box) -> None:
        """The version at the side takes every message from now on; the other is at the side, and ends what it began.

        Where an agent handles one message at a time it still does: the first message waits for that end.
        """
        self._boxes.exchange(_home(side), side)
        self._tenancy.reschedule(_home(side))
        self.unshare(side)
        self._tenancy.reschedule(_home(side))

    async def retire(self, side: Box, grace_seconds: float | None = None) -> None:
        """The version at the side ends, after its last execution, or after the grace period; then it is forgotten."""
        await self._tenancy.end(side, grace_seconds)
        home = _home(side)
        self._boxes.drop_side(side)
        if side.agent.isolated and not home.agent.isolated:
            self._workers.retire(side.agent.name)
        self._scheduler.wake(home)


def lane_of(percent: float, salt: str) -> LaneOf:
    """Sends `percent` of the conversations to the side: always the same ones for one `salt`."""
    bound = round(percent / 100 * _SHARES)

    def lane(conversation_id: str) -> int:
        digest = blake2b(f"{salt}\0{conversation_id}".encode(), digest_size=4).digest()
        return SIDE if int.from_bytes(digest, "big") % _SHARES < bound else MAIN

    return lane


def _home(side: Box) -> Box:
    assert side.side_of is not None  # it was made by `open`
    return side.side_of

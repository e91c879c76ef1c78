"""An agent whose home moves, in the hot half: held where it was, its mail passed on.

Owns these steps in memory. Must never write the agent's row or a record, nor decide where it lives.
"""

from __future__ import annotations

from caxton.router.agents import Agent
from caxton.router.boxes import Boxes
from caxton.router.commits import Commits
from caxton.router.intake import DURABLE, EPHEMERAL
from caxton.router.mailbox import Place
from caxton.router.talks.conversations import Conversations
from caxton.router.tenancy import Tenancy


class Moving:
    """One call per step; the caller serialises the steps of one agent."""

    def __init__(self, boxes: Boxes, tenancy: Tenancy, commits: Commits, conversations: Conversations) -> None:
        self._boxes = boxes
        self._tenancy = tenancy
        self._commits = commits
        self._conversations = conversations

    def hold(self, agent: Agent) -> None:
        """It takes messages, and runs none until `release`."""
        self._tenancy.hold(agent)

    async def still(self, agent: Agent, grace_seconds: float) -> None:
        """Nothing of the held agent runs any more, and everything that it did is on disk."""
        box = self._tenancy.box(agent)
        await self._tenancy.still(box, grace_seconds)
        while box.settling:
            await self._commits.written()

    def release(self, agent: Agent) -> None:
        """It goes on here."""
        self._tenancy.release(agent)

    def is_held(self, name: str) -> bool:
        """Whether the agent is here and runs nothing for now."""
        box = self._boxes.get(name)
        return box is not None and box.held

    def pass_on_callers(self, agent: Agent) -> None:
        """What callers wait for and is not on disk becomes durable, in the outbox: it is answered from elsewhere.

        The agent's record says already that it does not live here.
        """
        box, elsewhere = self._boxes.get(agent.name), self._boxes.elsewhere
        if box is None or elsewhere is None:
            return
        for entry in box.mailbox.entries():
            if entry.delivery == EPHEMERAL and entry.message is not None and entry.place is not Place.OUT:
                box.mailbox.remove(entry)
                box.unsaved -= 1
                self._boxes.forget(entry)
                elsewhere.enter(entry.message, DURABLE)

    def reread(self, name: str) -> None:
        """What is in memory about the agent's conversations may be older than what is on disk."""
        self._conversations.reread(name)

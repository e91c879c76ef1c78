"""The parts between the acceptance of a message and its end, put together.

Owns the order in which they are made. Must never do anything itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from caxton.router.access.accounts import Account
from caxton.router.access.storage import Storage
from caxton.router.aftermath import Aftermath
from caxton.router.boxes import Box, Boxes
from caxton.router.commits import Commits
from caxton.router.ephemeral import Tally
from caxton.router.intake import Intake
from caxton.router.keys import Keys
from caxton.router.outcomes import Outcomes
from caxton.router.pressure import Pressures
from caxton.router.talks.addressing import Addressing
from caxton.router.talks.capabilities import Capabilities
from caxton.router.talks.conversations import Conversations
from caxton.router.talks.tasks import Tasks
from caxton.router.talks.topics import Topics
from caxton.store.reader import Reader


@dataclass(slots=True, frozen=True)
class Talking:
    """Who may say what, whom it is for, and what becomes of it."""

    boxes: Boxes
    keys: Keys
    tally: Tally
    conversations: Conversations
    capabilities: Capabilities
    intake: Intake
    addressing: Addressing
    tasks: Tasks
    outcomes: Outcomes
    storage: Storage
    pressures: Pressures

    def start(self) -> None:
        """Goes on with what an earlier life of the router left; the agents that run are attached already."""
        self.tasks.start()
        self.conversations.start()


def make_talking(
    boxes: Boxes,
    commits: Commits,
    aftermath: Aftermath,
    pressures: Pressures,
    reader: Reader,
    wake: Callable[[Box], None],
    emit: Callable[[str, dict[str, Any]], None],
) -> Talking:
    """All of them, each knowing those it needs."""
    storage = Storage(boxes.accounts, commits, reader)
    storage.load()
    boxes.accounts.resume = partial(_resume, boxes, wake)
    keys, tally = Keys(reader, commits, aftermath, boxes.accounts), Tally(commits)
    talks = Conversations(boxes, commits, aftermath, reader, emit)
    capabilities = Capabilities(boxes, commits, aftermath, reader)
    intake = Intake(boxes, commits, aftermath, pressures, wake, talks, capabilities)
    addressing = Addressing(commits, intake, capabilities, Topics(commits, reader), reader)
    tasks = Tasks(commits, aftermath, intake, talks, capabilities, reader, emit)
    outcomes = Outcomes(commits, aftermath, intake, talks, keys, tally, reader, emit)
    outcomes.addressing = addressing
    outcomes.tasks = tasks
    talks.tell = outcomes.deliver
    return Talking(boxes, keys, tally, talks, capabilities, intake, addressing, tasks, outcomes, storage, pressures)


def _resume(boxes: Boxes, wake: Callable[[Box], None], account: Account) -> None:
    """Everything in a namespace that waited for room may start again."""
    for box in boxes:
        if box.account is account:
            wake(box)

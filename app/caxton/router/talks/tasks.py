"""Tasks: a contract net in which the node is the initiator, `task:node`.

Owns where each task is and what the node says next. A task moves in the transaction that accepts the message which
moves it; its messages are ordinary ones, and the deadlines are those of their conversations. What is said to
`task:node` is done with its acceptance. Must never wait for anything: the next message goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec

from caxton.protocol import fipa
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Message, Outcome, Performative, State
from caxton.router.aftermath import Aftermath
from caxton.router.commits import Commits
from caxton.router.intake import DURABLE, Intake, digest_of
from caxton.router.talks.capabilities import Capabilities
from caxton.router.talks.choice import QUERY, chosen, question, ranked, said, value_of
from caxton.router.talks.conversations import Conversations
from caxton.store import Accept, BidRow, TaskRow
from caxton.store.reader import Reader

CALLING: Final = "calling"
CHOOSING: Final = "choosing"
AWARDED: Final = "awarded"
DONE: Final = "done"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
STATES: Final = (CALLING, CHOOSING, AWARDED, DONE, FAILED, CANCELLED)
MAX_OPEN: Final = 10_000
_NOTHING: Final = b"null"
_BID_STATES: Final = {
    Performative.PROPOSE: "proposed",
    Performative.REFUSE: "refused",
    Performative.NOT_UNDERSTOOD: "not_understood",
    Performative.FAILURE: "failed",
    Performative.INFORM: "done",
}


@dataclass(slots=True)
class _Open:
    """A task that has not ended; contents stay on disk."""

    row: TaskRow
    bids: dict[str, BidRow] = field(default_factory=dict)


class Tasks:
    """Open tasks in memory, at most `MAX_OPEN`."""

    def __init__(
        self,
        commits: Commits,
        aftermath: Aftermath,
        intake: Intake,
        talks: Conversations,
        capabilities: Capabilities,
        reader: Reader,
        emit: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._commits = commits
        self._aftermath = aftermath
        self._intake = intake
        self._talks = talks
        self._capabilities = capabilities
        self._reader = reader
        self._emit = emit
        self._open: dict[str, _Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Goes on with what an earlier life of the router left."""
        for row in self._reader.talks.open_tasks():
            task = self._open[row.task_id] = _Open(msgspec.structs.replace(row, content=b""))
            for bid in self._reader.talks.bids(row.task_id):
                task.bids[bid.agent] = msgspec.structs.replace(bid, content=None)
        for task in list(self._open.values()):
            if task.row.state == CHOOSING:
                self._ask_chooser(task.row.task_id)
            else:
                self._go_on(task)

    # ---- from clients --------------------------------------------------------------------------------

    def create(self, row: TaskRow) -> None:
        """Calls for proposals; raises when nobody could be called. Durable with this turn's commit."""
        known = self._open.get(row.task_id)
        if known is not None:
            if known.row.digest != row.digest:
                raise conflict(row.task_id)
            return
        if len(self._open) >= MAX_OPEN:
            raise CaxtonError(
                Code.RESOURCE_LIMIT_EXCEEDED,
                f"{MAX_OPEN} tasks are open on this node; cancel some, or let them end",
                limit="open_tasks",
                maximum=MAX_OPEN,
            )
        if row.chooser is not None:
            self._intake.destination(said(row, Performative.CFP, row.chooser, _NOTHING))
        providers = [offer.agent for offer, _ in self._capabilities.taking(row.capability)]
        if not providers:
            raise self._capabilities.nobody(row.capability)
        task = _Open(msgspec.structs.replace(row, content=b""))
        refusal: CaxtonError | None = None
        for agent in providers:
            error = self._say(row, Performative.CFP, agent, row.content)
            refusal = refusal or error
            content = None if error is None else _failure(error)
            task.bids[agent] = BidRow(row.task_id, agent, "failed" if error else "called", time.time(), None, content)
        if refusal is not None and all(bid.state == "failed" for bid in task.bids.values()):
            raise refusal
        self._open[row.task_id] = task
        self._commits.changes.tasks.append(row)
        self._commits.changes.bids.extend(task.bids.values())

    def cancel(self, task_id: str) -> bool:
        """Ends a task and tells its bidders; False when it is not open. What was created before must be durable."""
        task = self._open.get(task_id)
        if task is None:
            return False
        if task.row.state == CHOOSING and task.row.chooser is not None:
            cancel = msgspec.structs.replace(
                said(task.row, Performative.CANCEL, task.row.chooser, _NOTHING), protocol=QUERY
            )
            self._offer(cancel)
        self._finish(task, CANCELLED)
        return True

    # ---- from agents ---------------------------------------------------------------------------------

    def receive(self, message: Message, *, admitted: bool = False) -> None:
        """What somebody says to `task:node`; raises `PROTOCOL_VIOLATION` unless the node itself said it for them."""
        if self._reader.known([message.message_id]):
            return
        if not admitted:
            if not fipa.is_checked(message.protocol):
                raise CaxtonError(
                    Code.PROTOCOL_VIOLATION,
                    f"{message.receiver} is spoken to by steps of a protocol",
                    path="protocol",
                )
            self._talks.admit(message)
        now = time.time()
        outcome = Outcome(State.DONE)
        self._commits.changes.accept.append(
            Accept(message, now, digest_of(message), DURABLE, State.DONE, outcome, 0, now)
        )
        task = self._open.get(message.conversation_id)
        if task is None:
            return
        if message.protocol == QUERY:
            if task.row.state == CHOOSING and message.sender == task.row.chooser:
                self._chosen(task, message)
        elif message.sender in task.bids:
            self._answered(task, message)

    def _answered(self, task: _Open, message: Message) -> None:
        agent, content = message.sender, message.content
        state = _BID_STATES.get(Performative(message.performative))
        if state is None:
            return
        if state == "failed" and _is_late(content):
            state = "expired"
        value = value_of(content, task.row.field) if state == "proposed" else None
        self._set(task, agent, state, value=value, content=content if state != "done" else None)
        if task.row.state == AWARDED and agent == task.row.winner:
            if state == "done":
                self._finish(task, DONE, result=content)
            else:
                code = Code.MESSAGE_EXPIRED if state == "expired" else Code.AGENT_FAILED
                self._finish(task, FAILED, code=code, detail=f"{agent} was awarded the task: {state}")
            return
        self._go_on(task)

    def _chosen(self, task: _Open, message: Message) -> None:
        if message.performative == Performative.AGREE:
            return
        if message.performative != Performative.INFORM:
            code = Code.MESSAGE_EXPIRED if _is_late(message.content) else Code.AGENT_FAILED
            self._finish(task, FAILED, code=code, detail=f"{message.sender} chose nobody: {message.performative}")
            return
        try:
            agent = chosen(message.content)
        except CaxtonError as error:
            self._finish(task, FAILED, code=error.code, detail=error.message)
            return
        bid = task.bids.get(agent or "")
        if agent is None:
            self._finish(task, FAILED, code=Code.AGENT_FAILED, detail=f"{message.sender} chose nobody")
        elif bid is None or bid.state != "proposed":
            detail = f"{message.sender} chose {agent[:128]!r}, who made no bid"
            self._finish(task, FAILED, code=Code.INVALID_MESSAGE, detail=detail)
        else:
            self._award(task, [agent])

    # ---- the next step -------------------------------------------------------------------------------

    def _go_on(self, task: _Open) -> None:
        """Chooses, once nobody's answer is awaited any more."""
        if task.row.state != CALLING or any(bid.state == "called" for bid in task.bids.values()):
            return
        if not any(bid.state == "proposed" for bid in task.bids.values()):
            self._finish(task, FAILED, code=Code.AGENT_FAILED, detail="nobody made a bid")
        elif task.row.chooser is None:
            self._award(task, ranked(task.bids.values(), task.row.order))
        else:
            self._save(task, state=CHOOSING)
            self._aftermath.call(partial(self._ask_chooser, task.row.task_id))  # its bids must be on disk

    def _ask_chooser(self, task_id: str) -> None:
        task = self._open.get(task_id)
        if task is None or task.row.chooser is None:
            return
        row = self._whole(task)
        asked = said(row, Performative.QUERY_REF, task.row.chooser, question(row, self._reader.talks.bids(task_id)))
        if self._reader.known([asked.message_id]):
            return
        error = self._offer(asked)
        if error is not None:
            self._finish(task, FAILED, code=error.code, detail=error.message)

    def _award(self, task: _Open, agents: list[str]) -> None:
        """To the first that still takes messages."""
        row = self._whole(task)
        for agent in agents:
            error = self._say(row, Performative.ACCEPT_PROPOSAL, agent, row.content)
            if error is None:
                self._set(task, agent, "accepted")
                self._save(task, state=AWARDED, winner=agent)
                self._reject_rest(task)
                return
            self._set(task, agent, "failed")
        self._finish(task, FAILED, code=Code.AGENT_FAILED, detail="no bid could be compared or accepted")

    def _reject_rest(self, task: _Open) -> None:
        for agent, bid in list(task.bids.items()):
            if bid.state == "proposed":
                self._say(task.row, Performative.REJECT_PROPOSAL, agent, _NOTHING)
                self._set(task, agent, "rejected")

    def _finish(self, task: _Open, state: str, **changes: Any) -> None:
        self._reject_rest(task)
        for agent, bid in list(task.bids.items()):
            if bid.state in ("called", "accepted"):
                self._say(task.row, Performative.CANCEL, agent, _NOTHING)
                self._set(task, agent, "cancelled")
        self._save(task, state=state, finished_at=time.time(), **changes)
        del self._open[task.row.task_id]
        self._emit(f"task.{state}", {"task_id": task.row.task_id, "winner": task.row.winner, "code": task.row.code})

    # ---- writing -------------------------------------------------------------------------------------

    def _say(self, row: TaskRow, performative: Performative, agent: str, content: bytes) -> CaxtonError | None:
        return self._offer(said(row, performative, agent, content))

    def _offer(self, message: Message) -> CaxtonError | None:
        """The refusal, if it was refused: a bidder that cannot be told finds out at its own deadline."""
        try:
            self._intake.offer(message, DURABLE)
        except CaxtonError as error:
            return error
        return None

    def _set(
        self, task: _Open, agent: str, state: str, *, value: float | None = None, content: bytes | None = None
    ) -> None:
        before = task.bids[agent]
        kept = before.value if value is None else value
        row = BidRow(task.row.task_id, agent, state, time.time(), kept, content)
        self._commits.changes.bids.append(row)
        task.bids[agent] = msgspec.structs.replace(row, content=None)

    def _save(self, task: _Open, **changes: Any) -> None:
        whole = msgspec.structs.replace(self._whole(task), **changes)
        self._commits.changes.tasks.append(whole)
        task.row = msgspec.structs.replace(whole, content=b"", result=None)

    def _whole(self, task: _Open) -> TaskRow:
        """The task with its content, which never changes and is on disk before the first answer comes."""
        stored = self._reader.talks.task(task.row.task_id)
        assert stored is not None
        return msgspec.structs.replace(task.row, content=stored.content)


def conflict(task_id: str) -> CaxtonError:
    """The same id was used for something else."""
    return CaxtonError(
        Code.CONFLICT, "this key was used for another task; give a new task a new key", task_id=task_id
    )


class _Failure(msgspec.Struct):
    code: str = ""


def _is_late(content: bytes) -> bool:
    """Whether a failure says that a deadline passed."""
    try:
        return msgspec.json.decode(content, type=_Failure).code == Code.MESSAGE_EXPIRED
    except (msgspec.MsgspecError, RecursionError):
        return False


def _failure(error: CaxtonError) -> bytes:
    return msgspec.json.encode({"code": error.code, "detail": error.message})

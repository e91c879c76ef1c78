"""How messages end, and how they are tried again.

Owns every change of a message's state after its acceptance: done, dead, expired, cancelled, retry, back to
the head; and the failure replies that go with it. Must never run anything.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import Message, Outcome, Performative, State
from caxton.protocol.names import TASK_PREFIX, TASKS, TOPIC_PREFIX
from caxton.router.aftermath import Aftermath
from caxton.router.boxes import Box, Flight
from caxton.router.commits import Commits
from caxton.router.ephemeral import Tally
from caxton.router.intake import DURABLE, EPHEMERAL, REQUEST, Intake, digest_of_entry
from caxton.router.keys import Keys
from caxton.router.mailbox import Entry
from caxton.router.replies import failure_answer, failure_content, undeliverable
from caxton.router.supervision.holds import Holds
from caxton.router.supervision.quarantine import Supervision
from caxton.router.talks.addressing import Addressing, not_delivered
from caxton.router.talks.conversations import Conversations
from caxton.router.talks.tasks import Tasks
from caxton.router.timing.alarms import Alarms
from caxton.store import Accept, ExecutionRow, FailedAttempt, Settle
from caxton.store.reader import Reader

CANCELLED: Final = Outcome(State.CANCELLED, code=Code.MESSAGE_CANCELLED, detail="the message was cancelled")
_UNKNOWN_KILLS: Final = 3  # ends of a worker without a culprit that one message may be part of

Emit = Callable[[str, dict[str, Any]], None]


class Outcomes:
    """Changes of state; `wake(box)` is called when the mailbox may have become ready."""

    def __init__(
        self,
        commits: Commits,
        aftermath: Aftermath,
        intake: Intake,
        talks: Conversations,
        keys: Keys,
        tally: Tally,
        reader: Reader,
        emit: Emit,
    ) -> None:
        self.commits = commits
        self.aftermath = aftermath
        self.keys = keys
        self._intake = intake
        self._talks = talks
        self._tally = tally
        self.reader = reader
        self._emit = emit
        self.drained = False
        """What is taken back now is taken back from its callers too: they ask another node."""
        self.alarms: Alarms
        self.addressing: Addressing
        self.tasks: Tasks
        self.wake: Callable[[Box], None]
        self.supervision: Supervision
        self.holds: Holds
        self.isolate: Callable[[Box], None]
        self.noted: dict[str, Box] = {}
        """Agents with executions that are not written yet."""

    def note(self, box: Box, row: ExecutionRow) -> None:
        """Keeps an execution for the list of recent ones."""
        box.recent.append(row)
        self.noted[row.agent] = box

    def flush_notes(self) -> None:
        """Writes the recent executions with this turn's commit."""
        noted, self.noted = self.noted, {}
        for box in noted.values():
            self.commits.changes.executions.extend(box.recent)
            box.recent.clear()

    # ---- ends ------------------------------------------------------------------------------------

    def finish(self, box: Box, entry: Entry, outcome: Outcome, effects: bool) -> None:
        """A message that is out ends as `outcome`; with `effects` its end is part of their commit."""
        box.mailbox.settle(entry)
        self._record(box, entry, outcome, effects)
        if box.gate is not None:
            self.supervision.ended(box, entry, outcome)
        self.wake(box)

    def expired(self, box: Box, entry: Entry) -> None:
        """A message that left the mailbox because its deadline passed before it was started."""
        detail = "reply_by passed before the message could be started"
        self._tell_sender(entry, failure_content(Code.MESSAGE_EXPIRED, detail))
        self._record(box, entry, Outcome(State.EXPIRED, code=Code.MESSAGE_EXPIRED, detail=detail), False)
        self._emit("message.expired", {"message_id": entry.message_id, "agent": box.agent.name})

    def cancel_waiting(self, box: Box, entry: Entry) -> None:
        """A message that is not out is cancelled."""
        box.mailbox.remove(entry)
        self.withdraw(entry)
        self._record(box, entry, CANCELLED, False)
        self.wake(box)

    def refuse_waiting(self, box: Box, entry: Entry) -> None:
        """An ephemeral message that is not out will not be handled here: its caller is told to ask elsewhere."""
        box.mailbox.remove(entry)
        self._record(box, entry, _refused(), False)

    def cancelled(self, box: Box, entry: Entry) -> None:
        """An execution was cancelled: by request the message ends, else (a drain) it waits for the next start."""
        if entry.cancelled:
            self.withdraw(entry)
            self.finish(box, entry, CANCELLED, False)
        elif entry.delivery == EPHEMERAL and self.drained and not box.held:
            self.finish(box, entry, _refused(), False)
        elif entry.delivery == EPHEMERAL and not box.held:
            outcome = Outcome(State.DEAD, code=Code.AGENT_STOPPED, detail="the agent was stopped")
            self.finish(box, entry, outcome, False)
        else:
            self.again(box, entry)

    def give_up(self, box: Box, entry: Entry, code: Code, detail: str) -> None:
        """A message that is not out becomes a dead letter."""
        box.mailbox.remove(entry)
        self._tell_sender(entry, failure_content(code, detail))
        self._record(box, entry, Outcome(State.DEAD, code=code, detail=detail), False)

    # ---- attempts --------------------------------------------------------------------------------

    def again(self, box: Box, entry: Entry) -> None:
        """A message that was out, through no fault of its own, is the head of its conversation again."""
        box.mailbox.put_back(entry)
        self.supervision.returned(box, entry)
        self.wake(box)

    def lost(self, flight: Flight, reason: str, culprit: bool) -> None:
        """The worker ended under this execution. Only the culprit pays for it."""
        box, entry = flight.home, flight.entry
        assert entry is not None
        if culprit:
            self.isolate(flight.box)
        elif reason in ("crashed_unknown", "killed_silent"):
            entry.kills += 1
        if culprit or entry.kills >= _UNKNOWN_KILLS:
            timed_out = reason == "killed_timeout"
            code = Code.EXECUTION_TIMEOUT if timed_out else Code.AGENT_FAILED
            detail = "held its worker past every limit and was killed" if timed_out else "its worker crashed"
            self.attempt_failed(box, entry, code, detail, None, time.time() - flight.dispatched_at)
        elif entry.cancelled:
            self.finish(box, entry, CANCELLED, False)
        else:
            self.again(box, entry)

    def attempt_failed(
        self, box: Box, entry: Entry, code: str, detail: str | None, backtrace: str | None, duration: float
    ) -> None:
        """A delivery that counts: tried again later, or dead."""
        self.supervision.failed(box, entry)
        entry.attempts += 1
        now = time.time()
        retry, defaults = box.agent.config.retry, self._intake.config.messaging
        most = 1 if entry.delivery == EPHEMERAL else retry.max_deliveries or defaults.max_deliveries
        next_at: float | None = None
        if entry.attempts < most and not entry.cancelled:
            delay = defaults.retry_delay if retry.delay_seconds is None else retry.delay_seconds
            backoff = retry.backoff or defaults.retry_backoff
            chance = random.uniform(1 - retry.jitter, 1 + retry.jitter)  # nosec B311 # spreads load
            next_at = now + delay * backoff ** (entry.attempts - 1) * chance
        if entry.delivery != EPHEMERAL or entry.idempotent:
            self.commits.changes.attempts.append(
                FailedAttempt(entry.message_id, entry.attempts, now, code, detail, backtrace, duration, next_at)
            )
        if next_at is None:
            self._dead(box, entry, code, detail, backtrace)
        else:
            box.mailbox.back_off(entry, next_at)
            self.alarms.set(box)
            self.wake(box)

    def not_started(self, box: Box, entry: Entry, code: str, detail: str | None, backtrace: str | None) -> None:
        """The message met an agent that does not start: it waits, unless somebody waits for it who can ask again."""
        self.supervision.not_started(box, detail or code)
        if entry.delivery == EPHEMERAL:
            self.attempt_failed(box, entry, code, detail, backtrace, 0.0)
        else:
            self.again(box, entry)

    def _dead(self, box: Box, entry: Entry, code: str, detail: str | None, backtrace: str | None) -> None:
        content = failure_content(code, detail)
        self._tell_sender(entry, content)
        if entry.delivery != EPHEMERAL:
            self.holds.died(box, entry)
        text = detail if backtrace is None or entry.delivery != EPHEMERAL else f"{detail}\n{backtrace}"
        self.finish(box, entry, Outcome(State.DEAD, Performative.FAILURE, content, code, text), False)
        self.tell_dead(entry, code, detail)
        self.supervision.died(box, entry.sender)

    def tell_dead(self, entry: Entry, code: str, detail: str | None) -> None:
        """Says that a message has become a dead letter."""
        self._emit(
            "message.dead",
            {
                "message_id": entry.message_id,
                "agent": entry.agent,
                "sender": entry.sender,
                "code": code,
                "detail": detail,
                "attempts": entry.attempts,
            },
        )

    # ---- sending ---------------------------------------------------------------------------------

    def send(self, message: Message, *, everyone: bool = False) -> None:
        """A message of an execution, accepted with its commit; one that cannot be delivered is answered."""
        if message.message_id in self._intake.live:
            return  # a second run of the same execution: the first one's message is on its way
        if ":" in message.receiver:
            self._send_addressed(message, everyone)
            return
        try:
            box = self._intake.destination(message)
            if message.protocol is not None:
                self._talks.admit(message)
        except CaxtonError as error:
            self._bounce(message, error)
            return
        self._intake.enter(box, message, DURABLE)

    def _send_addressed(self, message: Message, everyone: bool) -> None:
        try:
            if message.receiver.startswith(TASK_PREFIX):
                self._send_to_tasks(message)
                return
            if everyone or message.receiver.startswith(TOPIC_PREFIX):
                found = self.addressing.publish(message).deliveries
                if found is not None and found.refused_count:
                    self._bounce(message, not_delivered(message, found))
                return
            chosen = self._intake.addressed(message)
        except CaxtonError as error:
            self._bounce(message, error)
            return
        self.send(chosen)
        if chosen.message_id in self._intake.live:
            self.addressing.capabilities.keep(message, chosen)

    def _send_to_tasks(self, message: Message) -> None:
        """To the node that calls for proposals: this one, or the one that the conversation is with."""
        there = message.receiver if message.receiver != TASKS else self._talks.task_elsewhere(message)
        if there is None:
            self.tasks.receive(message)
            return
        message = msgspec.structs.replace(message, receiver=there)
        if message.protocol is not None:
            self._talks.admit(message)
        self._intake.enter(self._intake.destination(message), message, DURABLE)

    def deliver(self, message: Message) -> None:
        """What the node itself says: no protocol can refuse it. One that cannot be delivered is reported."""
        if message.message_id in self._intake.live:
            return
        if message.receiver == TASKS:
            self.tasks.receive(message, admitted=True)
            return
        try:
            box = self._intake.destination(message)
        except CaxtonError as error:
            self._bounce(message, error)
            return
        self._intake.enter(box, message, DURABLE)

    def follow_step(self, message: Message) -> None:
        """A step that its sender's node has let pass moves its conversation here too; it is never refused."""
        if message.protocol is not None:
            self._talks.follow(message)

    def admit_answer(self, message: Message) -> CaxtonError | None:
        """An answer to somebody without a mailbox: as a step of its protocol it counts all the same.

        A refused one is given back to its sender, and the refusal is returned.
        """
        if message.protocol is None:
            return None
        try:
            self._talks.admit(message)
        except CaxtonError as error:
            self._bounce(message, error)
            return error
        return None

    def answer_failure(self, handled: Message, content: bytes, *, mailbox: bool = True) -> None:
        """The automatic failure reply, where one is due; `mailbox`: not when a guest waits for the outcome."""
        due = handled.protocol is None or self._talks.failing(handled)
        failure = failure_answer(handled, content) if due and mailbox else None
        if failure is not None:
            self.deliver(failure)

    def _tell_sender(self, entry: Entry, content: bytes) -> None:
        """The automatic failure reply of a message that will not be handled."""
        self.answer_failure(self.message_of(entry), content, mailbox=entry.delivery != REQUEST)

    def withdraw(self, entry: Entry) -> None:
        """It was cancelled before it was handled."""
        self._talks.withdraw(self.message_of(entry))

    def _bounce(self, message: Message, error: CaxtonError) -> None:
        self._emit(
            "message.undeliverable",
            {
                "message_id": message.message_id,
                "sender": message.sender,
                "receiver": message.receiver,
                "performative": message.performative,
                "code": str(error.code),
            },
        )
        failure = undeliverable(message, error)
        if failure is not None:
            self.deliver(failure)

    def message_of(self, entry: Entry) -> Message:
        """The message, wherever its body is."""
        if entry.message is not None:
            return entry.message
        row = self.reader.message(entry.message_id)
        assert row is not None  # accepted messages are on disk
        return row.message

    def _record(self, box: Box, entry: Entry, outcome: Outcome, effects: bool) -> None:
        """Writes the end of a message that has left its mailbox; who waits is told when it is durable."""
        changes_needed = entry.delivery != EPHEMERAL
        now = time.time()
        if changes_needed:
            if box.account is not None and outcome.state is not State.DEAD:
                box.account.stored(-entry.size)
            self.commits.changes.settle.append(
                Settle(entry.message_id, box.agent.name, outcome.state, now, outcome, entry.attempts)
            )
            self.aftermath.finish(box, entry, outcome)
            return
        box.unsaved -= 1
        if effects or entry.idempotent:
            assert entry.message is not None  # ephemeral messages keep their body
            self.commits.changes.accept.append(
                Accept(
                    entry.message,
                    entry.accepted_at,
                    digest_of_entry(entry),
                    EPHEMERAL,
                    outcome.state,
                    outcome,
                    entry.attempts,
                    now,
                )
            )
            self.aftermath.finish(box, entry, outcome)
        else:
            self._tally.add(box.agent.name, outcome.state)
            self.aftermath.tell(entry, outcome)


def _refused() -> Outcome:
    return Outcome(State.CANCELLED, code=Code.DRAINING, detail="the node is being drained; nothing of it took effect")

"""What a result means: everything an execution did, as one transaction.

Owns the way from `Result` to `Changes`. Must never perform an effect of an execution that failed, nor let
one out before its commit.
"""

from __future__ import annotations

from functools import partial

import msgspec

from caxton.protocol.access import namespace_of
from caxton.protocol.agents import Instance
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import Result, Sent
from caxton.protocol.messages import Execution, Message, Outcome, Performative, State
from caxton.protocol.names import CLIENT_PREFIX
from caxton.protocol.snapshots import BLOCK_BYTES
from caxton.router.access.accounts import Account
from caxton.router.access.storage import ENTRY_BYTES
from caxton.router.boxes import Box, Flight, execution_id
from caxton.router.followers import Followers
from caxton.router.intake import REQUEST
from caxton.router.mailbox import Entry
from caxton.router.outcomes import Outcomes
from caxton.router.recordings import Recordings
from caxton.router.replies import answer, failure_content, is_agent
from caxton.router.snapshots.service import Snapshots
from caxton.router.timing.timers import Timers
from caxton.router.tracing import spans
from caxton.store import ExecutionRow, LogRow


class Results:
    """One call per ended execution; the scheduler has already taken it off its worker."""

    def __init__(self, outcomes: Outcomes, timers: Timers, followers: Followers, snapshots: Snapshots) -> None:
        self._outcomes = outcomes
        self._followers = followers
        self._commits = outcomes.commits
        self._timers = timers
        self._snapshots = snapshots
        self.recordings: Recordings | None = None

    def ended(self, flight: Flight, result: Result) -> None:
        """Settles the message, or has it tried again."""
        settling = flight.home.settling
        self._settle(flight, result)
        durable = spans.processed(flight, result)
        if durable is not None and flight.home.settling > settling:  # its end is part of a commit
            self._commits.after(durable)

    def _settle(self, flight: Flight, result: Result) -> None:
        box, entry = flight.home, flight.entry
        assert entry is not None  # starts are answered elsewhere
        if result.status in ("ok", "failure", "error"):
            self._note(flight, entry, result)
        if result.recording is not None and self.recordings is not None:
            self.recordings.keep(box.agent.name, execution_id(flight), result.recording)
        changed = self._snapshots.ended(flight, result)
        if box.account is not None and result.snapshot is not None:
            box.account.stored(len(result.snapshot.blocks) * BLOCK_BYTES)
        if result.status == "ok":
            self._handled(flight, entry, result, changed)
        elif result.status == "failure":
            content = result.reply or _failure_of(result)
            self._failed_by_agent(flight, entry, result, content, changed)
        elif result.status == "error":
            code = result.code or Code.AGENT_FAILED
            if result.start_failed:
                self._outcomes.not_started(box, entry, str(code), result.detail, result.backtrace)
                return
            self._outcomes.attempt_failed(
                box, entry, str(code), result.detail, result.backtrace, result.usage.duration_seconds
            )
        elif result.status == "cancelled":
            self._outcomes.cancelled(box, entry)
        else:  # unknown_handle: it is loaded again with the next attempt
            self._outcomes.again(box, entry)

    def _handled(self, flight: Flight, entry: Entry, result: Result, changed: bool) -> None:
        """`changed`: its agent's memory is part of the transaction."""
        box = flight.home
        handled = flight.reply_to
        assert handled is not None
        try:
            if result.writes:
                self._outcomes.keys.require_room(box, result.writes)
            if result.sent and box.account is not None:
                self._require_storage(box.account, result)
            if result.topics:
                self._outcomes.addressing.topics.require_room(box.agent.name, result.topics)
        except CaxtonError as error:
            self._failed_by_agent(flight, entry, result, failure_content(error.code, error.message), changed)
            return
        reply = self._send(handled, entry, result)
        acted = result.writes or result.sent or result.timers_set or result.timers_cancelled or result.topics
        effects = bool(acted or result.logs)
        for topic in result.topics:
            self._outcomes.addressing.topics.subscribe(topic, box.agent.name)
        if result.writes:
            self._outcomes.keys.write(box.agent.name, result.writes)
        if result.timers_set or result.timers_cancelled:
            self._change_timers(box.agent.name, result)
        if result.logs:
            self._log(box, entry, result)
        if effects and _only_answers(result, handled):
            effects = False
        effects = effects or changed
        outcome = Outcome(
            State.DONE,
            reply.performative if reply else None,
            reply.content if reply else None,
            execution=_execution(flight, result),
        )
        self._outcomes.finish(box, entry, outcome, effects)

    def _require_storage(self, account: Account, result: Result) -> None:
        """Room for what stays in the agent's own namespace; what leaves it is for the others to store."""
        sizes = [
            len(sent.message.content) + ENTRY_BYTES
            for sent in result.sent
            if namespace_of(sent.message.receiver) == account.namespace
        ]
        if sizes:
            account.require_bytes(sum(sizes))

    def _send(self, handled: Message, entry: Entry, result: Result) -> Message | None:
        """Sends what the execution sent; gives its reply to the handled message, if there is one."""
        reply: Message | None = None
        if result.reply is not None and not any(sent.is_reply for sent in result.sent):
            reply = self._pass_on(answer(handled, Performative.INFORM, result.reply), True, entry)
        for sent in result.sent:
            passed = self._pass_on(sent.message, sent.is_reply, entry, sent.everyone)
            if sent.is_reply:
                reply = passed
        return reply

    def _pass_on(self, message: Message, is_reply: bool, entry: Entry, everyone: bool = False) -> Message:
        """Gives what becomes of it: the message, or the failure in its place."""
        if is_agent(message.receiver) and not (is_reply and entry.delivery == REQUEST):
            self._outcomes.send(message, everyone=everyone)
            return message
        # A client has no mailbox, and a guest waits: the reply is the message's outcome.
        refused = self._outcomes.admit_answer(message)
        if refused is None:
            return message
        content = failure_content(refused.code, refused.message, **refused.details)
        return msgspec.structs.replace(message, performative=Performative.FAILURE, content=content)

    def _failed_by_agent(self, flight: Flight, entry: Entry, result: Result, content: bytes, changed: bool) -> None:
        """The agent's own error: done, answered by a failure, nothing else of it stays but its log and its memory."""
        box = flight.home
        assert flight.reply_to is not None
        if result.logs:
            self._log(box, entry, result)
        self._outcomes.answer_failure(flight.reply_to, content, mailbox=entry.delivery != REQUEST)
        outcome = Outcome(State.DONE, Performative.FAILURE, content, execution=_execution(flight, result))
        self._outcomes.finish(box, entry, outcome, changed or is_agent(entry.sender))

    def _change_timers(self, agent: str, result: Result) -> None:
        changes = self._commits.changes
        for timer in result.timers_set:
            changes.timers_set.append((agent, timer.timer_id, timer.due))
        for timer_id in result.timers_cancelled:
            changes.timers_cleared.append((agent, timer_id))
        self._outcomes.aftermath.call(partial(self._timers_durable, agent, result))

    def _timers_durable(self, agent: str, result: Result) -> None:
        for timer in result.timers_set:
            self._timers.set(agent, timer.timer_id, timer.due)
        for timer_id in result.timers_cancelled:
            self._timers.clear(agent, timer_id)

    def _log(self, box: Box, entry: Entry, result: Result) -> None:
        rows = self._commits.changes.logs
        for line in result.logs:
            rows.append(LogRow(box.agent.name, line.at, line.stream, line.text, entry.message_id))
        if box.agent.name in self._followers:
            self._outcomes.aftermath.call(partial(self._followers.tell, box.agent.name))

    def _note(self, flight: Flight, entry: Entry, result: Result) -> None:
        """Keeps what the execution cost, and the number of a fresh instance."""
        agent, usage = flight.home.agent, result.usage
        agent.cpu_seconds += usage.cpu_seconds
        agent.executions += 1
        agent.fuel += usage.fuel or 0
        agent.memory_bytes = usage.peak_memory_bytes
        if result.status == "error":
            agent.failures += 1
        if usage.peak_memory_bytes > agent.peak_memory_bytes:
            agent.peak_memory_bytes = usage.peak_memory_bytes
        if flight.box.agent.instance is Instance.PERSISTENT and result.incarnation > agent.incarnation:
            agent.incarnation = result.incarnation
            self._commits.changes.incarnations[agent.name] = result.incarnation
        self._outcomes.note(
            flight.home,
            ExecutionRow(
                execution_id(flight),
                agent.name,
                entry.message_id,
                flight.dispatched_at,
                result.status,
                usage.duration_seconds,
                usage.cpu_seconds,
                usage.peak_memory_bytes,
                result.code,
                usage.fuel,
            ),
        )


def _execution(flight: Flight, result: Result) -> Execution:
    usage = result.usage
    return Execution(
        execution_id(flight), usage.duration_seconds, usage.cpu_seconds, usage.peak_memory_bytes, usage.fuel
    )


def _failure_of(result: Result) -> bytes:
    return failure_content(result.code or Code.AGENT_FAILED, result.detail, exit_code=result.exit_code)


def _only_answers(result: Result, handled: Message) -> bool:
    """Whether all the execution did was to answer a client: the caller gets that, no row needs to."""
    return (
        handled.sender.startswith(CLIENT_PREFIX)
        and all(_to_client(sent) for sent in result.sent)
        and not (result.writes or result.timers_set or result.timers_cancelled or result.topics)
    )


def _to_client(sent: Sent) -> bool:
    return sent.message.receiver.startswith(CLIENT_PREFIX)

"""The router's hot half in one piece: mailboxes, scheduling, execution, settlement.

Owns how the parts are put together, and nothing else. Must never answer an operation itself (the desk
does), know SQL, or run wasm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from caxton.config import Config
from caxton.protocol.agents import AgentConfig, AgentStatus, ModuleInfo
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import Result
from caxton.protocol.messages import Delivery, Message, Outcome, State
from caxton.protocol.operations import Invoke
from caxton.protocol.snapshots import STATE
from caxton.protocol.views import InvokeView, ItemView
from caxton.router import scheduler
from caxton.router.aftermath import Aftermath
from caxton.router.agents import Agent, Registry
from caxton.router.boxes import Box, Boxes
from caxton.router.calls import Calls
from caxton.router.cancelling import Cancelling
from caxton.router.commits import Commits
from caxton.router.dispatch import Dispatch
from caxton.router.egress import Egress
from caxton.router.emptying import Emptying
from caxton.router.executor import Executor
from caxton.router.figures import MailboxCounts, counts_of, figures
from caxton.router.followers import Followers
from caxton.router.hostcalls import HostCalls
from caxton.router.intake import DURABLE
from caxton.router.invocations import Invocations
from caxton.router.mailbox import Place
from caxton.router.meters import Meters
from caxton.router.moving import Moving
from caxton.router.pressure import Pressures
from caxton.router.probe import Probe
from caxton.router.replies import timer_message
from caxton.router.results import Results
from caxton.router.rows import agent_row
from caxton.router.scheduler import Scheduler
from caxton.router.secrets import Secrets
from caxton.router.snapshots.service import Snapshots, hibernates
from caxton.router.supervision.holds import Holds
from caxton.router.supervision.quarantine import Supervision
from caxton.router.talks.assembly import make_talking
from caxton.router.tenancy import Tenancy, spec_of
from caxton.router.timing.alarms import Alarms
from caxton.router.timing.schedules import Schedules
from caxton.router.timing.timers import Timers
from caxton.router.versions.lanes import Lanes
from caxton.router.waiters import Waiters
from caxton.store import Changes, CommitResult, Store

BODY_BUDGET_BYTES: Final = 256 * 1024 * 1024
STOP_GRACE_SECONDS: Final = 20.0
_HOUSEKEEPING_SECONDS: Final = 1.0
_STOPPED: Final = Outcome(State.DEAD, code=Code.NOT_READY, detail="the node is stopping")
_RECOVERED: Final = frozenset({AgentStatus.RUNNING, AgentStatus.QUARANTINED})


class Core:
    """To be made inside a running loop. `failed` is set when a commit fails: the process must end then."""

    def __init__(
        self, config: Config, store: Store, registry: Registry, emit: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self.failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._registry = registry
        self._emit = emit
        self._boxes = Boxes(config, BODY_BUDGET_BYTES)
        self.accounts = self._boxes.accounts
        self.followers = Followers()
        self._waiters = Waiters()
        self.commits = self._commits = Commits(store.writer, self._store_failed)
        self.meters = Meters(config.observability.histogram_buckets)
        self._executor = Executor(
            config,
            lambda worker, frames: self._dispatch.received(worker, frames),
            lambda flight, reason, culprit: self._dispatch.lost(flight, reason, culprit),
            self._workers_changed,
            emit,
            self.meters,
        )
        self._pressures = Pressures(self._boxes, self._executor.workers)
        self._aftermath = Aftermath(self._boxes, self._commits, self._waiters, self._pressures, self._wake)
        self.talking = make_talking(
            self._boxes, self._commits, self._aftermath, self._pressures, store.reader, self._wake, emit
        )
        self._keys, self._tally = self.talking.keys, self.talking.tally
        self._intake, self._outcomes = self.talking.intake, self.talking.outcomes
        self._scheduler = Scheduler(
            self._executor.place,
            lambda box, entry, worker: self._dispatch.begin(box, entry, worker),
            self._outcomes.expired,
            lambda: self._boxes.config.runtime.max_concurrent_executions,
        )
        self._dispatch = Dispatch(self._boxes, self._executor.workers, self._scheduler, store.reader, self.meters)
        self._supervision = self._outcomes.supervision = Supervision(self._commits, self._wake, emit)
        self.holds = self._outcomes.holds = Holds(self._boxes, self._commits, store.reader, self._wake)
        self._alarms = Alarms(self._wake, self._outcomes.expired)
        self._timers = Timers(self._timer_due)
        self.schedules = Schedules(self._commits, self._intake, store.reader, emit)
        self._make_services(store)
        self._housekeeping: asyncio.TimerHandle | None = None

    def _make_services(self, store: Store) -> None:
        addressing = self.talking.addressing
        cancel = Cancelling(self._boxes, self._outcomes, self._dispatch).cancel
        self.snapshots = Snapshots(self._commits, store.reader, self._emit)
        self._egress = Egress(self._boxes, self._commits)
        self.secrets = Secrets(self._boxes.config.security, self._commits, store.reader)
        self.results = results = Results(self._outcomes, self._timers, self.followers, self.snapshots)
        self._hostcalls = HostCalls(
            self._boxes,
            self._intake,
            addressing,
            self._keys,
            self._waiters,
            self._commits,
            store.reader,
            self.snapshots,
            self._egress,
            self.secrets,
        )
        self._tenancy = Tenancy(
            self._boxes,
            self._executor,
            self._scheduler,
            self._dispatch,
            self._outcomes,
            self._pressures,
            self._alarms,
            self._timers,
            self.schedules,
            self._commits,
            store.reader,
        )
        self._calls = Calls(self._boxes, self._intake, addressing, self._waiters, self._commits, store.reader, cancel)
        self.begin_invoke = Invocations(self._boxes, self._intake, self._waiters, cancel).begin
        self.moving = Moving(self._boxes, self._tenancy, self._commits, self.talking.conversations)
        self.lanes = Lanes(self._boxes, self._tenancy, self._dispatch, self._scheduler, self._executor.workers)
        self.emptying = Emptying(
            self._boxes, self._scheduler, self._dispatch, self._outcomes, self._waiters, self._executor.workers
        )
        self.probe = Probe(self._boxes, self._executor, self._dispatch, spec_of)
        self._outcomes.alarms = self._alarms
        self._outcomes.wake = self._wake
        self._outcomes.isolate = self._isolate
        self._dispatch.on_result = results.ended
        self._dispatch.on_host_call = self._hostcalls.called
        self._dispatch.on_awake = self._hostcalls.awake
        self._dispatch.on_lost = self._outcomes.lost
        self._dispatch.on_gone = self.snapshots.left
        self._dispatch.on_begin = self.snapshots.claim

    # ---- life ------------------------------------------------------------------------------------

    async def start(self, held: Callable[[Agent], bool] = lambda _: False) -> None:
        """Recovers the mailboxes and timers of the agents that run, and connects to the executor for ever.

        Those that are `held` take messages and run none yet.
        """
        self._tenancy.attach_all([agent for agent in self._registry if agent.status in _RECOVERED], held)
        self._executor.start()
        self.talking.start()
        self._keep_house()

    async def stop(self) -> None:
        """Starts nothing more, lets what runs end, writes everything, and lets the executor go."""
        self._scheduler.hold(scheduler.STOPPING)
        self._timers.stop()
        self.schedules.stop()
        self.talking.conversations.stop()
        with suppress(TimeoutError):  # what still runs then has committed nothing, and runs again at the next start
            async with asyncio.timeout(STOP_GRACE_SECONDS):
                for box in list(self._boxes.versions()):
                    await box.idle.wait()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        await self._egress.stop()
        if self._commits.failed is None:
            self._tally.flush()
            self._outcomes.flush_notes()
            await self._commits.drain()
        await self.snapshots.stop()
        await self._executor.stop()
        for box in self._boxes:
            if box.alarm is not None:
                box.alarm.cancel()
        self._waiters.fail_all(_STOPPED)

    def reconfigure(self, config: Config) -> None:
        """Limits for what is accepted and started from now on."""
        self._boxes.config = config
        self._scheduler.plan()

    # ---- messages --------------------------------------------------------------------------------

    async def submit(self, messages: list[Message], *, delivery: Delivery = Delivery.DURABLE) -> list[ItemView]:
        """Accepts each message on its own; durable (unless ephemeral) when the answer arrives."""
        return await self._calls.submit(messages, delivery)

    async def invoke(self, args: Invoke, *, patient: bool = False) -> InvokeView:
        """Accepts one message and waits for its reply; raises `CaxtonError` with the code of its failure."""
        return await self._calls.invoke(args, patient=patient)

    async def cancel(self, message_id: str) -> None:
        """Cancels a message that waits, or the execution that handles it; `MESSAGE_NOT_FOUND`, `CONFLICT`."""
        await self._calls.cancel(message_id)

    async def settled(self, message_ids: list[str]) -> None:
        """Waits until none of these messages is live any more."""
        await self._waiters.settled({one for one in message_ids if one in self._boxes.live})

    def in_flight(self, message_id: str) -> bool:
        """Whether the message is being handled now."""
        entry = self._boxes.live.get(message_id)
        return entry is not None and entry.place is Place.OUT

    async def commit(self, changes: Changes) -> CommitResult:
        """Writes the desk's own changes; raises when they cannot be written."""
        return await self._commits.apart(changes)

    async def write_counts(self) -> None:
        """Has everything written that is only counted in memory so far, so that what is read next is complete."""
        if self._commits.failed is None:
            self._tally.flush()
            self._outcomes.flush_notes()
            await self._commits.written()

    # ---- agents ----------------------------------------------------------------------------------

    async def prepare(
        self, config: AgentConfig, sha256: str, module: Path, progress: Callable[[float], None]
    ) -> ModuleInfo:
        """Has a module compiled unless it is; `progress` gets the CPU seconds used. Raises what was refused."""
        snapshot = config.state == STATE
        return await self._executor.prepare(sha256, config.profile, module, progress, snapshot=snapshot)

    async def prepare_kept(self, module: Path, agent: Agent) -> None:
        """The same for an agent whose module must be on disk; `INTERNAL_ERROR` when it is not."""
        if not module.is_file():
            raise CaxtonError(
                Code.INTERNAL_ERROR,
                f"the module of {agent.name!r} is gone from {module.parent}; restore it or deploy the agent again",
                sha256=agent.module.sha256,
            )
        await self.prepare(agent.config, agent.module.sha256, module, lambda _: None)

    async def start_agent(self, agent: Agent) -> Result:
        """Starts an instance of the agent; raises what `agent_init` failed with."""
        return await self._tenancy.start(agent)

    def end_quarantine(self, agent: Agent, reason: str) -> None:
        """The agent runs again like any other, and what failed before is forgotten."""
        box = self._boxes.get(agent.name)
        if box is not None:
            self._supervision.lift(box, reason)

    def attach(self, agent: Agent) -> None:
        """Opens the agent's mailbox; what is pending is scheduled."""
        self._tenancy.attach(agent)
        self.talking.capabilities.changed()

    async def drain(self, agent: Agent, grace_seconds: float) -> None:
        """Lets the agent's executions end, cancels those that take longer, and ends its instance."""
        await self._tenancy.drain(agent, grace_seconds)

    def detach(self, agent: Agent, *, elsewhere: bool = False) -> None:
        """Forgets the agent; one that goes on `elsewhere` has its subscriptions still, and gets what is pending."""
        self._tenancy.detach(agent)
        if elsewhere and self._boxes.elsewhere is not None:
            self._boxes.elsewhere.recover(agent.name)
        if not elsewhere:
            self.talking.addressing.topics.forget(agent.name)

    async def revive(self, message_ids: list[str], content: bytes | None = None) -> int:
        """Puts dead letters back into their mailboxes, with other content if it is given; gives how many."""
        return await self._tenancy.revive(message_ids, content)

    async def discard_pending(self, agent: Agent, *, purge: bool, remove: bool = False) -> int:
        """Moves what waits for the agent to the dead letters, or forgets it (the agent too); gives how many."""
        return await self._tenancy.discard_pending(agent, purge=purge, remove=remove)

    def end_idle(self, excess_bytes: int) -> int:
        """Ends the longest-idle instances until their memories make up `excess_bytes`; gives how many."""
        return self._tenancy.end_idle(excess_bytes)

    def counts(self, name: str) -> MailboxCounts:
        """What is in this agent's mailbox now."""
        return counts_of(self._boxes.get(name))

    def resting(self, name: str) -> Box | None:
        """The mailbox of an agent that is here and takes nothing now: what is accepted all the same waits in it."""
        agent = self._registry.get(name)
        return None if agent is None else self._tenancy.box(agent)

    def is_open(self, name: str) -> bool:
        """Whether the agent's mailbox is open: what is in it is handled."""
        box = self._boxes.get(name)
        return box is not None and box.open

    def resident(self, name: str) -> bool:
        """Whether the agent has a warm instance."""
        box = self._boxes.get(name)
        return box is not None and box.resident and box.worker is not None and box.worker.usable

    def hibernated(self, name: str) -> bool:
        """Whether the agent takes messages and only its snapshot holds it."""
        return hibernates(self._boxes.get(name))

    def stats(self) -> dict[str, Any]:
        """Figures for /metrics and `stats`: counts, bytes, per worker."""
        return {
            "executions": self._dispatch.executions,
            "runnable": self._scheduler.runnable,
            "paused": self._scheduler.is_held(scheduler.PAUSED),
            "timers": len(self._timers),
            "tasks_open": len(self.talking.tasks),
            "executor_available": self._executor.available,
            "meters": {
                **self.meters.figures(),
                **self._supervised(),
                **self.talking.conversations.figures(),
                "snapshots": self.snapshots.figures(self._boxes),
            },
            **figures(self._boxes, self._executor.workers.all()),
        }

    def _supervised(self) -> dict[str, Any]:
        return {
            "egress": self._egress.figures(),
            "quarantines": dict(self._supervision.counts),
            "schedules": dict(self.schedules.counts),
        }

    def hold(self, reason: str) -> None:
        """Starts no execution until `release`, for a reason of `scheduler`; messages are accepted on."""
        self._scheduler.hold(reason)

    def release(self, reason: str) -> None:
        """This reason to start nothing is no more."""
        self._scheduler.release(reason)

    def ready_reasons(self) -> list[str]:
        """Why this node should get no traffic now, as names; empty = ready."""
        found = {
            "store_failed": self._commits.failed is not None,
            "executor_unavailable": not self._executor.available,
            "paused": self._scheduler.is_held(scheduler.PAUSED),
            "low_disk": self._intake.low_disk,
        }
        return [name for name, holds in found.items() if holds]

    # ---- between the parts -------------------------------------------------------------------------

    def _wake(self, box: Box) -> None:
        if box.mailbox.next_event() is not None:
            self._alarms.set(box)
        self._scheduler.wake(box)

    def _workers_changed(self) -> None:
        self._scheduler.workers_changed()
        self._tenancy.workers_changed()

    def _timer_due(self, agent: str, timer_id: int) -> None:
        box = self._boxes.get(agent)
        if box is None or not box.open:
            return  # it is on disk: attaching the agent reads it again
        self._commits.changes.timers_cleared.append((agent, timer_id))
        message = timer_message(agent, box.agent.agent_id, timer_id)
        if message.message_id not in self._boxes.live:
            self._intake.enter(box, message, DURABLE)

    def _isolate(self, box: Box) -> None:
        """An agent that forced a kill runs in a worker of its own from now on."""
        if not box.agent.isolated:
            box.agent.isolated = True
            self._executor.workers.unpin(box)
            if box.side_of is None:
                self._commits.changes.agents.append(agent_row(box.agent))
            self._emit("agent.isolated", {"name": box.agent.name})

    def _store_failed(self, error: Exception) -> None:
        self._scheduler.hold(scheduler.FAILED)
        self._dispatch.close()
        if not self.failed.done():
            self.failed.set_result(error)

    def _keep_house(self) -> None:
        if self._outcomes.noted and self._commits.failed is None:
            self._outcomes.flush_notes()
        self._housekeeping = asyncio.get_running_loop().call_later(_HOUSEKEEPING_SECONDS, self._keep_house)

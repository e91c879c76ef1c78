"""Which agents may not run for a while, because they fail too often or do not start.

Owns the failure budget, the quarantine with its probes, and the backoff of instances that do not start. Must never
touch a message: a closed gate only keeps its agent from being scheduled; the mailbox stays as it is.

closed --pause over--> half-open --one message--> handled: no gate any more | failed: closed, for twice as long
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from caxton.protocol.agents import AgentStatus, Quarantine
from caxton.protocol.messages import Outcome, State
from caxton.router.boxes import Box, Gate
from caxton.router.commits import Commits
from caxton.router.mailbox import Entry
from caxton.router.rows import agent_row

STARTS_IN_VAIN: Final = 3
"""Instances that did not start, in a row, after which the agent counts as quarantined."""
RESTART_SECONDS: Final = 1.0
"""The first pause after an instance that did not start; it doubles like any other."""
EVENTS: Final = ("quarantined", "probed", "recovered")
log = logging.getLogger(__name__)


class Supervision:
    """`wake(box)` is called when a gate opens; every change of a quarantine is part of the turn's commit."""

    def __init__(
        self, commits: Commits, wake: Callable[[Box], None], emit: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._commits = commits
        self._wake = wake
        self._emit = emit
        self._deaths: dict[str, deque[tuple[float, str]]] = {}
        self.counts = Counter(dict.fromkeys(EVENTS, 0))

    # ---- what is reported --------------------------------------------------------------------------

    def died(self, box: Box, sender: str) -> None:
        """A message of `sender` became a dead letter: over its budget the agent is quarantined."""
        budget = box.agent.config.supervision
        deaths = self._deaths.setdefault(box.agent.name, deque())
        now = time.time()
        deaths.append((now, sender))
        while deaths and (deaths[0][0] < now - budget.window_seconds or len(deaths) > budget.dead_letters):
            deaths.popleft()
        senders = {one for _, one in deaths}
        if box.gate is None and len(deaths) >= budget.dead_letters and len(senders) >= budget.senders:
            reason = f"{len(deaths)} dead letters of {len(senders)} senders within {budget.window_seconds:g} s"
            box.gate = Gate(budget.pause_seconds)
            self._quarantine(box, reason)

    def ended(self, box: Box, entry: Entry, outcome: Outcome) -> None:
        """A message ended; one that was handled ends the quarantine, whatever else leaves it half-open."""
        gate = box.gate
        if gate is None or gate.probe is not entry:
            return
        gate.probe = None
        if outcome.state is State.DONE:
            self.lift(box, "a probe was handled")
        else:
            self._wake(box)

    def failed(self, box: Box, entry: Entry) -> None:
        """An attempt failed; was it the probe, then the gate closes again, for longer."""
        gate = box.gate
        if gate is not None and gate.probe is entry:
            self._close_again(box, gate)

    def returned(self, box: Box, entry: Entry) -> None:
        """A message was taken back through no fault of its own: the next one may be the probe."""
        if box.gate is not None and box.gate.probe is entry:
            box.gate.probe = None

    def not_started(self, box: Box, reason: str) -> None:
        """No instance could be started for a message: none is tried for a while."""
        gate = box.gate
        if gate is None:
            gate = box.gate = Gate(RESTART_SECONDS)
            self._close(box, gate)
        elif gate.probe is None:
            return  # others of the same moment have closed it
        else:
            self._close_again(box, gate)
        gate.starts_in_vain += 1
        log.warning("agent %s does not start: %s; next attempt in %g s", box.agent.name, reason, gate.pause)
        if gate.starts_in_vain >= STARTS_IN_VAIN and box.agent.status is not AgentStatus.QUARANTINED:
            self._quarantine(box, f"its instance does not start: {reason}"[:1_000])

    # ---- what is decided ---------------------------------------------------------------------------

    def restore(self, box: Box) -> None:
        """The agent's mailbox is opened: with the quarantine that its row tells of, or without one."""
        self._forget(box)
        kept = box.agent.quarantine
        if box.agent.status is AgentStatus.QUARANTINED and kept is not None:
            box.gate = Gate(kept.pause_seconds)
            box.gate.until = kept.probe_at
            self._arm(box, box.gate)

    def lift(self, box: Box, reason: str) -> None:
        """The agent runs again like any other."""
        agent = box.agent
        self._forget(box)
        if agent.status is AgentStatus.QUARANTINED:
            agent.status, agent.status_reason, agent.quarantine = AgentStatus.RUNNING, None, None
            self._commits.changes.agents.append(agent_row(agent))
            self.counts["recovered"] += 1
            self._emit("agent.recovered", {"name": agent.name, "reason": reason})
        self._wake(box)

    def _quarantine(self, box: Box, reason: str) -> None:
        agent, gate = box.agent, box.gate
        if agent.status is not AgentStatus.RUNNING or gate is None:
            return  # it is being stopped or removed
        agent.status, agent.status_reason = AgentStatus.QUARANTINED, reason
        if not gate.until:
            gate.until = time.time() + gate.pause
        agent.quarantine = Quarantine(time.time(), gate.pause, gate.until)
        self._commits.changes.agents.append(agent_row(agent))
        self._arm(box, gate)
        self.counts["quarantined"] += 1
        log.warning("agent %s is quarantined: %s", agent.name, reason)
        self._emit("agent.quarantined", {"name": agent.name, "reason": reason, "pause_seconds": gate.pause})

    def _close_again(self, box: Box, gate: Gate) -> None:
        gate.pause = min(gate.pause * 2, box.agent.config.supervision.max_pause_seconds)
        self._close(box, gate)

    def _close(self, box: Box, gate: Gate) -> None:
        gate.half_open, gate.probe = False, None
        gate.until = time.time() + gate.pause
        self._arm(box, gate)
        kept = box.agent.quarantine
        if kept is not None:
            box.agent.quarantine = Quarantine(kept.since, gate.pause, gate.until)
            self._commits.changes.agents.append(agent_row(box.agent))

    def _arm(self, box: Box, gate: Gate) -> None:
        if gate.timer is not None:
            gate.timer.cancel()
        gate.timer = self._loop.call_later(max(gate.until - time.time(), 0.0), self._half_open, box, gate)

    def _half_open(self, box: Box, gate: Gate) -> None:
        gate.timer = None
        if box.gate is gate:
            gate.half_open = True
            self.counts["probed"] += 1
            self._wake(box)

    def _forget(self, box: Box) -> None:
        self._deaths.pop(box.agent.name, None)
        if box.gate is not None and box.gate.timer is not None:
            box.gate.timer.cancel()
        box.gate = None

"""Rows and agents as clients see them (protocol/views.py).

Owns what is shown and how. Must never change anything.
"""

from __future__ import annotations

import base64
import time
from typing import Final

import msgspec

from caxton.protocol.access import Role, Scope
from caxton.protocol.errors import CaxtonError, Code, ErrorBody
from caxton.protocol.messages import Delivery, Outcome, State
from caxton.protocol.versions import RolloutView, VersionView
from caxton.protocol.views import (
    AgentView,
    AttemptView,
    Counts,
    ExecutionView,
    KeyView,
    LogView,
    MessageView,
    QuarantineView,
    ReplyView,
    Resources,
    SnapshotView,
    StateView,
    TokenView,
)
from caxton.router.agents import Agent
from caxton.router.desk import Desk
from caxton.router.timing.times import rfc3339, rfc3339_or_none
from caxton.store import (
    ApiKeyRow,
    ExecutionRow,
    FailedAttempt,
    KeyRow,
    LogRow,
    MessageRow,
    RevokedTokenRow,
    RolloutRow,
    VersionRow,
)

_NULL: Final = msgspec.Raw(b"null")
_decode_agents: Final = msgspec.json.Decoder(tuple[str, ...]).decode


def etag_of(agent: Agent) -> str:
    """What changes whenever the agent's module or configuration does."""
    return f"{agent.agent_id[:13]}-{agent.version}"


def require_etag(agent: Agent, etag: str | None) -> None:
    """`CONFLICT` unless the agent is still the one that the tag names; None and `*` name any."""
    if etag is None or etag.strip().removeprefix("W/").strip('"') in ("*", etag_of(agent)):
        return
    raise CaxtonError(
        Code.CONFLICT,
        f"the agent {agent.name!r} has changed since; read it again",
        path="etag",
        found=etag,
        expected=etag_of(agent),
    )


async def agent_view(desk: Desk, agent: Agent) -> AgentView:
    """One agent with its ledger."""
    ledger = await desk.read(desk.store.reader.ledger)
    stored = await desk.read(desk.store.reader.snapshots.stored_bytes, agent.name) if agent.snapshot else None
    return agent_view_with(desk, agent, ledger.get(agent.name, Counts()), stored)


def agent_view_with(desk: Desk, agent: Agent, counts: Counts, snapshot_bytes: int | None = None) -> AgentView:
    """The same where the ledger has been read already. `snapshot_bytes`: of its snapshot on disk, where known."""
    live = desk.core.counts(agent.name)
    in_flight = min(live.in_flight, counts.pending)
    return AgentView(
        name=agent.name,
        agent_id=agent.agent_id,
        version=agent.version,
        status=agent.status,
        status_reason=agent.status_reason,
        shape=agent.shape,
        instance=agent.instance,
        module_sha256=agent.module.sha256,
        module_bytes=agent.module.size_bytes,
        signed_by=agent.signed_by,
        node=desk.node,
        limits=agent.limits,
        grants=agent.config.grants,
        config=agent.config,
        capabilities=agent.capabilities,
        descriptor=agent.descriptor,
        counters={
            "accepted": counts.accepted,
            "done": counts.done,
            "dead": counts.dead,
            "expired": counts.expired,
            "cancelled": counts.cancelled,
            "pending": counts.pending - in_flight,
            "in_flight": in_flight,
        },
        resources=_resources(desk, agent, live.bytes, snapshot_bytes),
        quarantine=_quarantine(agent),
        deployed_at=rfc3339(agent.deployed_at),
        etag=etag_of(agent),
        rollout=_running_rollout(desk, agent.name),
    )


def _running_rollout(desk: Desk, name: str) -> RolloutView | None:
    live = desk.rollouts.live(name)
    return None if live is None else rollout_view(live.measured())


def rollout_view(row: RolloutRow) -> RolloutView:
    """How a rollout goes, or went."""
    return RolloutView(
        strategy=row.strategy,
        state=row.state,
        from_version=row.from_version,
        to_version=row.to_version,
        started_at=rfc3339(row.started_at),
        ended_at=rfc3339_or_none(row.ended_at),
        reason=row.reason,
        canary=row.canary,
        blue_green=row.blue_green,
        new=row.new,
        old=row.old,
    )


def version_view(row: VersionRow, state: str) -> VersionView:
    """One version, and what it is to the agent now."""
    return VersionView(
        version=row.version,
        state=state,
        module_sha256=row.module.sha256,
        module_bytes=row.module.size_bytes,
        profile=row.config.profile,
        deployed_at=rfc3339(row.deployed_at),
        reason=row.returned,
        signed_by=row.signed_by,
    )


def _quarantine(agent: Agent) -> QuarantineView | None:
    kept = agent.quarantine
    if kept is None:
        return None
    return QuarantineView(rfc3339(kept.since), rfc3339(kept.probe_at), kept.pause_seconds)


def _resources(desk: Desk, agent: Agent, mailbox_bytes: int, snapshot_bytes: int | None) -> Resources:
    return Resources(
        resident=desk.core.resident(agent.name),
        incarnation=agent.incarnation,
        state_bytes=agent.state_bytes,
        mailbox_bytes=mailbox_bytes,
        cpu_seconds=agent.cpu_seconds,
        peak_memory_bytes=agent.peak_memory_bytes,
        hibernated=desk.core.hibernated(agent.name),
        wakes=agent.wakes,
        snapshot=_snapshot(agent, snapshot_bytes),
        memory_bytes=agent.memory_bytes if desk.core.resident(agent.name) else 0,
        executions=agent.executions,
        failures=agent.failures,
        fuel=agent.fuel,
    )


def _snapshot(agent: Agent, stored_bytes: int | None) -> SnapshotView | None:
    info = agent.snapshot
    if info is None:
        return None
    age = max(time.time() - info.taken_at, 0.0)
    return SnapshotView(info.memory_bytes, rfc3339(info.taken_at), age, stored_bytes)


def message_view(row: MessageRow, attempts: list[FailedAttempt], *, in_flight: bool = False) -> MessageView:
    """A stored message with what became of it. `in_flight`: it runs now (on disk it is pending)."""
    message, outcome = row.message, row.outcome
    state = State.IN_FLIGHT if in_flight and row.state is State.PENDING else row.state
    return MessageView(
        message_id=message.message_id,
        state=state.value,
        performative=message.performative,
        sender=message.sender,
        receiver=message.receiver,
        content=raw(message.content),
        conversation_id=message.conversation_id,
        accepted_at=rfc3339(row.accepted_at),
        priority=message.priority,
        finished_at=rfc3339_or_none(row.finished_at),
        reply_with=message.reply_with,
        in_reply_to=message.in_reply_to,
        reply_by=rfc3339_or_none(message.reply_by),
        protocol=message.protocol,
        ontology=message.ontology,
        language=message.language,
        trace_context=message.traceparent,
        delivery=Delivery.EPHEMERAL if row.delivery == Delivery.EPHEMERAL else Delivery.DURABLE,
        attempts=[attempt_view(attempt) for attempt in attempts],
        reply=_reply(outcome),
        error=_error(outcome),
        execution=None if outcome is None else outcome.execution,
    )


def raw(content: bytes | None) -> msgspec.Raw:
    """Stored JSON text, passed on as it is; what retention has dropped is null."""
    return msgspec.Raw(content) if content else _NULL


def _reply(outcome: Outcome | None) -> ReplyView | None:
    if outcome is None or outcome.performative is None:
        return None
    return ReplyView(outcome.performative, raw(outcome.content))


def _error(outcome: Outcome | None) -> ErrorBody | None:
    if outcome is None or outcome.code is None:
        return None
    return ErrorBody(Code(outcome.code), outcome.detail or outcome.code)


def attempt_view(attempt: FailedAttempt) -> AttemptView:
    """One failed delivery."""
    return AttemptView(
        attempt.number,
        rfc3339(attempt.at),
        attempt.code,
        attempt.detail,
        attempt.backtrace,
        attempt.duration_seconds,
    )


def execution_view(row: ExecutionRow) -> ExecutionView:
    """One execution."""
    return ExecutionView(
        id=row.id,
        message_id=row.message_id,
        at=rfc3339(row.at),
        status=row.status,
        duration_seconds=row.duration_seconds,
        cpu_seconds=row.cpu_seconds,
        peak_memory_bytes=row.peak_memory_bytes,
        code=row.code,
        fuel=row.fuel,
    )


def log_view(row: LogRow) -> LogView:
    """One line of a log."""
    return LogView(row.seq, rfc3339(row.at), row.stream, row.text, row.message_id)


def state_view(row: KeyRow) -> StateView:
    """One key: as text where it is text, else in base64."""
    try:
        return StateView(row.key, row.value.decode(), "utf-8", len(row.value))
    except UnicodeDecodeError:
        return StateView(row.key, base64.b64encode(row.value).decode(), "base64", len(row.value))


def scope_of(row: ApiKeyRow) -> Scope:
    """What a key may do; one of a release that knew no roles may do everything, as it always could."""
    agents = None if row.agents is None else _decode_agents(row.agents)
    return Scope(Role(row.role or Role.ADMIN), row.namespace, agents)


def token_view(row: RevokedTokenRow) -> TokenView:
    """A revoked token."""
    return TokenView(row.jti, rfc3339(row.revoked_at), rfc3339_or_none(row.expires_at))


def key_view(row: ApiKeyRow, text: str | None = None) -> KeyView:
    """An API key; its text only where it was just made."""
    return KeyView(
        key_id=row.key_id,
        subject=row.subject,
        **msgspec.structs.asdict(scope_of(row)),
        created_at=rfc3339(row.created_at),
        expires_at=rfc3339_or_none(row.expires_at),
        revoked_at=rfc3339_or_none(row.revoked_at),
        key=text,
    )

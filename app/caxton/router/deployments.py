"""Deploying: bytes and a configuration become a running agent, or leave nothing behind.

Owns the steps, and that a crash between any two of them is taken up again at the next start: the job's row holds
all that is needed, and the agent's row is written with the job's end, in one transaction. Must never compile or run.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from caxton.protocol.agents import AgentConfig, AgentStatus, ModuleInfo
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.execution import Result
from caxton.protocol.ids import new_id
from caxton.protocol.operations import Deploy, Deployed
from caxton.protocol.views import AgentView
from caxton.router import admission, provenance
from caxton.router.access.bounds import own_names
from caxton.router.access.namespaces import require_agent_room
from caxton.router.agents import Agent
from caxton.router.desk import Desk
from caxton.router.jobs import DEPLOY, Job
from caxton.router.readiness import require_accepting, require_disk
from caxton.router.rows import agent_row
from caxton.router.selftest import self_test
from caxton.router.versions.kept import version_row
from caxton.router.views import agent_view
from caxton.store import Changes

COMPILE_HALF_SECONDS: Final = 20.0
"""CPU seconds of compilation after which half of that phase's progress is shown."""

log = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True):
    """A deployment as its job keeps it."""

    config: AgentConfig
    sha256: str
    agent_id: str
    signature: str | None = None


async def deploy(desk: Desk, args: Deploy) -> Deployed:
    """Checks, keeps the module, makes the job durable, and answers with whatever is true after `wait_seconds`."""
    require_accepting(desk)
    require_disk(desk)
    admission.check_config(args.config, desk.config)
    admission.check_module_size(len(args.module))
    require_member(desk, args.config.node)
    _require_free(desk, args.config.name)
    _require_room(desk, args.config.name)
    sha256 = await desk.modules.put(args.module)
    try:
        provenance.require_incoming(desk, args.config.name, sha256, args.signature)
        order = Order(args.config, sha256, new_id(), args.signature)
        job = await desk.jobs.create(DEPLOY, order, order.config.name)
    except BaseException:
        let_go(desk, sha256)
        raise
    return await answer(desk, job, desk.spawn(_run(desk, job, order)), args.wait_seconds)


def resume(desk: Desk, job: Job) -> None:
    """Goes on with a deployment that a crash or a restart interrupted."""
    order = msgspec.convert(job.order, Order)
    desk.modules.hold(order.sha256)
    desk.spawn(_run(desk, job, order))


async def _run(desk: Desk, job: Job, order: Order) -> AgentView | CaxtonError:
    return await carry_out(desk, job, order.config.name, order.sha256, _deploy(desk, job, order), "agent.failed")


async def carry_out(
    desk: Desk, job: Job, name: str, sha256: str, steps: Coroutine[Any, Any, AgentView], failed: str
) -> AgentView | CaxtonError:
    """The whole of a deployment or an update, to the job's end; `failed` is the event when it is a failure.

    Cancelled (the router stops), the next start takes it up.
    """
    try:
        view = await steps
        let_go(desk, sha256)
        return view
    except CaxtonError as error:
        failure = error
    except Exception:
        trace_id = new_id().replace("-", "")
        log.exception("deployment of %s failed unexpectedly; trace id %s", name, trace_id)
        failure = CaxtonError(Code.INTERNAL_ERROR, "the node failed to deploy this", trace_id=trace_id)
    await desk.jobs.fail(job, failure)
    let_go(desk, sha256)  # only now: until the job has failed for good, a restart needs the file
    told = {"name": name, "code": failure.code, "reason": failure.message, "job_id": job.job_id}
    desk.events.publish(failed, told)
    return failure


async def _deploy(desk: Desk, job: Job, order: Order) -> AgentView:
    async with desk.lock(order.config.name):
        return await _install(desk, job, order)


async def answer(desk: Desk, job: Job, task: asyncio.Task[AgentView | CaxtonError], wait_seconds: float) -> Deployed:
    """The agent, if it is there within `wait_seconds`; else the job that goes on. Raises what it failed with."""
    done, _ = await asyncio.wait({task}, timeout=max(0.0, wait_seconds))
    if not done:
        return Deployed(job=desk.jobs.running(job.job_id))
    result = task.result()
    if isinstance(result, CaxtonError):
        raise result
    return Deployed(agent=result)


async def _install(desk: Desk, job: Job, order: Order) -> AgentView:
    config = order.config
    limits = admission.check_config(config, desk.config)  # again: a restart may have brought another configuration
    signed_by = provenance.require_incoming(desk, config.name, order.sha256, order.signature)
    _require_free(desk, config.name)
    path = desk.modules.path(order.sha256)
    job.advance(0.05, "compiling")
    module = await desk.core.prepare(config, order.sha256, path, lambda used: job.advance(compiling(used)))
    admission.check_module(config, limits, module)
    _require_room(desk, config.name)
    agent = _agent(order, module, desk)
    agent.signature, agent.signed_by = order.signature, signed_by
    desk.registry.add(agent)
    try:
        return await _launch(desk, job, agent)
    except Exception:
        await _take_back(desk, agent)
        raise


async def _launch(desk: Desk, job: Job, agent: Agent) -> AgentView:
    job.advance(0.85, "starting")
    describe(agent, await desk.core.start_agent(agent))
    desk.core.attach(agent)
    if agent.config.self_test is not None:
        job.advance(0.95, "self-test")
        agent.status = AgentStatus.RUNNING  # it takes messages from here on: the test is one
        await self_test(desk.core, agent, agent.config.self_test)
    row = msgspec.structs.replace(agent_row(agent), status=AgentStatus.RUNNING)
    view = msgspec.structs.replace(await agent_view(desk, agent), status=AgentStatus.RUNNING)
    version = version_row(agent)
    await desk.jobs.finish(job, view, Changes(agents=[row], versions=[version]))
    desk.versions.add(version)
    agent.status = AgentStatus.RUNNING
    desk.events.publish(
        "agent.deployed", {"name": agent.name, "version": agent.version, "module_sha256": agent.module.sha256}
    )
    return view


async def _take_back(desk: Desk, agent: Agent) -> None:
    """Nothing of a failed deployment stays; what it was sent during its self-test becomes dead letters."""
    agent.status = AgentStatus.FAILED
    if not desk.core.failed.done():
        await desk.core.drain(agent, 0.0)
        await desk.core.discard_pending(agent, purge=False, remove=True)
    desk.core.detach(agent)
    desk.registry.drop(agent.name)


def describe(agent: Agent, result: Result) -> None:
    """Takes over what `get_capabilities` said; what is no JSON object is only kept out, the agent may run.

    Of what it says it offers, names of another namespace do not count: that a deployment must say.
    """
    agent.descriptor = None
    named: list[str] = []
    if result.capabilities:
        try:
            agent.descriptor = msgspec.json.decode(result.capabilities)
            named = msgspec.json.decode(result.capabilities, type=_Descriptor).capabilities
        except (msgspec.DecodeError, RecursionError):
            log.warning("agent %s: get_capabilities gave no usable descriptor", agent.name)
    agent.capabilities = list(dict.fromkeys([*agent.config.capabilities, *own_names(named, agent.name)]))


class _Descriptor(msgspec.Struct, frozen=True):
    capabilities: list[str] = []


def _agent(order: Order, module: ModuleInfo, desk: Desk) -> Agent:
    config = order.config
    instance = admission.instance_of(config, module.shape)
    return Agent(
        name=config.name,
        agent_id=order.agent_id,
        version=1,
        config=config,
        module=module,
        limits=admission.limits_of(config, desk.config),
        shape=module.shape,
        instance=instance,
        max_concurrency=admission.concurrency_of(config, instance),
        deployed_at=time.time(),
        isolated=bool(config.grants.dirs),
    )


def require_member(desk: Desk, node: str | None) -> None:
    """`INVALID_REQUEST` for an agent that is pinned to a node which the cluster does not know."""
    if desk.cluster is None or node is None:
        return
    known = {*desk.cluster.members.states, *desk.cluster.members.out}
    if node not in known:
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"node: no member of the cluster is called {node[:64]!r}",
            path="node",
            found=node[:64],
            expected=sorted(known),
        )


def _require_free(desk: Desk, name: str) -> None:
    elsewhere = desk.cluster is not None and desk.cluster.records.agent(name) is not None
    if elsewhere or desk.registry.get(name) is not None:
        raise CaxtonError(Code.AGENT_ALREADY_EXISTS, f"an agent called {name!r} is already deployed", name=name)


def _require_room(desk: Desk, name: str) -> None:
    require_agent_room(desk, name)
    maximum = desk.config.runtime.max_agents
    if len(desk.registry) >= maximum:
        raise CaxtonError(
            Code.RESOURCE_LIMIT_EXCEEDED,
            f"this node runs {len(desk.registry)} agents, max_agents is {maximum}; remove one first",
            limit="max_agents",
            found=len(desk.registry),
            maximum=maximum,
        )


def compiling(cpu_seconds: float) -> float:
    """0.05 to 0.8; nobody knows how long a compilation takes, so it nears its end and never claims it."""
    return 0.05 + 0.75 * (1 - math.exp2(-cpu_seconds / COMPILE_HALF_SECONDS))


def let_go(desk: Desk, sha256: str) -> None:
    """A deployment does not need its module file any more; if nobody else does, it goes."""
    desk.modules.release(sha256)
    desk.modules.discard(sha256, needed_modules(desk))


def needed_modules(desk: Desk) -> set[str]:
    """The modules that deployed agents and their kept versions are made of; in a cluster agents anywhere."""
    anywhere = desk.cluster.records.modules() | desk.cluster.homes.modules() if desk.cluster is not None else set()
    return {agent.module.sha256 for agent in desk.registry} | desk.versions.modules() | anywhere


def discard_modules(desk: Desk, modules: set[str]) -> None:
    """Removes the files of these modules, but of none that is still needed."""
    needed = needed_modules(desk)
    for sha256 in modules:
        desk.modules.discard(sha256, needed)

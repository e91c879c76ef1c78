"""Capabilities: list, show, register, forget what was registered.

Owns what is shown of them. Must never choose an agent.
"""

from __future__ import annotations

from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.names import require_agent_name
from caxton.protocol.operations import Affected, Listing, Named
from caxton.protocol.talks import CapabilitySet, CapabilityView, ProviderView
from caxton.protocol.views import Page
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.desk import Desk, require_known
from caxton.router.paging import check_limit, read_last, write_last
from caxton.store import CapabilityRow, ProviderRow


async def list_capabilities(desk: Desk, args: Listing, reach: Reach = EVERYTHING) -> Page:
    """Every capability that somebody offers or that is registered, by name."""
    limit, after = check_limit(args.limit), read_last(args.cursor) or ""
    names = [name for name in desk.core.talking.capabilities.names() if name > after and reach.capability(name)]
    cursor = write_last(names[limit - 1]) if len(names) > limit else None
    return Page([_view(desk, name, reach) for name in names[:limit]], cursor)


async def get(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> CapabilityView:
    """One capability; `NOT_FOUND` with the names that are near."""
    if not reach.capability(args.name) or args.name not in desk.core.talking.capabilities.names():
        raise _unknown(desk, args.name, reach)
    return _view(desk, args.name, reach)


async def register(desk: Desk, args: CapabilitySet, reach: Reach = EVERYTHING) -> CapabilityView:
    """Replaces what was registered: how to choose, and agents besides those that say so themselves."""
    require_agent_name(args.name)
    if not reach.capability(args.name):
        reach.forbid(f"the capability {args.name!r}", path="name")
    for index, provider in enumerate(args.body.providers):
        require_agent_name(provider.agent, f"providers[{index}].agent")
        reach.require_agent(provider.agent)
        require_known(desk, provider.agent)
    providers = {one.agent: ProviderRow(one.agent, one.priority) for one in args.body.providers}
    desk.core.talking.capabilities.register(
        CapabilityRow(args.name, args.body.strategy.value, list(providers.values()))
    )
    await desk.core.write_counts()
    return _view(desk, args.name, reach)


async def forget(desk: Desk, args: Named, reach: Reach = EVERYTHING) -> Affected:
    """What was registered is no more; what deployments say stays."""
    if not reach.capability(args.name) or desk.core.talking.capabilities.registered(args.name) is None:
        raise _unknown(desk, args.name, reach)
    desk.core.talking.capabilities.register(CapabilityRow(args.name))
    await desk.core.write_counts()
    return Affected(1)


def _view(desk: Desk, name: str, reach: Reach) -> CapabilityView:
    capabilities = desk.core.talking.capabilities
    taking = {offer.agent for offer, _ in capabilities.taking(name)}
    providers = [
        ProviderView(offer.agent, offer.source, offer.agent in taking, _load(desk, offer.agent), offer.priority)
        for offer in capabilities.offers(name)
        if reach.agent(offer.agent)
    ]
    return CapabilityView(name, capabilities.strategy(name), providers)


def _load(desk: Desk, agent: str) -> int:
    counts = desk.core.counts(agent)
    return counts.pending + counts.in_flight


def _unknown(desk: Desk, name: str, reach: Reach) -> CaxtonError:
    near = desk.core.talking.capabilities.near(name) if reach.capability(name) else []
    hint = f"; near: {', '.join(near)}" if near else ""
    return CaxtonError(
        Code.NOT_FOUND,
        f"no capability {name[:128]!r} is offered, or registered here{hint}",
        capability=name[:128],
        near=near,
    )

"""Namespaces: list, show, set and remove their quotas.

Owns what is shown of them. Must never enforce a quota: `access` does, where things are accepted and started.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from caxton.protocol.access import namespace_of
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.namespaces import NAMESPACE_PATTERN, NamespaceSet, NamespaceView, Quota, Usage
from caxton.protocol.operations import Affected, Listing, Named
from caxton.protocol.views import Page
from caxton.router.access.accounts import NO_QUOTA, Account, unknown_namespace
from caxton.router.access.namespaces import agents_of
from caxton.router.access.reach import EVERYTHING, Reach
from caxton.router.desk import Desk
from caxton.router.paging import check_limit, read_last, write_last
from caxton.store import Changes, NamespaceRow

MOST_WITH_QUOTAS: Final = 1_000
"""Each has its metrics."""
_NAME: Final = re.compile(NAMESPACE_PATTERN)


async def list_namespaces(desk: Desk, args: Listing, reach: Reach = EVERYTHING) -> Page:
    """Those with agents or quotas, by name; what they store is known of those that have a quota for it."""
    limit, after = check_limit(args.limit), read_last(args.cursor) or ""
    names = [name for name in _names(desk) if name > after and reach.inside(f"{name}/")]
    cursor = write_last(names[limit - 1]) if len(names) > limit else None
    return Page([_view(desk, desk.core.accounts.named(name)) for name in names[:limit]], cursor)


async def get(desk: Desk, args: Named) -> NamespaceView:
    """One namespace, with what it stores now; `NOT_FOUND` for one without agents and quotas."""
    account = _require(desk, args.name)
    await desk.core.talking.storage.read(account)
    return _view(desk, account, measured=True)


async def put(desk: Desk, args: NamespaceSet) -> NamespaceView:
    """Replaces a namespace's quotas, from now on. What is there stays, also where it is more than that."""
    if not _NAME.fullmatch(args.name):
        raise CaxtonError(
            Code.INVALID_REQUEST,
            f"name: {args.name[:80]!r} is no namespace",
            path="name",
            expected="1 to 64 of a-z 0-9 . _ - (no dash or dot at an end)",
        )
    limited = {account.namespace for account in desk.core.accounts.limited()}
    if args.name not in limited and len(limited) >= MOST_WITH_QUOTAS:
        raise CaxtonError(
            Code.RESOURCE_LIMIT_EXCEEDED,
            f"{MOST_WITH_QUOTAS} namespaces have quotas, as many as may have",
            limit=MOST_WITH_QUOTAS,
        )
    account = await _apply(desk, args.name, args.quota)
    await desk.core.talking.storage.read(account)
    return _view(desk, account, measured=True)


async def remove(desk: Desk, args: Named) -> Affected:
    """The namespace has no quotas any more; its agents stay."""
    account = _require(desk, args.name)
    limited = account.quota != NO_QUOTA
    await _apply(desk, args.name, NO_QUOTA)
    return Affected(int(limited))


def figures(desk: Desk) -> list[dict[str, Any]]:
    """Of those with quotas, for /metrics: as many as may have any."""
    accounts = desk.core.accounts.limited()
    return [msgspec.to_builtins(_view(desk, account, measured=True)) for account in accounts]


async def _apply(desk: Desk, name: str, quota: Quota) -> Account:
    row = NamespaceRow(name, None if quota == NO_QUOTA else quota)
    await desk.core.commit(Changes(namespaces=[row]))
    account = desk.core.accounts.named(name)
    account.apply(quota)
    desk.events.publish("namespace.changed", {"namespace": name})
    return account


def _names(desk: Desk) -> list[str]:
    found = {account.namespace for account in desk.core.accounts.limited()}
    return sorted(found | {team for agent in desk.registry if (team := namespace_of(agent.name)) is not None})


def _require(desk: Desk, name: str) -> Account:
    if name not in _names(desk):
        raise unknown_namespace(name)
    return desk.core.accounts.named(name)


def _view(desk: Desk, account: Account, *, measured: bool = False) -> NamespaceView:
    known = measured or account.quota.stored_bytes is not None
    usage = Usage(
        agents=agents_of(desk, account.namespace),
        stored_bytes=account.stored_bytes if known else None,
        messages=account.messages,
        cpu_seconds=account.cpu_seconds,
        refused=dict(account.refused),
        held=account.held,
    )
    return NamespaceView(name=account.namespace, quota=account.quota, usage=usage)

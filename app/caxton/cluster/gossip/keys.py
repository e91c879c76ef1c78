"""The keys that gossip is encrypted with, on every node at once: installed, used, removed, listed.

Owns when a change of keys may go on: never while a node would miss it. Must never show a key, nor keep one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from caxton.cluster.gossip import rpc
from caxton.cluster.gossip.rendering import read_token
from caxton.config import Config
from caxton.protocol.errors import CaxtonError, Code

_FINGERPRINT: Final = 12


@dataclass(frozen=True)
class Key:
    """A key by its fingerprint, and how many of the nodes have it."""

    fingerprint: str
    nodes: int


@dataclass(frozen=True)
class Keys:
    """The keys that are in use somewhere, and of how many nodes."""

    nodes: int
    keys: list[Key]


def fingerprint(key: str) -> str:
    """What a key is called where people can read it."""
    return hashlib.sha256(key.encode()).hexdigest()[:_FINGERPRINT]


async def listed(config: Config) -> Keys:
    """Which keys there are. `UNREACHABLE` without serf; `NOT_READY` when a node does not answer."""
    async with rpc.connect(config.coordination.gossip_rpc_address, read_token(config.paths)) as client:
        answer = await client.keys("list")
        _require_all("list", answer)
        found = sorted((answer.Keys or {}).items())
        return Keys(answer.NumNodes, [Key(fingerprint(key), nodes) for key, nodes in found])


async def change(config: Config, verb: str, key: str) -> Keys:
    """One step on every node, which may be repeated: `install`, `use`, or `prune`, the end of all others.

    Answers what there is afterwards. `NOT_READY` when a member is away, who would miss it, or does not answer;
    `CONFLICT` when a node refuses: a key that is in use does not end, and one that is not installed is not used.
    """
    async with rpc.connect(config.coordination.gossip_rpc_address, read_token(config.paths)) as client:
        away = _awaited(await client.members(), config.coordination.expected_nodes)
        if away:
            raise CaxtonError(
                Code.NOT_READY,
                f"not there, and would miss it: {', '.join(away)}. Bring them back, or remove them from the cluster",
                nodes=away,
            )
        if verb != "prune":
            _require_all(verb, await client.keys(verb, key))
        else:
            for other in await _others(client, key):
                _require_all("remove", await client.keys("remove", other))
    return await listed(config)


def _awaited(rows: list[rpc.MemberRow], expected: int) -> list[str]:
    """Who is not there and comes back: those that failed, and while more are expected those that have left."""
    left = sorted(row.Name for row in rows if row.Status in ("left", "leaving"))
    failed = sorted(row.Name for row in rows if row.Status not in ("alive", "left", "leaving"))
    return failed + left if len(rows) - len(left) < expected else failed


async def _others(client: rpc.Client, key: str) -> list[str]:
    """All keys but this one, which every node has."""
    answer = await client.keys("list")
    _require_all("list", answer)
    found = answer.Keys or {}
    if found.get(key, 0) < answer.NumNodes:
        raise CaxtonError(Code.CONFLICT, f"{found.get(key, 0)} of {answer.NumNodes} nodes have this key; install it")
    return sorted(found.keys() - {key})


def _require_all(verb: str, answer: rpc.KeysAnswer) -> None:
    said = {node: text for node, text in (answer.Messages or {}).items() if text}
    if answer.NumErr:
        told = "; ".join(f"{node}: {text}" for node, text in sorted(said.items())) or "no reason given"
        raise CaxtonError(Code.CONFLICT, f"{answer.NumErr} of {answer.NumNodes} nodes refuse to {verb}: {told}")
    if answer.NumResp < answer.NumNodes:
        raise CaxtonError(
            Code.NOT_READY, f"{answer.NumResp} of {answer.NumNodes} nodes answered to {verb}; do it again"
        )

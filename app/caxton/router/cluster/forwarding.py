"""Operations that another node answers: passed on once, or answered here.

Owns the step between an operation's rule and its handler, on the node that is asked and on the one that answers.
What came from another node is answered here or refused (`not_here`), never passed on again, so nothing goes in
circles. The caller travels along: the answering node applies its reach again, and its audit names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from caxton.protocol.access import Caller
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.messages import State
from caxton.protocol.operations import Affected
from caxton.protocol.peers import Forward
from caxton.protocol.views import MessageView
from caxton.router.access.rules import Go
from caxton.router.cluster import places
from caxton.router.cluster.forwarding_lists import gather
from caxton.router.cluster.forwarding_messages import Passing
from caxton.router.cluster.places import Places
from caxton.router.cluster.routing import Route, Where, route_of
from caxton.router.cluster.waits import Waits
from caxton.router.connection import Operation, Sink

FORWARD: Final = "peer.forward"
ANSWER_SECONDS: Final = 30.0
"""How long the other node may take, besides what the arguments say that it may."""
AGAIN_SECONDS: Final = 0.2
"""After this the registries agree, if they differed."""
_WAITS: Final = ("timeout_seconds", "wait_seconds", "grace_period_seconds")
Find = Callable[[], "str | None"]
"""The node that answers, as far as this one knows now."""
Following = Callable[[str, Go, Caller], Go]
Refuse = Callable[["str | None"], CaxtonError]
"""What is said when that node does not."""
_encode: Final = msgspec.msgpack.Encoder().encode
_count: Final = msgspec.json.Decoder(Affected).decode


class Links(Protocol):
    """What is asked of the links to other nodes."""

    async def call(self, node: str, op: str, args: Any, *, timeout: float) -> bytes:
        """The JSON of the answer; raises its refusal, or `NOT_READY` where the node cannot be reached."""

    def stream(self, node: str, op: str, args: Any) -> AsyncGenerator[bytes, None]:
        """The JSON of each item."""


class Forwarding:
    """One per node of a cluster. `arrived`: the operations as they are answered to other nodes."""

    def __init__(self, where: Places, links: Links) -> None:
        self.places = where
        self._links = links
        self.passing: Passing
        self.arrived: dict[str, Operation] = {}
        self.waits = Waits()
        self.following: Following = _as_it_is
        """What is asked of dead letters, wherever these go meanwhile."""

    # ---- on the node that is asked -----------------------------------------------------------------

    def entering(self, op: str, go: Go, caller: Caller, sink: Sink) -> Go:
        """`go`, here or on another node."""
        route = route_of(op)
        if route.where is Where.HERE and not route.changes:
            return go
        if route.follows:
            go = self.following(op, go, caller)
        ask = self._ways[route.where]

        async def forwarded(args: Any, *more: Any) -> Any:
            if route.changes:
                self.places.require_majority()
            await self._wait(route, args)
            return await ask(self, _Asked(op, route, args, more, go, caller, sink))

        return forwarded

    async def _here(self, asked: _Asked) -> Any:
        return await asked.here()

    async def _messages(self, asked: _Asked) -> Any:
        return await self.passing.answer(asked.op, asked.args, asked.caller, asked.here)

    async def _agent(self, asked: _Asked) -> Any:
        name = asked.route.about(asked.args) or ""
        away = partial(places.unreachable, what=f"the agent {name[:128]!r}")
        return await self._at(asked, partial(self.places.of_agent, name), away)

    async def _decider(self, asked: _Asked) -> Any:
        name = asked.route.about(asked.args) or ""
        find = partial(self.places.decider, name, asked.route.pin(asked.args))
        away = partial(_undecided, name, why="cannot be reached")
        return await self._at(
            asked, find, away, partial(_undecided, name, why="did not answer: look what became of it")
        )

    async def _at(self, asked: _Asked, find: Find, away: Refuse, lost: Refuse | None = None) -> Any:
        """At the node that `find` names; once more where that knows better. `lost`: when its answer did not come."""
        for again in (True, False):
            node = find()
            if node == self.places.node_id:
                return await asked.here()
            if node is None or not self.places.reaches(node):
                raise away(node)
            try:
                return await self._pass_on(node, asked)
            except CaxtonError as error:
                if lost is not None and places.is_unreachable(error):
                    raise lost(node) from error
                if not (again and places.is_not_here(error)):
                    raise
                await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError("unreachable")

    async def _find(self, asked: _Asked) -> Any:
        try:
            found = await asked.here()
            if not (isinstance(found, MessageView) and found.state == State.FORWARDED):
                return found
            mine: Any = found
        except CaxtonError as error:
            if not _is_elsewhere(error, asked.route):
                raise
            mine = error
        for node in self.places.others():  # one by one: some of these change what they find
            try:
                found = await self._pass_on(node, asked)
            except CaxtonError as error:
                if not _is_elsewhere(error, asked.route):
                    raise
                if error.code is Code.DRAINING:
                    mine = error  # said unless another has it: that node may have what it does not touch now
                continue
            if not _is_forwarded(found):
                return found
        if isinstance(mine, CaxtonError):
            raise mine
        return mine

    async def _gather(self, asked: _Asked) -> Any:
        async def ask(node: str, args: Any) -> bytes:
            if node != self.places.node_id:
                return await self.call(node, asked.op, args, asked.caller)
            return msgspec.json.encode(await asked.go(args, *asked.more))

        nodes = [self.places.node_id, *self.places.others()]
        return await gather(asked.op, asked.args, nodes, ask, self.places.absent())

    async def _everywhere(self, asked: _Asked) -> Any:
        async def elsewhere(node: str) -> Affected:
            return _count(await self.call(node, asked.op, asked.args, asked.caller))

        asking = [asked.here(), *(elsewhere(node) for node in self.places.others())]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        counted = [one for one in answers if isinstance(one, Affected)]
        failed = [one for one in answers if isinstance(one, BaseException)]
        failed.sort(key=lambda one: _is_elsewhere(one, asked.route))  # what another node may know is said last
        if failed and not (counted and _is_elsewhere(failed[0], asked.route)):
            raise failed[0]
        return Affected(sum(one.count for one in counted))

    async def _pass_on(self, node: str, asked: _Asked) -> msgspec.Raw:
        if asked.is_stream:
            forward = _forward(asked.op, asked.args, asked.caller)
            async with aclosing(self._links.stream(node, FORWARD, forward)) as items:
                async for item in items:
                    await asked.sink.put(msgspec.Raw(item))
            return msgspec.Raw(b"{}")
        return msgspec.Raw(await self.call(node, asked.op, asked.args, asked.caller))

    async def call(self, node: str, op: str, args: Any, caller: Caller) -> bytes:
        """Has another node answer; the JSON of that, or its refusal."""
        waits = sum(float(getattr(args, name, 0.0)) for name in _WAITS)
        return await self._links.call(node, FORWARD, _forward(op, args, caller), timeout=waits + ANSWER_SECONDS)

    _ways: Final = {
        Where.HERE: _here,
        Where.MESSAGES: _messages,
        Where.AGENT: _agent,
        Where.DECIDER: _decider,
        Where.FIND: _find,
        Where.GATHER: _gather,
        Where.EVERYWHERE: _everywhere,
    }

    # ---- on the node that answers ------------------------------------------------------------------

    def arriving(self, op: str, go: Go, caller: Caller, sink: Sink) -> Go:
        """`go`, where this node is the one to answer; `not_here` where its registry says otherwise."""
        route = route_of(op)
        if route.follows:
            go = self.following(op, go, caller)

        async def answered(args: Any, *more: Any) -> Any:
            if route.changes:
                self.places.require_majority()
            if route.where is Where.MESSAGES:
                return await self.passing.arrived(args, lambda given: go(given, *more))
            await self._wait(route, args)
            name = route.about(args)
            if name is not None and not self._is_mine(route, name, args):
                record = self.places.record(name)
                raise places.not_here(name, 0 if record is None else record.epoch)
            return await go(args, *more)

        return answered

    async def _wait(self, route: Route, args: Any) -> None:
        """For an agent that is about to come to this node."""
        if self.waits and route.where in (Where.AGENT, Where.DECIDER):
            await self.waits.passed([route.about(args) or ""])

    def _is_mine(self, route: Route, name: str, args: Any) -> bool:
        if route.where is Where.AGENT:
            return self.places.hosted(name) or self.places.record(name) is None
        return self.places.decider(name, route.pin(args)) == self.places.node_id

    async def answer(self, args: Forward, sink: Sink) -> Any:
        """What another node passes on, on behalf of its caller."""
        operation = self.arrived[args.op]
        return await operation.handler(operation.decode(args.args), sink, args.caller)


class _Asked:
    """One operation that was asked for on this node."""

    __slots__ = ("args", "caller", "go", "more", "op", "route", "sink")

    def __init__(
        self, op: str, route: Route, args: Any, more: tuple[Any, ...], go: Go, caller: Caller, sink: Sink
    ) -> None:
        self.op, self.route, self.args, self.more = op, route, args, more
        self.go, self.caller, self.sink = go, caller, sink

    @property
    def is_stream(self) -> bool:
        """Whether its answers are items."""
        return self.op == "agent.logs"

    async def here(self, args: Any = None) -> Any:
        """The answer of this node."""
        return await self.go(self.args if args is None else args, *self.more)


def _as_it_is(_op: str, go: Go, _caller: Caller) -> Go:
    return go


def _forward(op: str, args: Any, caller: Caller) -> Forward:
    return Forward(op, _encode(args), caller)


def _undecided(name: str, node: str | None, why: str) -> CaxtonError:
    return places.minority(f"{node or 'no node'} decides about {name[:128]!r} and {why}", node=node)


def _is_elsewhere(error: BaseException, route: Route) -> bool:
    """A drained node has given away what it had, so that the others count for it too."""
    return isinstance(error, CaxtonError) and (
        error.code in route.unknown or error.code is Code.DRAINING or places.is_unreachable(error)
    )


class _State(msgspec.Struct):
    state: str = ""


def _is_forwarded(found: msgspec.Raw) -> bool:
    try:
        return msgspec.json.decode(found, type=_State).state == State.FORWARDED
    except msgspec.MsgspecError:
        return False

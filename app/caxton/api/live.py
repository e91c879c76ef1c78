"""`/ws`: what happens on the node, as it happens, over a WebSocket.

Owns what the two ends say to each other. Must never hold an event back for somebody who does not read, or send one to
credentials that do not hold any more.

A browser cannot add headers to a WebSocket's request, and a query ends in logs: so who it is comes in the first
message. Pages of other sites are refused: a node without authentication would tell them what it tells everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Annotated, Any, Final

import gevent
import msgspec
from flask import Blueprint, Response, request
from msgspec import Meta
from websockets.frames import CloseCode

from caxton.api import streams
from caxton.api.gateway import Gateway, gateway
from caxton.api.link import TAKEN_OVER
from caxton.api.operation import Operation, operation, query
from caxton.api.pages import same_origin
from caxton.api.plain import Environ, environ_key
from caxton.api.queries import NoQuery
from caxton.api.websocket import WebSocket
from caxton.config import node_name
from caxton.protocol.access import Caller, Permission
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.jsontext import decode
from caxton.protocol.operations import Events
from caxton.protocol.views import NodeEvent

blueprint = Blueprint("live", __name__)
ROUTE: Final = "/ws"
LOGIN_SECONDS: Final = 5.0
"""How long the first message may take."""
SILENT_SECONDS: Final = 20.0
"""How long a client may be silent before it is asked whether it is there: at most `[networking] connection_timeout`.
Every balancer allows a longer silence."""
MOST_SUBSCRIPTIONS: Final = 16
_CLOSE_CODES: Final = {
    Code.UNAUTHORIZED: CloseCode.POLICY_VIOLATION,
    Code.FORBIDDEN: CloseCode.POLICY_VIOLATION,
    Code.INVALID_REQUEST: CloseCode.POLICY_VIOLATION,
}
"""All else may go better later: `TRY_AGAIN_LATER`."""


class Auth(msgspec.Struct, tag_field="type", tag="auth", forbid_unknown_fields=True, frozen=True):
    """The first message: one of the two; neither on a node without authentication, or where a header had it."""

    api_key: str | None = None
    token: str | None = None


class Subscribe(msgspec.Struct, tag_field="type", tag="subscribe", forbid_unknown_fields=True, frozen=True):
    """Events whose type matches one of the globs `events`, from after `last_event_id` if it is still held."""

    events: list[str] = msgspec.field(default_factory=lambda: ["*"])
    last_event_id: Annotated[int, Meta(ge=0, lt=10**18)] | None = None


class Unsubscribe(msgspec.Struct, tag_field="type", tag="unsubscribe", forbid_unknown_fields=True, frozen=True):
    """No more of these."""

    subscription_id: int


_auth: Final = msgspec.json.Decoder(Auth)
_beginning: Final = msgspec.json.Decoder(NodeEvent).decode
_order: Final = msgspec.json.Decoder(Subscribe | Unsubscribe)


@blueprint.get(ROUTE, websocket=True)
@blueprint.get(ROUTE)  # so that other requests are told what is expected
@operation(Operation("Follow what happens, over a WebSocket", {101: None}, query=NoQuery, errors=(Code.FORBIDDEN,)))
def live() -> Response:
    """The connection becomes a WebSocket; see docs/api.md."""
    query(NoQuery)
    if not same_origin(request.environ):
        raise CaxtonError(Code.FORBIDDEN, "pages of other sites may not follow this node")
    request.environ[TAKEN_OVER] = Live(gateway(), request.environ)
    return Response(status=101)


class Live:
    """One client's connection."""

    counted = True

    def __init__(self, gateway: Gateway, environ: Environ) -> None:
        self._gateway = gateway
        self._environ = environ
        self._node = node_name(gateway.config)
        patience = min(SILENT_SECONDS, gateway.config.networking.connection_timeout)
        self._socket = WebSocket(environ, patience)
        self._subscriptions: dict[int, Any] = {}
        self._last_number = 0
        self._guard: Any = None

    def serve(self, client: Any, early: bytes) -> None:
        """Until either end closes."""
        try:
            self._socket.open(client)
            messages = self._socket.messages(early)
            with gevent.Timeout(LOGIN_SECONDS, _too_late()):
                caller = self._log_in(next(messages, b""))
            self._guard = gevent.spawn(self._watch)
            for text in messages:
                self._obey(text, caller)
        except CaxtonError as error:
            self._refuse(error)
        except OSError:
            pass  # gone, or too slow
        finally:
            gevent.killall([one for one in (self._guard, *self._subscriptions.values()) if one is not None])

    def end(self) -> None:
        """The client is told to come again: another worker is there."""
        gevent.spawn(self._socket.close, CloseCode.SERVICE_RESTART, "this worker ends")

    def _log_in(self, text: bytes) -> Caller:
        said = decode(text, _auth)
        if said.api_key is not None:
            self._environ[environ_key(self._gateway.config.security.api_key_header)] = said.api_key
        elif said.token is not None:
            self._environ["HTTP_AUTHORIZATION"] = f"Bearer {said.token}"
        caller = self._gateway.admit(self._environ, Permission.READ)
        self._say({"type": "welcome", "node": self._node, "subject": caller.subject, "role": caller.role})
        return caller

    def _watch(self) -> None:
        """Ends the connection when its credentials do not hold any more, whatever it follows, if anything."""
        try:
            while True:
                gevent.sleep(streams.TICK_SECONDS)
                self._gateway.authenticator.identify(self._environ)
        except CaxtonError as error:
            self._refuse(error)

    def _obey(self, text: bytes, caller: Caller) -> None:
        order = decode(text, _order)
        if isinstance(order, Unsubscribe):
            self._subscriptions.pop(order.subscription_id, None)  # it ends by itself, and cuts no frame in two
            self._say({"type": "unsubscribed", "subscription_id": order.subscription_id})
            return
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise CaxtonError(Code.INVALID_REQUEST, "too many subscriptions", maximum=MOST_SUBSCRIPTIONS)
        self._gateway.authenticator.identify(self._environ)
        self._gateway.limits.more(self._environ, 1)  # the router looks at 10,000 events for it
        number = self._last_number = self._last_number + 1
        self._subscriptions[number] = gevent.spawn(self._pass_on, number, order, caller)

    def _pass_on(self, number: int, order: Subscribe, caller: Caller) -> None:
        """The router ends it for a reader who is too slow, and when it stops: nobody is to wait for more then."""
        events, tick = Events(order.events, order.last_event_id, beginning=True), streams.TICK_SECONDS
        tell: Callable[[int, Subscribe, bytes], None] = self._begin
        try:
            with closing(self._gateway.router.stream("events", events, first=tick, idle=tick, caller=caller)) as told:
                for item in told:
                    if number not in self._subscriptions:
                        return
                    if item is not None:
                        tell(number, order, item)
                        tell = self._tell
            if number in self._subscriptions:
                raise CaxtonError(Code.NOT_READY, "these events have ended: subscribe again after the last one")
        except CaxtonError as error:
            self._refuse(error)
        except OSError:
            self._socket.cut()

    def _begin(self, number: int, order: Subscribe, beginning: bytes) -> None:
        """Says after which event the subscription begins, so that it can be resumed before there was any."""
        last = _beginning(beginning).id if order.last_event_id is None else order.last_event_id
        self._say({"type": "subscribed", "subscription_id": number, "last_event_id": last})

    def _tell(self, number: int, _: Subscribe, event: bytes) -> None:
        self._socket.send(b'{"type":"event","subscription_id":%d,"event":%b}' % (number, event))

    def _refuse(self, error: CaxtonError) -> None:
        self._gateway.denials.saw(error, self._environ)
        try:
            self._say({"type": "error", "error": msgspec.to_builtins(error.body())})
        except OSError:
            return
        self._socket.close(_CLOSE_CODES.get(error.code, CloseCode.TRY_AGAIN_LATER), error.message)

    def _say(self, what: dict[str, Any]) -> None:
        self._socket.send(msgspec.json.encode(what))


def _too_late() -> CaxtonError:
    return CaxtonError(Code.REQUEST_TIMEOUT, f"nobody said within {LOGIN_SECONDS:g} s who is there")

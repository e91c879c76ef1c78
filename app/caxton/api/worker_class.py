"""The gunicorn worker: gevent, with deadlines for slow clients and problem bodies for what never parses.

Owns a connection from its first byte to its last. Must never know a route.
"""

from __future__ import annotations

import ssl
import time
from contextlib import nullcontext
from typing import Any, Final, Protocol

from gunicorn import http, util
from gunicorn.http import errors, wsgi
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers.ggevent import GeventWorker

from caxton.api import problems, trace
from caxton.api.auth import CALLER
from caxton.api.certificates import Certificates
from caxton.api.handshake import secured
from caxton.api.headers import BLOCK, SERVER
from caxton.api.idle import IdleClients
from caxton.api.lane import Lane, unread_bytes
from caxton.api.limits import CONNECTIONS, Connections
from caxton.api.link import TAKEN_OVER
from caxton.api.parting import LINGER_BYTES, LINGER_SECONDS, linger, say_goodbye
from caxton.api.proxies import Proxies
from caxton.api.unreader import HEAD_BYTES, DeadlineUnreader, TooSlowError
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.peers import certificate_name

ENVIRON_REQUEST: Final = "caxton.request"
ENVIRON_EXPECTED: Final = "caxton.expected_100_continue"
"""Set while the client waits for a word before it sends its body; whoever reads the body says it."""
ENVIRON_WORKER: Final = "caxton.worker"
DRAIN_BYTES: Final = 64 * 1024
PARTING_SECONDS: Final = 2.0
"""How long a worker that ends waits for the next request of a connection that has been used."""
FIRST_REQUEST_SECONDS: Final = 5.0
"""As above, of one that never was: on a busy host the first request comes long after its connection."""
LATE_SECONDS: Final = 1.0
"""How long the handshake of a node may take whose address has its fill."""
_TOO_MANY: Final = CaxtonError(
    Code.RATE_LIMITED,
    "this address has as many connections open as [networking] max_connections_per_address lets it have",
    limited_by=CONNECTIONS,
)

_REFUSALS: Final[dict[type[Exception], tuple[int, Code]]] = {
    errors.LimitRequestLine: (414, Code.HEADERS_TOO_LARGE),
    errors.LimitRequestHeaders: (431, Code.HEADERS_TOO_LARGE),
    errors.ExpectationFailed: (417, Code.INVALID_REQUEST),
    errors.UnsupportedTransferCoding: (501, Code.INVALID_REQUEST),
    errors.ForbiddenProxyRequest: (403, Code.FORBIDDEN),
}


class Taker(Protocol):
    """What goes on with a connection that has been answered by `101`."""

    counted: bool
    """Whether the connection still takes a place of its address."""

    def serve(self, client: Any, early: bytes) -> None:
        """Until it is over. `early`: what the client has sent already."""

    def end(self) -> None:
        """The worker is to end; called once a second from then on, and must not wait."""


class CaxtonWorker(GeventWorker):  # type: ignore[misc]  # gunicorn ships no types; it is extended by subclassing
    """Serves HTTP/1.1 only. Timeouts in seconds: `connection_seconds` for headers, `request_seconds` for a body."""

    connection_seconds = 30.0
    request_seconds = 60.0
    connections_per_address = 1_000
    trusted_proxies: tuple[str, ...] = ()
    takes_nodes = False
    """Whether clients with a node's certificate are let in where their address has its fill."""
    certificates: Certificates | None = None
    """None: plain HTTP."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle_clients = IdleClients()
        self.connections = Connections(self.connections_per_address, Proxies(self.trusted_proxies).trusts)
        self.given_away: set[Taker] = set()
        self._ending_since: float | None = None

    def notify(self) -> None:
        """Once a second. A worker that ends waits a little for connections that ask nothing of it.

        Whoever asks once more meanwhile is answered, and told to ask elsewhere from then on (`Connection: close`): to
        close the connection right away could cross with a request, which would be lost.
        """
        super().notify()
        if self.certificates is not None:
            self.certificates.refresh()
        now = time.monotonic()
        if not self.alive and self._ending_since is None:
            self._ending_since = now
        if not self.alive:  # also those who had not quite come when it was told to end
            for taker in self.given_away:
                taker.end()
        ending = 0.0 if self._ending_since is None else now - self._ending_since
        self.idle_clients.end(used=ending >= PARTING_SECONDS, new=ending >= FIRST_REQUEST_SECONDS)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """One connection, if its address may have one more, encrypted first where it has to be."""
        address = addr[0] if isinstance(addr, tuple) else ""
        is_late = not self.connections.enter(address)
        if is_late and not (self.takes_nodes and self.connections.enter_late(address)):
            self._turn_away(client)
            return
        try:
            self._converse(self._node(client) if is_late else self._secured(client), addr)
        except ParseException as error:
            self._refuse(client, *refusal(error))
            linger(client)
        except OSError as error:
            self.log.debug("no TLS: %s", error)
        finally:
            self.connections.leave(address)
            util.close(client)

    def _turn_away(self, client: Any) -> None:
        """In plain text: a handshake would be what the limit is there to save."""
        self._count_turned_away()
        if self.certificates is None:
            self._refuse(client, *rendered(_TOO_MANY))
        util.close(client)

    def _count_turned_away(self) -> None:
        front = getattr(self.wsgi, "limited", None)
        if front is not None:
            front(CONNECTIONS)

    def _secured(self, client: Any) -> Any:
        if self.certificates is None:
            return client
        return secured(client, self.certificates.context, self.connection_seconds)

    def _node(self, client: Any) -> Any:
        """As `_secured`; `ConnectionError` for who shows no node's certificate, for whom there is no place."""
        assert self.certificates is not None
        try:
            secure = secured(client, self.certificates.context, LATE_SECONDS)
        finally:
            self.connections.leave_late()
        if certificate_name(secure.getpeercert()) is None:
            self._count_turned_away()
            util.close(secure)
            raise ConnectionError("its address has its fill")
        return secure

    def _converse(self, client: Any, addr: Any) -> None:
        """Requests until it closes, is idle for too long or has to be ended."""
        parser = http.get_parser(self.cfg, client, addr)
        parser.unreader = unreader = DeadlineUnreader(
            client, self.idle_clients, self.connection_seconds, float(self.cfg.keepalive)
        )
        lane = self._lane(client, parser, addr)
        request = None
        try:
            if lane is not None:
                lane.serve()
            while self._serve_one(client, addr, parser):
                unreader.next_request()
                if lane is not None:
                    lane.serve()
            request = parser.mesg
        except (StopIteration, errors.NoMoreData, ConnectionError, TimeoutError):
            pass
        except ParseException as error:
            self._refuse(client, *refusal(error))
        except OSError as error:
            self.log.debug("connection ended: %s", error)
        except Exception:
            # An answer broke while it was sent: all that is left is to end the connection.
            self.log.exception("an answer failed")
        finally:
            unreader.close()
            say_goodbye(client)
            if request is None or request.must_close:
                linger(client, unreader.linger_bytes)
            util.close(client)

    def _lane(self, client: Any, parser: RequestParser, addr: Any) -> Lane | None:
        """The fast lane, where the application has one."""
        takes = getattr(self.wsgi, "takes", None)
        if takes is None or not self.cfg.keepalive:
            return None
        peer = addr[0] if isinstance(addr, tuple) else ""
        return Lane(takes, client, parser, self, peer, scheme=_scheme(client))

    def _serve_one(self, client: Any, addr: Any, parser: RequestParser) -> bool:
        unreader: DeadlineUnreader = parser.unreader
        if not parser.finish_body():  # what the request before has left is no head
            raise StopIteration
        unreader.head_left = HEAD_BYTES
        request: Request = next(parser)
        unreader.head_is_here(self.request_seconds)
        client.settimeout(self.request_seconds)
        self.nr += 1
        expected, request._expected_100_continue = request._expected_100_continue, False
        # the connection's own end, not the listener's: a worker that ends has closed that
        request.scheme = _scheme(client)
        response, environ = wsgi.create(request, client, addr, client.getsockname(), self.cfg)
        response.version = SERVER
        environ["wsgi.multithread"] = True
        environ[ENVIRON_REQUEST] = request
        environ[ENVIRON_EXPECTED] = expected
        environ[ENVIRON_WORKER] = self
        if not self.alive or not self.cfg.keepalive:
            request.force_close()
        chunks = self.wsgi(environ, response.start_response)
        if TAKEN_OVER in environ:
            self._give_away(client, addr, unreader, environ[TAKEN_OVER])
            raise StopIteration
        if CALLER in environ:
            unreader.linger_bytes = LINGER_BYTES
        try:
            if unread_bytes(request) > DRAIN_BYTES:
                request.force_close()
            for chunk in chunks:
                response.write(chunk)
            response.close()
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return not response.should_close()

    def _give_away(self, client: Any, addr: Any, unreader: DeadlineUnreader, taker: Taker) -> None:
        """The connection speaks no HTTP any more, and ends when the worker is to end."""
        address = addr[0] if isinstance(addr, tuple) else ""
        self.given_away.add(taker)
        try:
            with nullcontext() if taker.counted else self.connections.uncounted(address):
                taker.serve(client, unreader.buf.getvalue())
        finally:
            self.given_away.discard(taker)

    def _refuse(self, client: Any, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {problems.status_line(status)}\r\nConnection: close\r\n"
        try:
            client.settimeout(LINGER_SECONDS)
            client.sendall(head.encode() + body)
        except OSError:
            pass


def refusal(error: ParseException) -> tuple[int, bytes]:
    """Status, and the rest of the headers with the body, for a request that gunicorn cannot parse."""
    if isinstance(error, TooSlowError):
        status, code, text = 408, Code.REQUEST_TIMEOUT, "the request did not arrive in time"
    else:
        status, code = _REFUSALS.get(type(error), (400, Code.INVALID_REQUEST))
        text = f"not a valid HTTP request: {error}"[:300]
    return rendered(CaxtonError(code, text), status)


def rendered(error: CaxtonError, status: int | None = None) -> tuple[int, bytes]:
    """Status, and the rest of the headers with the body, for what is answered without a request."""
    made = trace.begin({})
    problem = problems.render(error, made.trace_id, status=status)
    lines = [f"{name}: {value}\r\n" for name, value in [*problem.headers, *made.headers()]]
    return problem.status, (f"Server: {SERVER}\r\n{BLOCK}" + "".join(lines)).encode() + b"\r\n" + problem.body


def _scheme(client: Any) -> str:
    return "https" if isinstance(client, ssl.SSLSocket) else "http"

"""Talks HTTP to a node.

Owns requests, and the errors that answers become. Must never retry: the user decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from caxton import __version__
from caxton.cli.state import State
from caxton.cli.target import Target, find_target
from caxton.protocol.errors import CaxtonError, Code

if TYPE_CHECKING:
    import httpx

PREFIX: Final = "/api/v1"
TIMEOUT_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 60.0
"""A node gives a sign of life four times as often."""
_MAX_ERROR_TEXT: Final = 300


class _Error(msgspec.Struct):
    code: str
    message: str
    details: dict[str, Any] = {}
    trace_id: str | None = None


class _Problem(msgspec.Struct):
    error: _Error


class Client:
    """A connection to one node. Every method raises `CaxtonError`: the node's own code, or `UNREACHABLE`."""

    def __init__(self, target: Target) -> None:
        import httpx  # here, because it takes 100 ms to import

        self.target = target
        self.http = httpx.Client(
            base_url=target.url + PREFIX,
            headers={**target.headers, "User-Agent": f"caxton-cli/{__version__}"},
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS),
            verify=target.tls() or True,
        )

    def get(self, path: str, **query: object) -> Any:
        """GET; parameters that are None are left out. Answers the decoded JSON."""
        return decoded(self.send("GET", path, params=_present(query)))

    def post(self, path: str, body: object = None, *, timeout: float | None = None, **query: object) -> Any:
        """POST with a JSON body. `timeout` in seconds. Answers the decoded JSON."""
        return decoded(self.send("POST", path, body=body, timeout=timeout, params=_present(query)))

    def delete(self, path: str, **query: object) -> Any:
        """DELETE. Answers the decoded JSON."""
        return decoded(self.send("DELETE", path, params=_present(query)))

    def send(
        self, method: str, path: str, *, body: object = None, timeout: float | None = None, **options: Any
    ) -> httpx.Response:
        """One request; the answer is a success, everything else is raised."""
        import httpx

        if body is not None:
            options["content"] = msgspec.json.encode(body)
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        if timeout is not None:
            options["timeout"] = httpx.Timeout(timeout, connect=CONNECT_SECONDS)
        with self._reaching():
            response = self.http.request(method, path, **options)
        raise_for(response)
        return response

    def lines(self, path: str, **query: object) -> Iterator[bytes]:
        """The lines of a stream that goes on until the node or the user ends it; empty ones are signs of life."""
        import httpx

        patience = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        with self._reaching(), self.http.stream("GET", path, params=_present(query), timeout=patience) as response:
            if response.is_error:
                response.read()
                raise_for(response)
            for line in response.iter_lines():
                yield line.strip().encode()

    def close(self) -> None:
        """Closes its connections."""
        self.http.close()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.ReadTimeout as error:
            raise CaxtonError(
                Code.EXECUTION_TIMEOUT, f"{self.target.url} did not answer in time; the work may go on there"
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise CaxtonError(Code.UNREACHABLE, f"cannot reach {self.target.url}: {error}") from error


@contextmanager
def connect(state: State) -> Iterator[Client]:
    """A client for the node that the options, the environment or a context name."""
    client = Client(find_target(state.url, state.context, os.environ, ca=state.ca_file))
    try:
        yield client
    finally:
        client.close()


def raise_for(response: httpx.Response) -> None:
    """The node's error as a `CaxtonError`; nothing for a success."""
    if response.is_success:
        return
    error = problem_of(response.content)
    if error is None:
        text = response.text[:_MAX_ERROR_TEXT].strip() or response.reason_phrase
        raise CaxtonError(
            Code.INTERNAL_ERROR, f"{response.request.url} answered {response.status_code}: {text}; is that a node?"
        )
    raise error


def decoded(response: httpx.Response) -> Any:
    """The JSON of a success; raises `INTERNAL_ERROR` for what is none, as the login page of a proxy."""
    try:
        return response.json()
    except ValueError as error:
        raise CaxtonError(
            Code.INTERNAL_ERROR,
            f"{response.request.url} answered {response.status_code} and no JSON; is that a node?",
        ) from error


def problem_of(body: bytes) -> CaxtonError | None:
    """The error that a node wrote down; None for what is none."""
    try:
        error = msgspec.json.decode(body, type=_Problem).error
        code = Code(error.code)
    except (msgspec.DecodeError, ValueError):
        return None
    details = {**error.details, "trace_id": error.trace_id} if error.trace_id else error.details
    return CaxtonError(code, error.message, **details)


def segment(text: str) -> str:
    """`text` as one part of a path; the slash of `team/name` stays."""
    from urllib.parse import quote

    return quote(text, safe="/")


def _present(query: dict[str, object]) -> dict[str, str]:
    """Query parameters that were given."""
    shown = {key: "true" if value is True else str(value) for key, value in query.items()}
    return {key: text for key, text in shown.items() if query[key] is not None and query[key] is not False}

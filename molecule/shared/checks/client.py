"""A client of one address of the appliance: a balancer, a virtual address, or a node itself.

Owns requests, with the deployment's own authority checked. Must never retry: what fails is to be seen.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Answer:
    """Status, headers (names in lower case) and the decoded JSON of an answer, None where it has none."""

    status: int
    headers: dict[str, str]
    body: Any


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Client:
    """Talks to `url` (scheme, host, port). `authority`: PEM file of the CA that signed its certificate."""

    def __init__(
        self, url: str, *, key: str | None = None, bearer: str | None = None, authority: str | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {"X-API-Key": key} if key else {"Authorization": f"Bearer {bearer}"} if bearer else {}
        context = ssl.create_default_context(cafile=authority) if url.startswith("https") else None
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect, urllib.request.ProxyHandler({})]  # type: ignore[list-item]  # build_opener takes classes too
        if context:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request; an error status is an answer too. `OSError` when nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        for name, value in {**self._headers, **(headers or {})}.items():
            request.add_header(name, value)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return _answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return _answer(error.code, error.headers, error.read())

    def get(self, path: str) -> Answer:
        """GET."""
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None) -> Answer:
        """POST of JSON."""
        return self.ask("POST", path, body)

    def deploy(self, name: str, wat: str, **config: Any) -> Any:
        """Deploys an agent from text and waits until it runs; its view."""
        answer = self.post("/api/v1/agents", {"name": name, "wat": wat, **config})
        if answer.status == 202:  # the compiler takes its time on a busy machine
            self._wait_for(answer.headers["location"])
            answer = self.get(f"/api/v1/agents/{name}")
        assert answer.status in (200, 201), answer
        assert answer.body["status"] == "running", answer
        return answer.body

    def ensure(self, name: str, wat: str) -> None:
        """Deploys an agent unless it is there, so that a verification can be run again."""
        if self.get(f"/api/v1/agents/{name}").status == 404:
            self.deploy(name, wat)

    def _wait_for(self, job: str) -> None:
        end = time.monotonic() + TIMEOUT_SECONDS
        while (state := self.get(job).body["state"]) == "running":
            assert time.monotonic() < end, f"{job} is still running"
            time.sleep(0.1)
        assert state == "done", self.get(job)

    def invoke(self, name: str, content: Any) -> Any:
        """The content of an agent's reply."""
        answer = self.post(f"/api/v1/agents/{name}/invoke", {"content": content, "delivery": "durable"})
        assert answer.status == 200, answer
        return answer.body["content"]

    def ledger(self) -> Any:
        """The node's own line of the accounting."""
        return self.get("/api/v1/ledger").body["node"]


def _answer(status: int, headers: Any, text: bytes) -> Answer:
    names = {name.lower(): value for name, value in headers.items()}
    is_json = "json" in names.get("content-type", "")
    return Answer(status, names, json.loads(text) if is_json and text else None)

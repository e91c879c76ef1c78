"""Two namespaces and what is in neither, each with one of everything that a node can hold.

Every name of a team, and all that its agents and clients say, holds the team's mark: where a mark is, something of
that team is. `Team.names` are all names and ids by which it can be asked for.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from caxton.protocol.ids import new_id
from caxton.protocol.operations import Invoke, Listing, Named, Submit
from caxton.protocol.talks import (
    CapabilityBody,
    CapabilitySet,
    ConversationListing,
    Provider,
    Select,
    Subscribe,
    TaskCreate,
    TaskListing,
)
from caxton.protocol.versions import ConfigChange, Update
from support import router_agents as agents
from support.desk_node import deploy, job, message, until
from support.router_client import RouterClient
from support.router_modules import LOGS


class Team:
    """What `mark` has on the node; `prefix` is "" for what is in no namespace."""

    def __init__(self, client: RouterClient, mark: str, *, prefix: str | None = None) -> None:
        self.client = client
        self.mark = mark
        self.prefix = f"{mark}/" if prefix is None else prefix
        self.sender = f"client:{mark}-alice"
        self.agents: list[str] = []
        self.names: list[str] = []
        self._deploy()
        self._talk()

    def name(self, short: str) -> str:
        """A name of this team."""
        return f"{self.prefix}{short}" if self.prefix else f"{self.mark}-{short}"

    def said(self, receiver: str, **fields: Any) -> Any:
        """A message of the team's client; its content holds the mark."""
        return message(receiver, f'{{"word":"{self.mark}"}}'.encode(), sender=self.sender, **fields)

    def _deploy(self) -> None:
        schedules = [{"name": "yearly", "cron": "0 0 1 1 *", "content": self.mark}]
        made: dict[str, tuple[str, dict[str, Any]]] = {
            "echo": (agents.ECHO, {"capabilities": [self.name("cap")], "schedules": schedules}),
            "trap": (agents.TRAP, {"env": {"WORD": self.mark}}),
            "keeps": (agents.COUNTER, {}),
            "logs": (LOGS.replace("hello", self.mark[:5]), {}),
        }
        for short, (module, config) in made.items():
            deploy(self.client, self.name(short), module, **config)
            self.agents.append(self.name(short))
        change = ConfigChange(config={"word": self.mark})
        self.client.call("agent.update", Update(self.name("echo"), change, wait_seconds=30.0))
        self.names += self.agents

    def _talk(self) -> None:
        client, echo = self.client, self.name("echo")
        self.talks = [f"{self.mark}-talk", f"{self.mark}-protocol"]
        silent = Provider(self.name("keeps"))  # what answers everything would never end to talk about a task
        client.call("capability.set", CapabilitySet(self.name("cap2"), CapabilityBody(providers=[silent])))
        client.call("topic.subscribe", Subscribe(self.name("news"), echo))
        sent = [
            self.said(echo, conversation_id=self.talks[0]),
            self.said(echo, protocol="fipa-request", conversation_id=self.talks[1]),
            self.said(self.name("trap")),
            self.said(self.name("trap")),
            self.said(self.name("keeps")),
            self.said(self.name("logs")),
            self.said(f"topic:{self.name('news')}"),
            self.said(f"capability:{self.name('cap2')}"),
        ]
        answers = client.call("submit", Submit(sent))
        assert all("error" not in item for item in answers), answers
        self.messages = [one.message_id for one in sent]
        begun = client.call("invoke", Invoke(self.said(echo), 5.0, as_job=True))["job"]
        job(client, begun["job_id"])
        self.task_id = new_id()
        now = time.time()
        task = TaskCreate(
            task_id=self.task_id,
            owner=self.sender,
            capability=self.name("cap2"),
            content=f'"{self.mark}"'.encode(),
            select=Select(field="price"),
            reply_by=now + 3_600,
        )
        client.call("task.create", task)
        self.names += [*self.messages, begun["job_id"], self.task_id, *self.talks]
        self.names += [self.name("cap"), self.name("cap2"), self.name("news"), self.mark]
        until(lambda: len(self.dead()) == 2)
        for one in self.messages:
            until(partial(self._ended, one))

    def _ended(self, message_id: str) -> bool:
        return self.client.call("message.get", Named(message_id))["state"] in ("done", "dead")

    def dead(self) -> list[str]:
        """The team's dead letters."""
        items = self.client.call("dead.list", Listing(name=self.name("trap"), limit=200))["items"]
        return [item["message_id"] for item in items]

    def state(self) -> dict[str, Any]:
        """Everything of the team that somebody could change, as one who reaches everything sees it."""
        ask = self.client.call
        found: dict[str, Any] = {}
        for name in self.agents:
            view = ask("agent.get", Named(name))
            found[name] = {key: view[key] for key in ("version", "status", "grants", "config", "capabilities")}
            found[f"messages of {name}"] = ask("message.list", Listing(name=name, limit=200))
            found[f"keys of {name}"] = ask("agent.state", Listing(name=name))
            found[f"versions of {name}"] = ask("agent.versions", Named(name))
        found["dead"] = self.dead()
        for capability in ("cap", "cap2"):
            found[capability] = ask("capability.get", Named(self.name(capability)))
        found["topic"] = ask("topic.get", Named(self.name("news")))
        found["task"] = ask("task.get", Named(self.task_id))
        found["ledger"] = [row for row in ask("ledger")["agents"] if self.mark in row["name"]]
        return found


LISTS: dict[str, Any] = {
    "agent.list": Listing,
    "message.list": Listing,
    "dead.list": Listing,
    "conversation.list": ConversationListing,
    "capability.list": Listing,
    "topic.list": Listing,
    "task.list": TaskListing,
    "namespace.list": Listing,
}
"""Operations that answer pages, with their arguments."""

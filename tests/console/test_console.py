"""The console in a real browser, on a real node: what an operator sees, and what he does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import msgspec
from api.checks import settle
from console.conftest import MARKUP
from console.steps import ESCAPE, go, kill, picture, sign_in

from caxton.protocol.cluster import ClusterView, MemberView, RegistryView
from caxton.protocol.cluster import Path as Way
from support.browser import Browser
from support.credentials import make_key, token
from support.node import Node, until
from support.wat import ECHO


def test_an_operator_sees_invokes_and_deploys(node: Node, page: Browser, tmp_path: Path) -> None:
    sign_in(page, make_key(node, "ada")["key"])
    page.sees("One node, without a cluster.")
    page.sees("ada (admin)", "#who")
    page.sees("writer", ".names")
    page.click('nav a[href="#agents"]')
    page.sees("running", "table")
    page.sees("0.0", "table")
    page.drop(".drop", "My Agent.wat", ECHO)
    page.sees("My Agent.wat")
    page.click("#deploy button")
    page.sees("my-agent is deployed.", "#status")
    page.sees("my-agent", "table")
    page.click('a[href="#agent/my-agent"]')
    (tmp_path / "next.wat").write_text(ECHO)
    page.choose(".drop input", tmp_path / "next.wat")
    page.sees("next.wat is deployed.", "#status")
    page.click("button[aria-label='Roll back to version 1']")
    page.click("#confirm-do")
    page.sees("my-agent is back at version 1.", "#status")
    assert not page.complaints()


def test_what_agents_do_now_is_seen_as_rates(node: Node, page: Browser) -> None:
    def busy() -> bool:
        node.client.post("/api/v1/messages", json=letters)
        return page.text("tbody td:nth-child(6)") not in ("–", "0.0")

    letters = [{"performative": "inform", "receiver": "writer", "content": 1}] * 5
    sign_in(page, token("admin", "ada"))
    go(page, "agents", "Agents")
    page.sees("0.0", "table")
    page.type("#agents-filter", "writ")
    until(lambda: page.count("tbody tr") == 1, 30, "one agent only")
    until(busy, 60, "a rate of what is done")
    page.type("#agents-filter", "")
    picture(page, "agents")


def test_an_agents_page_follows_what_it_does(node: Node, page: Browser) -> None:
    sign_in(page, token("admin", "ada"))
    go(page, "agent/writer", "Agent writer")
    node.client.post("/api/v1/messages", json={"performative": "inform", "receiver": "writer", "content": "by post"})
    page.sees("hello", "[role=log]")
    page.sees("by post", "table")
    recorded = node.client.get("/api/v1/agents/writer/recordings").json()["items"][0]["execution"]
    page.sees(f"caxton replay {recorded}")
    picture(page, "agent")
    go(page, "agent/echo", "Agent echo")
    page.type("#invoke-content", '"from the console"')
    page.click("#main form button")
    page.sees('"content": "from the console"', "#invoke-answer")
    assert not page.complaints()


def test_a_dead_letter_goes_back_and_its_markup_stays_text(node: Node, page: Browser) -> None:
    sign_in(page, token("operator"))
    go(page, "dead-letters", "Dead letters")
    page.sees(MARKUP.replace('"', '\\"'))
    assert page.count("main img") == page.count("main script") == 0
    picture(page, "dead-letters")
    page.click("td button[aria-label^='Replay']")
    page.sees("is back in the mailbox of broken", "#status")
    go(page, "conversations/case-7", "Conversation case-7")
    page.sees("inform", "svg")
    page.sees(MARKUP.replace('"', '\\"'), "table")
    assert page.count("main img") == page.count("main script") == 0
    assert page.run("return document.title") == "Conversation case-7 – Caxton"
    go(page, "conversations/plan-1", "Conversation plan-1")
    for party in ("client:root", "planner", "echo", "writer"):
        page.sees(party, "svg")
    page.sees("a few", "table")
    picture(page, "conversation")
    go(page, "ledger", "Ledger")
    page.sees("Every message is accounted for.")
    picture(page, "ledger")
    assert not page.complaints()


def test_a_conversation_goes_on_without_its_dead_letter_which_is_then_purged(node: Node, page: Browser) -> None:
    sign_in(page, token("operator"))
    letter = kill(node, "first", "waits")
    body = {"performative": "inform", "receiver": "broken", "content": "second", "conversation_id": "waits"}
    after = node.client.post("/api/v1/messages", json=body).json()["message_id"]
    go(page, "dead-letters", "Dead letters")
    page.click(f"button[aria-label='Skip {letter}']")
    page.sees("goes on without", "#status")
    with httpx.Client(base_url=f"{node.url}/api/v1", headers=node.client.headers, timeout=60) as client:
        settle(client, f"/messages/{after}", "dead")
    page.click(f"button[aria-label='Purge {letter}']")
    page.sees("It is forgotten for good", "dialog")
    page.press(ESCAPE)
    until(lambda: page.count("dialog") == 0, 30, "no question any more")
    assert node.client.get(f"/api/v1/dead-letters/{letter}").status_code == 200
    page.click(f"button[aria-label='Purge {letter}']")
    page.click("#confirm-do")
    page.sees(f"{letter} is gone.", "#status")
    assert node.client.get(f"/api/v1/dead-letters/{letter}").status_code == 404
    page.type("#dead-agent", "broken")
    page.click("#purge-all")
    page.click("#confirm-do")
    page.sees("purged.", "#status")
    page.sees("There are no dead letters.")
    kill(node, MARKUP, "case-8")
    assert not page.complaints()


def test_events_arrive(node: Node, page: Browser) -> None:
    sign_in(page, token("viewer"))
    go(page, "events", "Events")
    page.sees(f"Connected to {os.uname().nodename}: what happens on this node.", "#live")
    message_id = kill(node, "again", "of-events")
    page.sees(message_id, ".log")
    picture(page, "events")


def test_a_node_is_drained_and_takes_work_again(node: Node, page: Browser) -> None:
    sign_in(page, token("operator"))
    page.click("main li button")
    page.click("#confirm-do")
    page.sees("is drained", "#status")
    page.sees("draining", "svg")
    assert node.client.get("/ready").status_code == 503
    until(lambda: page.text("main li button") == "Undrain", 30, "a way back")
    page.click("main li button")
    page.sees("takes work again", "#status")
    until(lambda: node.client.get("/ready").status_code == 200, 30, "ready")


def test_the_map_tells_direct_relayed_and_cut_links_apart(page: Browser) -> None:
    """Of a cluster as the API describes it; a real one that breaks in all these ways at once takes minutes."""

    def member(name: str, **more: Any) -> MemberView:
        return MemberView(node_id=name, **more)

    members = [
        member("n1", path=Way.ITSELF),
        member("n2", path=Way.DIRECT, rtt_seconds=0.0012),
        member("n3", path=Way.RELAY, relays=["n2"], state="draining"),
        member("n4", path=Way.NONE, state="failed"),
    ]
    view = ClusterView(
        node_id="n1",
        alone=False,
        whole=False,
        problems=[],
        expected_nodes=4,
        majority=True,
        majority_since="2030-01-01T00:00:00Z",
        partition_mode="continue",
        members=members,
        outbox=[],
        registry=RegistryView(),
        handovers=[],
    )
    drawn = page.run(
        "const done = arguments; return import('/console/map.js').then(({ map }) => {"
        "const svg = map(done[0], () => '2 agents'); document.querySelector('main').append(svg);"
        "return [...svg.querySelectorAll('.link, .node')].map(one => [one.getAttribute('class'),"
        "one.dataset.node, one.textContent]).concat([[svg.querySelector('.detour').dataset.relay]])})",
        msgspec.to_builtins(view),
    )
    assert drawn == [
        ["link direct", "n2", "direct, 1.2 ms"],
        ["link relay", "n3", "relayed by n2"],
        ["link none", "n4", "cut"],
        ["node good", "n1", "n1 (this node)● active2 agents"],
        ["node good", "n2", "n2● active2 agents"],
        ["node busy", "n3", "n3◐ draining2 agents"],
        ["node bad", "n4", "n4▲ failed, cut off"],
        ["n2"],
    ]
    assert page.run("return document.querySelector('main svg').getAttribute('aria-label')") == (
        "4 nodes: n1; n2 active, direct, 1.2 ms; n3 draining, relayed by n2; n4 failed, cut off, cut"
    )

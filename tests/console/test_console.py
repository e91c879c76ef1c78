"""The console in a real browser, on a real node. With CAXTON_SCREENSHOTS=1 the pictures of the docs are made anew."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api.checks import settle
from api.conftest import brief_node

from support.browser import MISSING, Browser, browser
from support.credentials import GUARDED, KEY_HEADER, make_key, token
from support.node import Node
from support.wat import ECHO, TRAP

pytestmark = pytest.mark.skipif(MISSING, reason="chromium or chromium-driver is missing")
PICTURES = Path(__file__).resolve().parents[2] / "app" / "docs" / "console"
MARKUP = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
TAB, ENTER = "\ue004", "\ue007"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A guarded node with an agent that answers, one that fails, and a dead letter full of markup."""
    with brief_node(security=GUARDED, messaging={"max_deliveries": 1}) as made:
        made.client.headers[KEY_HEADER] = make_key(made, "root")["key"]
        made.deploy("echo", ECHO)
        made.deploy("broken", TRAP)
        kill(made, MARKUP)
        yield made


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture
def page(node: Node, tab: Browser) -> Browser:
    """The console, with nobody signed in."""
    tab.open(f"{node.url}/console")
    tab.run("sessionStorage.clear()")
    tab.open(f"{node.url}/console")
    tab.sees("Sign in", "h1")
    tab.complaints()  # of the question who it is, which was answered 401
    return tab


def kill(node: Node, content: str) -> str:
    """A dead letter."""
    body = {"performative": "inform", "receiver": "broken", "content": content, "conversation_id": "case-7"}
    message_id = str(node.client.post("/api/v1/messages", json=body).json()["message_id"])
    with httpx.Client(base_url=f"{node.url}/api/v1", headers=node.client.headers, timeout=60) as client:
        settle(client, f"/messages/{message_id}", "dead")
    return message_id


def sign_in(page: Browser, credential: str) -> None:
    page.type("#credential", credential)
    page.press(ENTER)
    page.sees("(", "#who")  # the navigation is shown by then


def go(page: Browser, node: Node, name: str, heading: str) -> None:
    page.open(f"{node.url}/console#{name}")
    page.sees(heading, "h1")


def picture(page: Browser, name: str) -> None:
    if os.environ.get("CAXTON_SCREENSHOTS") == "1":
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(page.screenshot())


def test_an_operator_sees_invokes_and_deploys(node: Node, page: Browser) -> None:
    sign_in(page, make_key(node, "ada")["key"])
    page.sees("One node, without a cluster.")
    page.sees("ada (admin)", "#who")
    picture(page, "cluster")
    page.click('nav a[href="#agents"]')
    page.sees("running", "table")
    page.sees("0.0", "table")
    page.drop(".drop", "My Agent.wat", ECHO)
    page.sees("My Agent.wat")
    page.click("#deploy button")
    page.sees("my-agent is deployed.", "#status")
    page.sees("my-agent", "table")
    picture(page, "agents")
    page.click('a[href="#agent/my-agent"]')
    page.type("#invoke-content", '"from the console"')
    page.click("#main form button")
    page.sees('"content": "from the console"', "#invoke-answer")
    node.client.post(
        "/api/v1/messages", json={"performative": "inform", "receiver": "my-agent", "content": "by post"}
    )
    page.sees("by post", "section[aria-label=Mailbox]")
    page.sees("ok", "section[aria-label=Executions]")
    picture(page, "agent")
    go(page, node, "ledger", "Ledger")
    page.sees("Every message is accounted for.")
    assert not page.complaints()


def test_a_dead_letter_goes_back_and_its_markup_stays_text(node: Node, page: Browser) -> None:
    sign_in(page, token("operator"))
    page.click('nav a[href="#dead-letters"]')
    page.sees(MARKUP.replace('"', '\\"'))
    assert page.count("main img") == page.count("main script") == 0
    picture(page, "dead-letters")
    page.click("td button")
    page.sees("is back in the mailbox of broken", "#status")
    go(page, node, "conversations/case-7", "Conversation case-7")
    page.sees("inform", "svg")
    page.sees(MARKUP.replace('"', '\\"'), "table")
    assert page.count("main img") == page.count("main script") == 0
    assert page.run("return document.title") == "Conversation case-7 – Caxton"
    picture(page, "conversation")
    assert not page.complaints()


def test_events_arrive(node: Node, page: Browser) -> None:
    sign_in(page, token("viewer"))
    page.click('nav a[href="#events"]')
    page.sees("Connected", "#live")
    message_id = kill(node, "again")
    page.sees(message_id, ".log")
    picture(page, "events")


def test_what_a_role_may_not_do_is_not_offered(node: Node, page: Browser) -> None:
    sign_in(page, token("viewer"))
    page.click('nav a[href="#agents"]')
    page.sees("running", "table")
    assert page.count(".drop") == page.count("main form") == 0
    page.click('a[href="#agent/echo"]')
    page.sees("Versions")
    assert page.count("main form") == page.count("main button") == page.count(".drop") == 0
    go(page, node, "dead-letters", "Dead letters")
    page.sees("broken", "table")
    assert page.count("main button") == 0


def test_credentials_that_are_none_and_a_role_that_sees_nothing_are_told_in_words(page: Browser) -> None:
    page.type("#credential", "nonsense")
    page.press(ENTER)
    page.sees("key", "#status")
    assert page.run("return sessionStorage.length + localStorage.length + document.cookie.length") == 0
    sign_in(page, token("agent-client"))
    page.sees("may look at nothing here")


def test_the_keyboard_is_enough(page: Browser) -> None:
    sign_in(page, token("viewer"))
    page.sees("Cluster", "h1")
    page.run("document.querySelector('.skip').focus()")
    page.press(TAB, TAB, ENTER)
    page.sees("Agents", "h1")
    assert page.run("return document.activeElement.tagName") == "H1"
    assert page.count("main") == page.count("nav[aria-label]") == page.count("#status[aria-live]") == 1


def test_the_files_are_all_from_here_and_known_again(node: Node) -> None:
    first = httpx.get(f"{node.url}/console")
    policy = first.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert httpx.get(f"{node.url}/console", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    script = httpx.get(f"{node.url}/console/main.js")
    assert script.headers["content-type"].startswith("text/javascript")
    for name in ("none.js", "..%2fapp.py", "%2e%2e"):
        assert httpx.get(f"{node.url}/console/{name}").status_code == 404

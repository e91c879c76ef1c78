"""Everybody can use it: by keys alone, by ear, in light and dark; and nothing of it leaves the node."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from console.steps import ENTER, TAB, go, sign_in

from support.browser import Browser
from support.contrast import contrasts
from support.credentials import token
from support.node import Node, until

LEVEL_AA = 4.5
PAGES = {
    "cluster": ("Cluster", "Nodes and their agents"),
    "agents": ("Agents", "running"),
    "agent/echo": ("Agent echo", "current"),
    "dead-letters": ("Dead letters", "Replay"),
    "conversations": ("Conversations", "Any conversation"),
    "conversations/plan-1": ("Conversation plan-1", "a few"),
    "ledger": ("Ledger", "accounted for"),
    "events": ("Events", "Connected"),
}
"""By their place: the heading, and what is there once the page is filled."""
_STOPS = """
return [...document.querySelectorAll('a[href], button, input, textarea, [tabindex="0"]')]
  .filter(one => one.checkVisibility() && !one.disabled).map(one => one.outerHTML.slice(0, 120))
"""
_FOCUS = """
const one = document.activeElement, style = getComputedStyle(one);
return [one.outerHTML.slice(0, 120), one.matches(':focus-visible') && style.outlineStyle !== 'none'
  && parseFloat(style.outlineWidth) >= 2]
"""


def opened(page: Browser, name: str) -> None:
    heading, filled = PAGES[name]
    go(page, name, heading)
    page.sees(filled, "main")


@pytest.fixture
def inside(page: Browser) -> Browser:
    """Somebody who may do everything is signed in."""
    sign_in(page, token("admin", "ada"))
    return page


def test_every_text_can_be_read_in_light_and_in_dark(page: Browser) -> None:
    def measure(where: str) -> None:
        for scheme in ("light", "dark"):
            page.prefers(scheme)
            count, poor = contrasts(page, LEVEL_AA)
            assert count > 4, where
            assert not poor, (where, scheme)

    measure("sign in")
    sign_in(page, token("admin", "ada"))
    for name in PAGES:
        opened(page, name)
        measure(name)
    grounds = []
    for scheme in ("light", "dark"):
        page.prefers(scheme)
        grounds.append(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_keys_reach_everything_in_its_order_and_the_focus_is_seen(inside: Browser) -> None:
    for name, there in (("agent/echo", "Invoke"), ("dead-letters", "Replay")):
        opened(inside, name)
        inside.sees(there, "main")
        wanted = inside.run(_STOPS)
        assert len(wanted) > 10, "more than the way to each page"
        inside.run("document.querySelector('.skip').focus()")
        met = []
        for _ in range(2 * len(wanted)):  # whoever is trapped does not come to the last
            element, is_seen = inside.run(_FOCUS)
            assert is_seen, element
            met.append(element)
            if element == wanted[-1]:
                break
            inside.press(TAB)
        assert [one for one in met if one in wanted] == wanted


def test_the_keyboard_is_enough(page: Browser) -> None:
    """From the form to sign in to a dead letter that is not purged and one that is replayed."""
    assert page.run("return document.activeElement.id") == "credential"
    page.write(token("operator"))
    page.press(ENTER)
    page.sees("operator", "#who")
    assert page.run("return document.activeElement.tagName") == "H1"
    page.run("document.querySelector('.skip').focus()")
    page.press(ENTER)
    assert page.run("return document.activeElement.id") == "main"
    page.run("document.querySelector('.skip').focus()")
    page.press(TAB, TAB, TAB, ENTER)
    page.sees("Dead letters", "h1")
    page.sees("Replay", "table")
    press_until(page, "Purge")
    page.press(ENTER)
    page.sees("Purge", "dialog h2")
    assert page.run("return document.activeElement.textContent") == "Cancel"
    page.press(ENTER)
    until(lambda: page.count("dialog") == 0, 30, "no question any more")
    assert str(page.run("return document.activeElement.textContent")) == "Purge"
    go(page, "dead-letters", "Dead letters")
    page.sees("Replay", "table")
    press_until(page, "Replay")
    page.press(ENTER)
    page.sees("is back in the mailbox", "#status")


def press_until(page: Browser, text: str) -> None:
    """Tab, until what has the focus says this."""
    for _ in range(40):
        page.press(TAB)
        if page.run("return document.activeElement.textContent") == text:
            return
    raise AssertionError(f"no key leads to {text}")


def test_a_screen_reader_is_told_what_everything_is(inside: Browser) -> None:
    named = {"link", "button", "textbox", "searchbox", "table", "image", "heading", "region", "log", "navigation"}
    for name, (heading, _) in PAGES.items():
        opened(inside, name)
        spoken = inside.spoken()
        assert [one for one in spoken if one[0] in named and not one[1]] == [], name
        roles = [role for role, _ in spoken]
        for landmark in ("banner", "navigation", "main", "status"):
            assert landmark in roles, (name, landmark)
        assert ("heading", heading) in spoken
        assert roles.index("banner") < roles.index("status") < roles.index("main")
        assert [one for one in spoken if set("●◐○▲") & set(one[1])] == [], name
    assert inside.run("return document.documentElement.lang") == "en"
    levels = inside.run("return [...document.querySelectorAll('h1, h2, h3')].map(one => one.tagName)")
    assert levels[0] == "H1"
    assert levels.count("H1") == 1


def test_nothing_leaves_the_node(node: Node, inside: Browser) -> None:
    inside.asked()
    inside.open(f"{node.url}/console")
    for name in PAGES:
        opened(inside, name)
    here = (f"http://127.0.0.1:{node.port}/", f"ws://127.0.0.1:{node.port}/")
    asked = inside.asked()
    assert any(one.endswith("/console/main.js") for one in asked)
    assert any(one.startswith("ws:") for one in asked)
    assert [one for one in asked if not one.startswith(here)] == []
    assert not inside.complaints()
    refused: Any = inside.run(
        "return new Promise(told => { document.addEventListener('securitypolicyviolation', one => told("
        "[one.effectiveDirective, one.blockedURI]));"
        "document.body.append(Object.assign(new Image(), {src: arguments[0]})) })",
        f"http://localhost:{node.port}/console/icon.svg",
    )
    assert refused[0] == "img-src"
    with pytest.raises(AssertionError, match="TrustedHTML"):
        inside.run("document.body.innerHTML = '<b>x</b>'")
    inside.complaints()


def test_the_files_are_all_from_here_and_known_again(node: Node) -> None:
    first = httpx.get(f"{node.url}/console")
    policy = first.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert httpx.get(f"{node.url}/console", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    document = node.client.get("/api/v1/openapi.json").json()
    kinds = document["paths"]["/console/{name}"]["get"]["responses"]["200"]["content"]
    for name, kind in (("main.js", "text/javascript"), ("console.css", "text/css"), ("icon.svg", "image/svg+xml")):
        sent = httpx.get(f"{node.url}/console/{name}").headers["content-type"].partition(";")[0]
        assert sent == kind
        assert kind in kinds
    for name in ("none.js", "..%2fapp.py", "%2e%2e"):
        assert httpx.get(f"{node.url}/console/{name}").status_code == 404

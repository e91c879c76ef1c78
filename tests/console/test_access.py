"""What a role may not do is not offered; what is refused all the same is told in words."""

from __future__ import annotations

import httpx
from api.conftest import brief_node
from console.steps import ENTER, go, sign_in

from support.audit_files import records
from support.browser import Browser
from support.credentials import ADMIN_BASE, GUARDED, bearer, make_key, token
from support.node import Node, until
from support.wat import ECHO


def test_what_a_role_may_not_do_is_not_offered(page: Browser) -> None:
    sign_in(page, token("viewer"))
    page.sees("writer", ".names")
    assert page.count("main button") == 0
    go(page, "agents", "Agents")
    page.sees("running", "table")
    assert page.count(".drop") == page.count("main form") == page.count("main button") == 0
    go(page, "agent/echo", "Agent echo")
    page.sees("current", "main")
    assert page.count("main form") == page.count(".drop") == page.count("main .actions") == 0
    go(page, "dead-letters", "Dead letters")
    page.sees("broken", "table")
    assert page.count("td button") == page.count("#purge-all") == 0


def test_who_is_bound_to_a_namespace_begins_with_its_agents(node: Node, page: Browser) -> None:
    """The cluster is nobody's: it is not asked about, and what was never tried is not in the audit."""
    for place in ("", "cluster"):
        page.run("location.hash = arguments[0]", place)
        sign_in(page, token("viewer", "bound", namespace="team"))
        page.sees("There are no agents yet.")
        assert page.text("h1") == "Agents"
        assert page.text("#status") == ""
        assert not page.run("return document.querySelector('nav a[href=\"#cluster\"]').checkVisibility()")
        page.click("#sign-out")
        page.sees("Sign in", "h1")
    asked = httpx.get(f"{node.url}/api/v1/cluster", headers=bearer("viewer", "another", namespace="team"))
    assert asked.status_code == 403
    denied = until(lambda: subjects_denied(node), 30, "the audit of a refusal that came later")
    assert "another" in denied
    assert "bound" not in denied


def subjects_denied(node: Node) -> set[str]:
    found = records(node.home / "data" / "audit")
    subjects = {record.actor.subject for record in found if record.action == "access.denied"}
    return subjects if "another" in subjects else set()


def test_a_key_opens_the_console_whatever_its_header_is_called(tab: Browser) -> None:
    with brief_node(security={**GUARDED, "api_key_header": "X-Node-Key"}) as made:
        tab.open(f"{made.url}/console")
        tab.sees("Sign in", "h1")
        sign_in(tab, make_key(made, "ada", "viewer")["key"])
        tab.sees("ada (viewer)", "#who")


def test_what_is_refused_later_is_told_in_words(node: Node, page: Browser) -> None:
    """A deployer who is bound to a namespace may deploy, but not there."""
    sign_in(page, token("deployer", namespace="team"))
    go(page, "agents", "Agents")
    page.drop(".drop", "elsewhere.wat", ECHO)
    page.click("#deploy button")
    page.sees("You may not do this.", "#status")
    assert page.text("h1") == "Agents"
    assert node.client.get("/api/v1/agents/elsewhere").status_code == 404
    go(page, "agent/echo", "Agent echo")
    page.sees("echo", "#status")  # and what is out of reach, as not there


def test_a_revoked_key_ends_in_the_form_to_sign_in(node: Node, page: Browser) -> None:
    """On the page of events nothing is asked again and again: it is the connection that ends."""
    made = make_key(node, "mallory", "viewer")
    sign_in(page, made["key"])
    go(page, "events", "Events")
    page.sees("Connected", "#live")
    gone = httpx.delete(f"{node.admin_url}{ADMIN_BASE}/keys/{made['key_id']}", headers=bearer())
    assert gone.status_code == 200
    page.sees("Sign in", "h1")
    assert page.text("#status")
    assert page.run("return document.activeElement.id") == "credential"
    assert page.run("return sessionStorage.length") == 0
    assert page.text("#who") == ""
    assert not page.run("return document.querySelector('#pages').checkVisibility()")


def test_credentials_that_are_none_and_a_role_that_sees_nothing_are_told_in_words(page: Browser) -> None:
    page.type("#credential", "nonsense")
    page.press(ENTER)
    page.sees("key", "#status")
    assert page.run("return sessionStorage.length + localStorage.length + document.cookie.length") == 0
    sign_in(page, token("agent-client"))
    page.sees("may look at nothing here")

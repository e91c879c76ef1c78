"""Parts of the console in a real browser: what they show when there is more, or when something changes meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from api.conftest import brief_node
from console.steps import go, kill, sign_in

from support.browser import Browser
from support.credentials import GUARDED, bearer, token
from support.node import Node
from support.switch import switch
from support.wat import ECHO


def test_a_long_conversation_says_that_it_is_cut_and_a_wide_one_is_not_shrunk(node: Node, page: Browser) -> None:
    letter = {"performative": "inform", "receiver": "writer", "conversation_id": "long-1", "content": 1}
    for count, is_cut in ((200, False), (1, True)):
        assert node.client.post("/api/v1/messages", json=[letter] * count).status_code == 202
        sign_in(page, token("viewer"))
        go(page, "conversations/long-1", "Conversation long-1")
        page.sees("inform", "svg")
        assert ("Only the latest 200 messages" in page.text()) is is_cut
        page.click("#sign-out")
        page.sees("Sign in", "h1")
    drawn, meant = page.run(
        "return import('/console/sequence.js').then(({ sequence }) => { const messages = [...Array(20).keys()].map("
        "one => ({ sender: `a${one}`, receiver: 'b', performative: 'inform', state: 'done', content: 1 }));"
        "const svg = sequence(messages); document.querySelector('main').append(svg);"
        "return [svg.getBoundingClientRect().width, Number(svg.getAttribute('width'))] })"
    )
    assert drawn == meant


def test_pages_in_the_background_leave_connections_to_the_one_in_front(page: Browser) -> None:
    """A browser has six for each node; every agent's page follows a log."""
    sign_in(page, token("viewer"))
    go(page, "agent/writer", "Agent writer")
    page.sees("New lines appear", "main")
    with page.more_tabs(7, "location.href") as first:
        page.sees("current", "main")
        page.front(first)
        page.sees("New lines appear", "main")
        page.sees("current", "main")


def test_counters_of_two_nodes_make_no_rate(page: Browser) -> None:
    """Behind balancers each look may be at another node."""
    unknown = page.run(
        "return import('/console/rates.js').then(({ Rates }) => { const rates = new Rates();"
        "const look = (node, done) => { rates.keep(['a']);"
        "return rates.look({ node, name: 'a', counters: { done } }, 'done').rate('done') === null };"
        "return [look('n2', 10), look('n1', 1000000), look('n2', 10), look('n1', 1000000)] })"
    )
    assert unknown == [True, True, False, False]


def test_a_row_that_goes_does_not_take_the_focus_from_another(page: Browser) -> None:
    focused = page.run(
        "return import('/console/table.js').then(({ table }) => { const rows = [1, 2, 3].map(id => ({ id }));"
        "const actions = one => [{ text: 'Go', label: `no ${one.id}` }];"
        "const { element, update } = table('', [{ title: '', actions }], one => one.id);"
        "document.querySelector('main').append(element); update(rows);"
        "element.querySelector('[aria-label=\"no 3\"]').focus(); update(rows.slice(1));"
        "return [document.activeElement.getAttribute('aria-label'), element.querySelectorAll('tbody tr').length] })"
    )
    assert focused == ["no 3", 2]


def test_a_list_that_is_cut_says_so(page: Browser) -> None:
    sign_in(page, token("viewer"))
    found = page.run(
        "return import('/console/session.js').then(async ({ Session }) => { const session = new Session();"
        "const two = await session.all('agents', 2), all = await session.all('agents', 1000);"
        "return [two.items.length, two.more, all.items.length > 2, all.more] })"
    )
    assert found == [2, True, True, False]


def test_a_file_that_was_built_anew_can_be_chosen_again(page: Browser, tmp_path: Path) -> None:
    sign_in(page, token("admin"))
    go(page, "agents", "Agents")
    module = tmp_path / "again.wat"
    for text, size in ((ECHO[:100], "100 B"), (ECHO[:200], "200 B")):
        module.write_text(text)
        page.choose(".drop input", module)
        page.sees(f"again.wat, {size}", "#deploy")


def test_events_of_another_node_are_not_taken_for_those_of_the_one_before(node: Node, tab: Browser) -> None:
    """Behind balancers a connection that is made again may lead elsewhere."""
    with brief_node(security=GUARDED, coordination={"node_id": "n2"}) as other, switch(node.port) as way:
        other.client.headers.update(bearer())
        other.deploy("before", ECHO)
        tab.open(f"http://127.0.0.1:{way.port}/console")
        sign_in(tab, token("viewer"))
        go(tab, "events", "Events")
        tab.sees(f"Connected to {os.uname().nodename}:", "#live")
        tab.sees(kill(node, "on the first", "of-the-first"), ".log")
        way.to(other.port)
        tab.sees("Connected to n2:", "#live")
        other.deploy("after", ECHO)
        tab.sees('"name":"after"', ".log")
        assert "From here on: what happens on n2." in tab.text(".log")
        assert '"name":"before"' not in tab.text(".log")

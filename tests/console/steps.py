"""What tests of the console do again and again, and the pictures of the docs.

Owns `app/docs/console/*.png`. Must never assert what one test alone is about.
"""

from __future__ import annotations

import os
from pathlib import Path

import httpx
from api.checks import settle

from support.browser import Browser
from support.node import Node

PICTURES = Path(__file__).resolve().parents[2] / "app" / "docs" / "console"
TAB, ENTER, ESCAPE = "\ue004", "\ue007", "\ue00c"


def kill(node: Node, content: str, conversation: str = "case-7") -> str:
    """A dead letter, for which the rest of its conversation waits; its id."""
    body = {"performative": "inform", "receiver": "broken", "content": content, "conversation_id": conversation}
    message_id = str(node.client.post("/api/v1/messages", json=body).json()["message_id"])
    with httpx.Client(base_url=f"{node.url}/api/v1", headers=node.client.headers, timeout=60) as client:
        settle(client, f"/messages/{message_id}", "dead")
    return message_id


def sign_in(page: Browser, credential: str) -> None:
    """Returns when the navigation is shown."""
    page.type("#credential", credential)
    page.press(ENTER)
    page.sees("(", "#who")


def go(page: Browser, name: str, heading: str) -> None:
    """To a page of the console, as a link would: nothing is loaded again."""
    page.run("location.hash = arguments[0]", name)
    page.sees(heading, "h1")


def picture(page: Browser, name: str) -> None:
    """Takes it anew, in light and in dark, if that is asked for."""
    if os.environ.get("CAXTON_SCREENSHOTS") != "1":
        return
    PICTURES.mkdir(exist_ok=True)
    for scheme, end in (("dark", "-dark"), ("light", "")):
        page.prefers(scheme)
        (PICTURES / f"{name}{end}.png").write_bytes(page.screenshot())

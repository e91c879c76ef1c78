"""A headless Chromium, driven over W3C WebDriver: plain HTTP and JSON, which needs no package.

Owns the driver's process, the browser's and their folder, and what the browser says of what it shows and asks for.
Must never reach anything but loopback addresses.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from support.node import free_port, until

DRIVER: Final = shutil.which("chromedriver")
BROWSER: Final = shutil.which("chromium")
MISSING: Final = DRIVER is None or BROWSER is None
_FLAGS: Final = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1200,900",
        "--hide-scrollbars",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
)
_REQUESTS: Final = ("Network.requestWillBeSent", "Network.webSocketCreated")
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
_LOGS: Final = {"browser": "ALL", "performance": "ALL"}
PATIENCE_SECONDS: Final = 60.0
_TEXT: Final = "const one = document.querySelector(arguments[0]); return one ? one.innerText ?? one.textContent : ''"
"""A drawing has no `innerText`."""


class Browser:
    """One tab, or several of which one is in front.

    Elements are named by CSS selectors; what is not there yet is waited for.
    """

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client = client
        self._base = f"/session/{session}"

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self._client.request(method, self._base + path, json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    def open(self, url: str) -> None:
        """Goes there, and waits until it is loaded."""
        self._ask("POST", "/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns; `arguments` are its `arguments`."""
        return self._ask("POST", "/execute/sync", script=script, args=list(arguments))

    def text(self, selector: str = "main") -> str:
        """The text of the first element; empty where there is none."""
        return str(self.run(_TEXT, selector))

    def count(self, selector: str) -> int:
        """How many there are."""
        return int(self.run("return document.querySelectorAll(arguments[0]).length", selector))

    def sees(self, text: str, selector: str = "body") -> None:
        """Waits until the text is there."""
        try:
            until(lambda: text in self.text(selector), PATIENCE_SECONDS, text)
        except AssertionError:
            told = f"{text!r} is not in {selector}: {self.text(selector)!r}; the page: {self.text('body')!r}"
            raise AssertionError(f"{told}; {self.complaints()}") from None

    def _find(self, selector: str) -> str:
        until(lambda: self.count(selector), PATIENCE_SECONDS, f"{selector} in {self.text('body')!r}")
        return str(self._ask("POST", "/element", using="css selector", value=selector)[_ELEMENT])

    def click(self, selector: str) -> None:
        """As with the mouse: fails if something covers it."""
        self._ask("POST", f"/element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """In the place of what is in the field."""
        element = self._find(selector)
        self._ask("POST", f"/element/{element}/clear")
        self._ask("POST", f"/element/{element}/value", text=text)

    def press(self, *keys: str) -> None:
        """Keys, one after the other, to whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def write(self, text: str) -> None:
        """As `press`, of text."""
        self.press(*text)

    def drop(self, selector: str, name: str, content: str) -> None:
        """A file, dropped as from a desktop."""
        self._find(selector)
        self.run(
            "const data = new DataTransfer(); data.items.add(new File([arguments[2]], arguments[1]));"
            "for (const type of ['dragover', 'drop']) document.querySelector(arguments[0]).dispatchEvent("
            "new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}))",
            selector,
            name,
            content,
        )

    def choose(self, selector: str, file: Path) -> None:
        """A file, as from the browser's own dialog."""
        self._ask("POST", f"/element/{self._find(selector)}/value", text=str(file))

    def front(self, tab: str) -> None:
        """From now on this tab is the one that is looked at."""
        self._ask("POST", "/window", handle=tab)
        self._devtools("Page.bringToFront")

    @contextmanager
    def more_tabs(self, count: int, address: str) -> Iterator[str]:
        """That many, one after the other in front, each at what the script `address` gives; gives the first tab."""
        first = str(self._ask("GET", "/window"))
        opened: list[str] = []
        try:
            for _ in range(count):
                self.run(f"window.open({address})")
                opened += [one for one in self._ask("GET", "/window/handles") if one not in (first, *opened)]
                self.front(opened[-1])
            yield first
        finally:
            for one in opened:
                self._ask("POST", "/window", handle=one)
                self._ask("DELETE", "/window")
            self.front(first)

    def screenshot(self) -> bytes:
        """PNG, of the whole page."""
        return base64.b64decode(self._devtools("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def prefers(self, scheme: str) -> None:
        """As if the system was set to `light` or `dark`."""
        self._devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def spoken(self) -> list[tuple[str, str]]:
        """What a screen reader meets, in its order: roles and names of what is not ignored."""
        nodes = self._devtools("Accessibility.getFullAXTree")["nodes"]
        kept = [node for node in nodes if not node["ignored"]]
        return [(str(_value(node, "role")), str(_value(node, "name"))) for node in kept]

    def asked(self) -> set[str]:
        """Every address that pages asked for since this was called last, of any kind."""
        entries = [json.loads(one["message"])["message"] for one in self._ask("POST", "/se/log", type="performance")]
        sent = [one["params"] for one in entries if one["method"] in _REQUESTS]
        return {str(one["url"] if "url" in one else one["request"]["url"]) for one in sent}

    def _devtools(self, command: str, **parameters: Any) -> Any:
        return self._ask("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def complaints(self) -> list[str]:
        """What the browser has written to its console: errors of scripts, of the policy, of loading."""
        return [str(one["message"]) for one in self._ask("POST", "/se/log", type="browser")]


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with nothing remembered, which is gone afterwards."""
    assert DRIVER is not None
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = (Path(folder) / "driver.log").open("wb")
        driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                until(lambda: _ready(client), PATIENCE_SECONDS, "chromedriver")
                session = _begin(client, folder)
                try:
                    yield Browser(client, session)
                finally:
                    client.delete(f"/session/{session}")
        finally:
            driver.terminate()
            driver.wait(30)
            log.close()


def _value(node: dict[str, Any], name: str) -> Any:
    return node.get(name, {}).get("value", "")


def _ready(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/status").json()["value"]["ready"])
    except httpx.TransportError:
        return False


def _begin(client: httpx.Client, folder: str) -> str:
    options = {"binary": BROWSER, "args": [*_FLAGS, f"--user-data-dir={folder}/profile"]}
    wanted = {
        "browserName": "chrome",
        "acceptInsecureCerts": True,
        "goog:chromeOptions": options,
        "goog:loggingPrefs": _LOGS,
    }
    answer = client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["value"]["sessionId"])

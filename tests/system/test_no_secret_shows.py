"""A node is provoked in every way that we know; nothing that it says, writes or leaves behind holds a secret."""

from __future__ import annotations

import base64
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import jwt
import pytest

from caxton.selftest.wat import reactor
from support.served_node import ServedNode, until

JWT_SECRET = base64.b64encode(os.urandom(36)).decode()
ENCRYPT_KEY = base64.b64encode(os.urandom(32)).decode()
SECRETS_KEY = base64.b64encode(os.urandom(32)).decode()
AGENT_SECRET = "of-the-agent-" + base64.b64encode(os.urandom(24)).decode()
FILES = {"jwt_secret": JWT_SECRET, "secrets_key": SECRETS_KEY}
HOLDS_IT = "(drop (call $secret (i32.const 16) (i32.const 4) (i32.const 1024) (i32.const 200)))"
NAMED = '(data (i32.const 16) "smtp")'
AGENTS = {
    "says-length": reactor(f"(call $answer {HOLDS_IT[6:-1]})", extra=NAMED),
    "traps": reactor(f"{HOLDS_IT} unreachable", extra=NAMED),
    "spins": reactor(f"{HOLDS_IT} (loop $l (br $l)) (i32.const 0)", extra=NAMED),
    "sleeps": reactor(f"{HOLDS_IT} (drop (call $sleep (i64.const 20000000))) (i32.const 0)", extra=NAMED),
    "fails": reactor(f"{HOLDS_IT} (i32.const 7)", extra=NAMED),
    "malformed": reactor(f"{HOLDS_IT} (call $send (i32.const 0) (i32.const 8))", extra=NAMED),
}  # fmt: skip
"""All of them have the secret in their memory when it happens."""

VERBS = (
    "config show --origin", "doctor", "secret list", "key list", "token create --subject x --role viewer",
    "secret set smtp", "secret remove absent", "secret rekey",
)  # fmt: skip


def forms(secret: str) -> set[bytes]:
    """How a secret may look where somebody has passed it on."""
    raw = secret.encode()
    found = {raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().encode(), quote(secret).encode()}
    try:
        inner = base64.b64decode(secret, validate=True)
        found |= {inner, inner.hex().encode(), base64.urlsafe_b64encode(inner)}
    except ValueError:
        pass
    return {form.rstrip(b"=") for form in found}


class Witness:
    """Everything that was heard, and where."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def hear(self, where: str, what: str | bytes) -> None:
        self.heard.append((where, what.encode() if isinstance(what, str) else what))

    def http(self, where: str, answer: httpx.Response) -> httpx.Response:
        self.hear(where, repr(answer.headers) + answer.text)
        return answer

    def accuse(self, secrets: dict[str, str]) -> list[str]:
        """`secret: where`, for each that was heard somewhere."""
        return [
            f"{name}: {where}"
            for name, secret in secrets.items()
            for where, what in self.heard
            if any(form in what for form in forms(secret))
        ]


class Provoked:
    """A node with every secret there is, and a client with its key."""

    def __init__(self) -> None:
        self.witness = Witness()
        self.node = ServedNode(CAXTON_SECURITY__AUTH_ENABLED="true", ENCRYPT_KEY=ENCRYPT_KEY)
        self.private = self.node.directory / "private"
        self.private.mkdir(mode=0o700)
        for name, secret in FILES.items():
            (self.private / name).write_text(secret + "\n")
            (self.private / name).chmod(0o600)
        self.good = "\n".join(
            [
                "[security]",
                *(f'{name}_file = "{self.private}/{name}"' for name in FILES),
                "[coordination]",
                'encrypt_key = "${ENCRYPT_KEY}"',
                "[observability]",
                'log_level = "debug"',
                "[runtime]",
                'execution_timeout = "3s"',
            ]
        )
        self.config = Path(self.node.write("node.toml", self.good))
        self.client = httpx.Client(base_url=self.node.url + "/api/v1", timeout=30.0)
        self.key = ""

    def start(self) -> None:
        """The node, its first key, and a client with that."""
        self.node.start("--config", str(self.config), "serve")
        self.key = self.node.json(
            "--config", str(self.config), "key", "create", "--subject", "tests", "--role", "admin"
        )["key"]
        self.node.environ["CAXTON_API_KEY"] = self.key
        self.client.headers["X-API-Key"] = self.key

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "jwt_secret": JWT_SECRET,
            "encrypt_key": ENCRYPT_KEY,
            "secrets_key": SECRETS_KEY,
            "API key": self.key,
            "agent's secret": AGENT_SECRET,
        }

    def cli(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.node.cli("--config", str(self.config), *arguments, stdin=stdin)
        self.witness.hear("cli " + " ".join(arguments), done.stdout + done.stderr)
        return done.stdout

    def close(self) -> None:
        self.client.close()
        self.node.close()


@pytest.fixture(scope="module")
def provoked() -> Iterator[Provoked]:
    made = Provoked()
    try:
        made.start()
        yield made
    finally:
        made.close()


def listen(provoked: Provoked, stop: threading.Event) -> None:
    try:
        with provoked.client.stream("GET", "/events") as stream:
            for part in stream.iter_text():
                provoked.witness.hear("events", part)
                if stop.is_set():
                    return
    except httpx.HTTPError:
        return


def run_agents(provoked: Provoked) -> None:
    """Each ends in another way with the secret in its memory; one worker is killed under one."""
    ask = provoked.client
    for name, wat in AGENTS.items():
        config = {"name": name, "wat": wat, "grants": {"secrets": ["smtp"]}, "retry": {"max_deliveries": 1}}
        assert provoked.witness.http(f"deploy {name}", ask.post("/agents", json=config)).status_code in (201, 202)
    for name in AGENTS:
        until(lambda name=name: ask.get(f"/agents/{name}").json().get("status") == "running", f"{name} is deployed")
    for name in ("says-length", "traps", "spins", "fails", "malformed"):
        provoked.witness.http(f"invoke {name}", ask.post(f"/agents/{name}/invoke", json={"content": 1}))
    assert ask.post("/agents/says-length/invoke", json={"content": 1}).json()["content"] == len(AGENT_SECRET)
    sent = ask.post("/messages", json={"receiver": "sleeps", "performative": "request", "content": 1})
    provoked.witness.http("send", sent)
    until(lambda: ask.get("/agents/sleeps").json()["counters"]["in_flight"] == 1, "it sleeps with the secret")
    for pid in provoked.node.descendants():
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"caxton.executor.worker" in line:
            os.kill(pid, signal.SIGSEGV)
    until(lambda: ask.get("/agents/sleeps").json()["counters"]["in_flight"] == 0, "its worker has crashed")


def misuse_http(provoked: Provoked) -> None:
    """Credentials and values where they do not belong."""
    hear, ask, key = provoked.witness.http, provoked.client, provoked.key
    bare = httpx.Client(base_url=provoked.node.url + "/api/v1", timeout=30.0)
    forged = jwt.encode({"sub": "x", "exp": time.time() - 9_999}, JWT_SECRET, "HS256")
    with bare:
        for headers in (
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"Bearer {JWT_SECRET}"},
            {"Authorization": f"Basic {base64.b64encode(f'a:{JWT_SECRET}'.encode()).decode()}"},
            {"Authorization": f"Bearer {forged}"},
            {"X-API-Key": JWT_SECRET},
            {"X-API-Key": key[:-1] + "é".encode("latin-1").decode("latin-1")},
            {"Cookie": f"key={key}"},
        ):
            encoded = {name: value.encode("latin-1") for name, value in headers.items()}
            hear(f"headers {list(headers)}", bare.get("/agents", headers=encoded))
    hear("query", ask.get("/agents", params={"key": key}))
    hear("query of a list", ask.get("/secrets", params={"limit": AGENT_SECRET}))
    for body in (
        f'{{"value": "{AGENT_SECRET}"',
        f'{{"value": ["{AGENT_SECRET}"]}}',
        f'{{"value": "{AGENT_SECRET}", "value_base64": "{AGENT_SECRET}"}}',
        f'{{"value_base64": "{AGENT_SECRET}"}}',
        f'"{AGENT_SECRET}"',
    ):
        hear("a wrong body", ask.put("/secrets/other", content=body, headers={"Content-Type": "application/json"}))
    hear("another type", ask.put("/secrets/other", content=AGENT_SECRET, headers={"Content-Type": "text/plain"}))
    hear("a wrong name", ask.put("/secrets/A B", json={"value": AGENT_SECRET}))


def look_everywhere(provoked: Provoked) -> None:
    """All that shows something."""
    traps = [f"/agents/traps{part}" for part in ("", "/versions", "/logs", "/executions")]
    for path in (*traps, "/agents", "/messages", "/dead-letters", "/secrets", "/ledger", "/openapi.json"):
        provoked.witness.http(path, provoked.client.get(path))
    metrics = provoked.node.environ["CAXTON_NETWORKING__METRICS_ADDRESS"]
    provoked.witness.http("metrics", httpx.get(f"http://{metrics}/metrics"))
    for verb in VERBS:
        provoked.cli(*verb.split(), stdin=AGENT_SECRET if verb == "secret set smtp" else None)
    for verb in ("state", "config"):
        provoked.cli("backup", verb, "--directory", str(provoked.node.directory / "backups"))


def reload_badly(provoked: Provoked) -> None:
    """Files in which a secret is where it should not be; each is refused, and the node goes on."""
    assert provoked.node.process is not None
    for line in (
        f'jwt_secret = ["{JWT_SECRET}"]',
        f'jwt_secret_file = "{JWT_SECRET.replace("/", "x")}"',
        f'jwt_secret_file = ["{JWT_SECRET}"]',
        f'jwt_secrets = "{JWT_SECRET}"',
        f'secrets_key = "{SECRETS_KEY}="',
        f'jwt_secret = "{JWT_SECRET}',
        f'trusted_keys = ["{provoked.private}/jwt_secret"]',
    ):
        provoked.config.write_text(f"[security]\n{line}\n")
        before = provoked.node.log.count("reload refused")
        provoked.node.process.send_signal(signal.SIGHUP)
        until(lambda before=before: provoked.node.log.count("reload refused") > before, f"refused: {line[:20]}")
    provoked.config.write_text(f'security = "{JWT_SECRET}"\n')
    provoked.cli("config", "check")
    provoked.config.write_text(provoked.good)
    (provoked.private / "jwt_secret").chmod(0o644)
    provoked.cli("config", "check")
    provoked.cli("serve")
    (provoked.private / "jwt_secret").chmod(0o600)


@pytest.mark.timeout(300)  # some 20 runs of the command line
def test_nothing_shows_a_secret(provoked: Provoked) -> None:
    stop = threading.Event()
    listener = threading.Thread(target=listen, args=(provoked, stop), daemon=True)
    listener.start()
    provoked.cli("secret", "set", "smtp", stdin=AGENT_SECRET)
    run_agents(provoked)
    misuse_http(provoked)
    look_everywhere(provoked)
    reload_badly(provoked)
    processes = provoked.node.descendants()
    for pid in processes:
        provoked.witness.hear(f"arguments of {pid}", Path(f"/proc/{pid}/cmdline").read_bytes())
    stop.set()
    assert provoked.node.stop() == 0
    listener.join(10)
    provoked.witness.hear("log", provoked.node.log)
    files = [path for path in provoked.node.directory.rglob("*") if path.is_file()]
    for path in files:
        if path.parent != provoked.private:
            provoked.witness.hear(str(path.relative_to(provoked.node.directory)), path.read_bytes())
    assert {"data/local.db", "serve.log"} <= {where for where, _ in provoked.witness.heard}
    assert any(where.startswith("backups/") for where, _ in provoked.witness.heard)
    assert provoked.witness.accuse(provoked.secrets) == []


def test_the_witness_hears_what_is_there() -> None:
    """The search itself: each form of each secret is found."""
    for secret in (JWT_SECRET, SECRETS_KEY, AGENT_SECRET):
        for form in forms(secret):
            witness = Witness()
            witness.hear("here", b"... " + form + b" ...")
            assert witness.accuse({"it": secret}) == ["it: here"]

"""Every route asks for a permission, and every role is really tried on every route of a node."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api.conftest import brief_node

from caxton.api.app import create_admin_app, create_app
from caxton.api.converters import RESERVED
from caxton.api.permissions import OPEN, PERMISSION_OF, Route
from caxton.config import defaults
from caxton.protocol.access import NODE_WIDE, PERMISSIONS, Caller, Permission, Role
from support.credentials import GUARDED, bearer
from support.node import Node

UNKNOWN = "00000000-0000-4000-8000-000000000000"
ADMIN_ROUTE = "/api/v1/admin/"


def routes() -> set[Route]:
    return {
        (method, rule.rule)
        for make in (create_app, create_admin_app)
        for rule in make(defaults()).flask.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_every_route_has_a_permission_and_every_permission_a_route() -> None:
    assert set(PERMISSION_OF) | OPEN == routes()
    assert not set(PERMISSION_OF) & OPEN
    assert set(PERMISSION_OF.values()) == set(Permission)


def test_no_agent_is_called_as_what_follows_an_agents_name() -> None:
    """Else `team/logs` would be an agent and a log."""
    assert {rule.rpartition("/")[2] for _, rule in routes() if "/agents/<agent:name>/" in rule} == RESERVED


def test_every_permission_has_a_role_and_only_the_admin_has_all() -> None:
    assert set().union(*PERMISSIONS.values()) == set(Permission)
    assert [role for role in Role if PERMISSIONS[role] == set(Permission)] == [Role.ADMIN]


def test_a_namespace_takes_the_node_away() -> None:
    bound = Caller("me", Role.ADMIN, "team")
    assert {one for one in Permission if not bound.may(one)} == NODE_WIDE


@pytest.fixture(scope="module")
def tried() -> Iterator[Node]:
    """A node of its own: nothing that these requests do is missed elsewhere."""
    with brief_node(security=GUARDED) as made:
        yield made


def attempt(node: Node, route: Route, headers: dict[str, str]) -> httpx.Response:
    """A request for the route, with a body that no view takes: whoever is let in gets no further than that."""
    method, rule = route
    path = re.sub(r"<message:\w+>", UNKNOWN, rule)
    path = re.sub(r"<(?:\w+:)?\w+>", "nobody", path)
    base = node.admin_url if rule.startswith(ADMIN_ROUTE) else node.url
    content = b"[" if method != "GET" else None
    with node.client.stream(method, base + path, headers=headers, content=content) as answer:
        if not answer.headers["content-type"].startswith("text/event-stream"):
            answer.read()
        return answer


@pytest.mark.parametrize("role", Role)
def test_the_role_opens_what_the_table_says_and_nothing_else(tried: Node, role: Role) -> None:
    headers = bearer(role, "somebody")
    for route, permission in PERMISSION_OF.items():
        answer = attempt(tried, route, headers)
        if permission in PERMISSIONS[role]:
            assert answer.status_code not in (401, 403), (route, answer.status_code)
        else:
            assert answer.status_code == 403, (route, answer.status_code)
            details = answer.json()["error"]["details"]
            assert (details["role"], details["needed"]) == (role, permission)
            assert role not in details["roles"]


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_nobody_of_a_namespace_has_the_node(tried: Node, role: Role) -> None:
    headers = bearer(role, "somebody", namespace="team")
    for route, permission in PERMISSION_OF.items():
        if permission in NODE_WIDE:
            assert attempt(tried, route, headers).status_code == 403, route


@pytest.mark.parametrize("role", Role)
def test_head_is_as_get(tried: Node, role: Role) -> None:
    for path, permission in (("/api/v1/agents", Permission.READ), ("/api/v1/openapi.json", Permission.FOLLOW)):
        found = httpx.head(tried.url + path, headers=bearer(role)).status_code
        assert found == (200 if permission in PERMISSIONS[role] else 403)
    assert httpx.head(tried.url + "/api/v1/agents").status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *itertools.product(["PATCH", "TRACE", "PROPFIND", "get"], ["/api/v1/agents", "/api/v1/messages"]),
        ("POST", "/api/v1/agents/nobody/invoke/"),
        ("POST", "/api/v1//messages"),
        ("POST", "/API/v1/messages"),
        ("POST", "/api/v1/messages/"),
        ("POST", "/api/v1/messages?x=1"),
        ("POST", "/api/v1/%6dessages"),
        ("POST", "/api/v1/messages;x"),
        ("POST", "/api/v1/../v1/messages"),
        ("GET", "/api/v1/agents/..%2f..%2fkeys"),
    ],
)
def test_there_is_no_way_around(tried: Node, method: str, path: str) -> None:
    answer = httpx.request(method, tried.url + path, content=b"{}")
    assert answer.status_code in (400, 401, 404, 405, 501), answer.status_code


def test_the_description_names_the_permission_and_the_roles(tried: Node) -> None:
    document = httpx.get(f"{tried.url}/api/v1/openapi.json", headers=bearer(Role.AGENT_CLIENT)).json()
    invoke = document["paths"]["/api/v1/agents/{name}/invoke"]["post"]
    assert invoke["x-permission"] == Permission.SEND
    assert invoke["x-roles"] == sorted([Role.ADMIN, Role.AGENT_CLIENT, Role.DEPLOYER, Role.OPERATOR])
    assert {"401", "403"} <= set(invoke["responses"])
    assert "x-permission" not in document["paths"]["/health"]["get"]


def test_events_tell_nobody_what_the_lists_keep_from_him(tmp_path: Path) -> None:
    """Secrets are for whoever may deploy, keys and tokens for administrators: so is what happens to them."""
    key = tmp_path / "secrets_key"
    key.write_text(base64.b64encode(hashlib.sha256(b"a key of this test").digest()).decode())
    key.chmod(0o600)
    with brief_node(security={**GUARDED, "secrets_key_file": str(key)}) as node:
        client = node.new_client()
        admin = bearer(Role.ADMIN)
        assert client.put("/api/v1/secrets/team/one", json={"value": "v"}, headers=admin).is_success
        made = httpx.post(
            f"{node.admin_url}{ADMIN_ROUTE}keys", json={"subject": "s", "role": "viewer"}, headers=admin
        )
        assert made.is_success, made.text
        told = {role: kinds(client, bearer(role)) for role in (Role.ADMIN, Role.DEPLOYER, Role.VIEWER)}
        told["bound"] = kinds(client, bearer(Role.VIEWER, namespace="team"))
    assert told[Role.ADMIN] >= {"secret", "key"}
    assert told[Role.DEPLOYER] & {"secret", "key"} == {"secret"}
    assert not (told[Role.VIEWER] | told["bound"]) & {"secret", "key"}


def kinds(client: httpx.Client, headers: dict[str, str]) -> set[str]:
    """Of all events that are held."""
    found: set[str] = set()
    with client.stream("GET", "/api/v1/events", headers=headers | {"Last-Event-ID": "0"}) as answer:
        for line in answer.iter_lines():
            if line == ": alive":  # what is held comes before, at least that something older is not held any more
                break
            if line.startswith("event: "):
                found.add(line.removeprefix("event: ").partition(".")[0])
    return found

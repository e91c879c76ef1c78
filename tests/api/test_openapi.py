from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api.checks import SCHEMATHESIS
from api.conftest import furnished

from caxton import config
from caxton.api.app import create_admin_app, create_app
from caxton.api.operation import ATTRIBUTE
from support.node import Node

HERE = Path(__file__).parent


def test_every_route_is_described() -> None:
    for make in (create_app, create_admin_app):
        app = make(config.defaults()).flask
        for rule in app.url_map.iter_rules():
            if rule.rule != "/metrics":
                assert hasattr(app.view_functions[rule.endpoint], ATTRIBUTE), rule


def test_the_document_names_every_route_status_and_error(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    invoke = document["paths"]["/api/v1/agents/{name}/invoke"]["post"]
    assert set(invoke["responses"]) >= {
        "200",
        "202",
        "400",
        "401",
        "404",
        "408",
        "413",
        "415",
        "429",
        "502",
        "503",
        "504",
    }
    body = invoke["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert document["components"]["schemas"][body.rpartition("/")[2]]["additionalProperties"] is False
    for reference in set(re.findall(r'"\$ref": ?"#/components/schemas/(\w+)"', str(document).replace("'", '"'))):
        assert reference in document["components"]["schemas"]


def test_the_page_needs_nothing_from_elsewhere(http: httpx.Client) -> None:
    answer = http.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", answer.text)


@pytest.fixture
def prey() -> Iterator[Node]:
    """A node of its own: schemathesis removes what it finds."""
    with furnished(security={"secrets_key": "sCL5vBFlaGExILgn+jl26yUaB6iucJHdoY5IqJ7QlqE="}) as made:
        yield made


@pytest.mark.timeout(300)  # every operation, several ways
def test_the_node_behaves_as_its_document_says(prey: Node) -> None:
    """Schemathesis in a process of its own: it brings threads and warnings that are not ours."""
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        f"{prey.url}/api/v1/openapi.json",
        "--checks",
        "all",
        "--exclude-checks",
        "ignored_auth,unsupported_method,positive_data_acceptance",
        "--exclude-path-regex",
        "events|logs",
        "--max-examples",
        "4",
        "--phases",
        "coverage,fuzzing",
        "--request-timeout",
        "20",
        "--suppress-health-check",
        "all",
        "--seed",
        "7",
    ]
    (prey.home / "schemathesis.toml").write_text(SCHEMATHESIS)
    done = subprocess.run(command, capture_output=True, text=True, cwd=prey.home, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:]

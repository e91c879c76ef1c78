"""Looking up: filters, pages, and one line for an operation that has two records."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from caxton.audit.listing import find
from caxton.audit.log import Log
from caxton.audit.record import Draft
from caxton.protocol.audit import Actor, AuditListing, Phase, Record
from support.audit_files import SOMEBODY, draft, files, make_audit


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty operations that overlap, in many files; the last five have no end."""
    made = tmp_path_factory.mktemp("audit")
    log, open_ = Log(made, "node", file_bytes=4_000), list[tuple[int, int]]()
    for number in range(60):
        open_.append((number, log.append([draft(number, Phase.BEGUN)])[0].seq))
        if len(open_) > 5:
            done, seq = open_.pop(0)
            log.append([draft(done, Phase.ENDED, seq)])
    log.close()
    assert len(files(made)) > 10
    return made


def pages(directory: Path, limit: int, **filters: object) -> list[Record]:
    found, before = list[Record](), None
    while True:
        page, before = find(directory, AuditListing(limit=limit, **filters), before)  # type: ignore[arg-type]  # by name
        assert len(page) <= limit
        found += page
        if before is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 7, 50, 200])
def test_pages_of_any_size_show_each_operation_once(directory: Path, limit: int) -> None:
    found = pages(directory, limit)
    assert sorted(record.details["number"] for record in found) == list(range(60))
    assert [record.seq for record in found] == sorted((record.seq for record in found), reverse=True)
    assert {record.details["number"] for record in found if record.outcome is None} == set(range(55, 60))


def test_filters(tmp_path: Path) -> None:
    log = Log(tmp_path, "node")
    other = msgspec.structs.replace(SOMEBODY, subject="ops", namespace=None)
    for actor, action, target, outcome in (
        (SOMEBODY, "agent.deploy", "team/one", "ok"),
        (SOMEBODY, "agent.remove", "other/one", "AGENT_NOT_FOUND"),
        (other, "agent.remove", "team/two", "ok"),
        (other, "node.drain", "", "ok"),
        (Actor("x" * 300, "admin"), "key.create", "[a]", "FORBIDDEN"),
    ):
        log.append([Draft(action, Phase.EVENT, actor, target, outcome)])
    log.close()

    def seqs(**filters: object) -> list[int]:
        return [record.seq for record in pages(tmp_path, 2, **filters)]

    assert seqs(actor="c*") == [2, 1]
    assert seqs(action="agent.*") == [3, 2, 1]
    assert seqs(target="team/*") == [3, 1]
    assert seqs(target="[[]a]") == [5]
    assert seqs(outcome="failed") == [5, 2]
    assert seqs(outcome="FORBIDDEN") == [5]
    assert seqs(action="agent.*", actor="ops") == [3]
    assert seqs(action="agent") == []


def test_times(tmp_path: Path) -> None:
    made = make_audit(tmp_path, 3)
    moment = datetime.fromisoformat(made[1].time).timestamp()
    since, until = pages(tmp_path, 9, since=moment), pages(tmp_path, 9, until=moment)
    assert {record.seq for record in since} == {record.seq for record in made if record.time >= made[1].time}
    assert {record.seq for record in since} | {record.seq for record in until} == {1, 2, 3}
    assert not {record.seq for record in since} & {record.seq for record in until}


def test_one_page_looks_at_a_bounded_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_audit(tmp_path, 60, file_bytes=3_000)
    monkeypatch.setattr("caxton.audit.listing.MOST_BYTES", 9_000)
    page, before = find(tmp_path, AuditListing(target="team/agent-3"), None)
    assert not page
    assert before is not None
    assert [record.target for record in pages(tmp_path, 5, target="team/agent-3")] == ["team/agent-3"]


def test_a_broken_line_hides_no_other(tmp_path: Path) -> None:
    make_audit(tmp_path, 5)
    [file] = files(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"agent-2", b"agent-9"))
    assert [record.seq for record in pages(tmp_path, 2)] == [5, 4, 2, 1]


def test_where_there_is_none(tmp_path: Path) -> None:
    assert find(tmp_path / "nothing", AuditListing(), None) == ([], None)

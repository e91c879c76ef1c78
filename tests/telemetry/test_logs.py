from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.config import defaults
from caxton.telemetry import escape_controls, event, set_level, set_up_logging
from caxton.telemetry.canonical import Lines
from caxton.telemetry.concern import concerns
from caxton.telemetry.rotation import Bounds, SharedFile

SOURCE = str(Path(escape_controls.__code__.co_filename).parents[2])
HOSTILE = "evil\n2026-01-01 ERROR forged\x1b[31m\u202e\x85"


@pytest.fixture(autouse=True)
def _restore_root_logger():
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers[:] = []
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


def settings(file: Path, form: str = "json", **changes: object):
    return replace(defaults().observability, log_file=str(file), log_format=form, **changes)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_record_is_one_line_whatever_is_in_it(tmp_path: Path, form: str) -> None:
    file = tmp_path / "logs" / "node.log"
    set_up_logging(settings(file, form), "router")
    event(HOSTILE, agent=HOSTILE, count=3)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("x").exception("failed")
    text = file.read_text()
    assert len(text.splitlines()) == text.count("\n") == 2
    assert all(char.isprintable() or char == "\n" for char in text)


def test_json_lines_carry_service_level_and_fields(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    set_up_logging(settings(file), "router")
    event("agent deployed", agent=HOSTILE, version=3, message="cannot replace the message")
    line = json.loads(file.read_text())
    assert (line["service"], line["level"], line["message"]) == ("router", "info", "agent deployed")
    assert (line["agent"], line["version"]) == (HOSTILE, 3)


def test_the_level_can_change_while_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    set_up_logging(settings(file, log_level="warning"), "api")
    event("quiet")
    set_level("debug")
    event("loud", logging.DEBUG)
    assert [json.loads(line)["message"] for line in file.read_text().splitlines()] == ["loud"]


def test_a_file_that_cannot_be_opened_does_not_stop_the_process(tmp_path: Path, capsys) -> None:
    (tmp_path / "occupied").write_text("")
    set_up_logging(settings(tmp_path / "occupied" / "node.log"), "api")
    event("still here")
    assert "still here" in capsys.readouterr().err


SPEAKER = """
import logging
from dataclasses import replace
from caxton.config import defaults
from caxton.telemetry import event, set_up_logging
set_up_logging(replace(defaults().observability, log_format="json"), "router")
for level in (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
    event("said", level)
"""


@pytest.mark.parametrize("is_journal", [True, False])
def test_the_journal_is_told_each_lines_priority_and_nobody_else_is(is_journal: bool) -> None:
    reading, writing = os.pipe()
    about = os.fstat(writing)
    environ = {
        **os.environ,
        "PYTHONPATH": SOURCE,
        "JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino + (not is_journal)}",
    }
    try:
        subprocess.run([sys.executable, "-c", SPEAKER], env=environ, stderr=writing, check=True, timeout=60)
        lines = os.read(reading, 10_000).decode().splitlines()
    finally:
        os.close(reading)
        os.close(writing)
    assert [line.partition("{")[0] for line in lines] == (["<6>", "<4>", "<3>", "<2>"] if is_journal else [""] * 4)
    assert all(json.loads(line[line.index("{") :])["message"] == "said" for line in lines)


def test_an_old_file_is_renamed_once_and_old_ones_go(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    day = 86_400
    file.write_text("yesterday\n")
    os.utime(file, (time.time() - day, time.time() - day))
    ancient, recent = tmp_path / "node.log.2020-01-01", tmp_path / "node.log.2020-01-02"
    for old, age in ((ancient, 40), (recent, 5)):
        old.write_text("old\n")
        os.utime(old, (time.time() - age * day,) * 2)
    handlers = [SharedFile(file, "daily", 30) for _ in range(3)]
    for number, handler in enumerate(handlers):
        handler.emit(logging.makeLogRecord({"msg": f"today {number}"}))
        handler.close()
    assert file.read_text() == "today 0\ntoday 1\ntoday 2\n"
    renamed = time.strftime("node.log.%Y-%m-%d", time.gmtime(time.time() - day))
    assert (tmp_path / renamed).read_text() == "yesterday\n"
    assert recent.exists()
    assert not ancient.exists()


WRITER = """
import logging, sys
from pathlib import Path
from caxton.telemetry.canonical import Lines
from caxton.telemetry.rotation import Bounds, SharedFile
handler = SharedFile(Path(sys.argv[1]), "daily", 30, Bounds(file_bytes=2_000, look_seconds=0.0))
for n in range(300):
    handler.emit(logging.makeLogRecord({"msg": f"{sys.argv[2]}-{n:020}"}))
"""


def test_no_line_is_lost_when_several_processes_rotate_one_file_by_age_and_by_size(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    file.write_text("before\n")
    yesterday = time.time() - 86_400
    os.utime(file, (yesterday,) * 2)
    environ = {**os.environ, "PYTHONPATH": SOURCE}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), str(n)], env=environ) for n in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    parts = {part.name: part.read_text() for part in tmp_path.glob("node.log*")}
    lines = [line for text in parts.values() for line in text.splitlines()]
    assert sorted(lines) == sorted(["before", *(f"{w}-{n:020}" for w in range(4) for n in range(300))])
    assert parts[time.strftime("node.log.%Y-%m-%d", time.gmtime(yesterday))] == "before\n"
    whole = [
        len(text) for name, text in parts.items() if name[len("node.log.") :][:1].isdigit() and text != "before\n"
    ]
    assert len(whole) > 4 * 300 * 23 // (2_000 + 4 * 23) - 2, "a full file is put away"
    assert max(whole) <= 2_000 + 4 * 23


def test_old_files_go_when_they_are_too_many_bytes(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    handler = SharedFile(file, "daily", 30, Bounds(file_bytes=100, all_bytes=350, look_seconds=0.0))
    for number in range(50):
        handler.emit(logging.makeLogRecord({"msg": f"{number:099}"}))
    handler.close()
    kept = {part.read_text() for part in tmp_path.glob("node.log.[0-9]*")}
    assert kept == {f"{number:099}\n" for number in (46, 47, 48)}


def test_a_file_that_somebody_moved_is_made_anew_and_one_that_takes_nothing_is_replaced_by_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.log"
    handler = SharedFile(file, "never", 30, Bounds(look_seconds=0.0))
    file.rename(tmp_path / "moved")
    handler.emit(logging.makeLogRecord({"msg": "one"}))
    assert file.read_text() == "one\n"
    handler.close()
    full = SharedFile(Path("/dev/full"), "never", 30)
    full.emit(logging.makeLogRecord({"msg": "two"}))
    full.close()
    assert capfd.readouterr().err == "two\n"


def test_a_flood_of_lines_is_cut_and_counted_and_success_takes_no_room_from_failure(tmp_path: Path) -> None:
    set_up_logging(settings(tmp_path / "log"), "router")
    lines = Lines("caxton.test")
    for budget, count in ((lines.of_successes, 20_000), (lines.of_failures, 500)):
        for _ in range(count):
            if lines.wants(logging.INFO, budget):
                lines.write("x", logging.INFO, budget, {"wrong": budget is lines.of_failures, "left_out": None})
    found = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    good = [line for line in found if not line["wrong"]]
    assert len(found) - len(good) == 500
    assert 200 <= len(good) < 5_000
    assert len(good) + sum(line.get("more", 0) for line in good) + lines.of_successes.unsaid == 20_000
    assert not [line for line in found if "left_out" in line]


def test_lines_are_about_the_request_that_is_served_and_not_about_one_that_is_over(tmp_path: Path) -> None:
    set_up_logging(settings(tmp_path / "log"), "router")

    async def served() -> None:
        about = concerns("r1", "t1")
        event("while it is served", trace_id="of its own")
        later = asyncio.get_running_loop().create_task(started(begun := asyncio.Event(), over := asyncio.Event()))
        await begun.wait()
        about.end()
        over.set()
        await later

    async def started(begun: asyncio.Event, over: asyncio.Event) -> None:
        logging.getLogger("x").warning("by what it started")
        begun.set()
        await over.wait()
        event("afterwards")

    asyncio.run(served())
    event("elsewhere")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    ids = [(line.get("request_id"), line.get("trace_id")) for line in lines]
    assert ids == [("r1", "of its own"), ("r1", "t1"), (None, None), (None, None)]


@given(st.text())
def test_escaped_text_is_printable_and_unchanged_when_it_was(text: str) -> None:
    assert escape_controls(text).isprintable()
    assert not text.isprintable() or escape_controls(text) == text

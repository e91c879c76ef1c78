"""A backup of the state holds everything that was committed before it began, is whole, or is not there."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from backup.conftest import MakeDisk

from caxton.backup import back_up_state, find, list_backups, restore, verify
from caxton.backup.files import only_one
from caxton.backup.state import LOCK_FILE
from caxton.protocol.errors import CaxtonError, Code
from caxton.store import Changes, VersionRow
from support.backup_world import (
    World,
    agent,
    commit,
    contents,
    digest,
    fill,
    make_world,
    message,
    put_module,
)
from support.commits import accept, settle

APP = Path(__file__).resolve().parents[2] / "app"
BACK_UP = (
    "import sys; from pathlib import Path; from caxton.config import load; from caxton.backup import back_up_state\n"
    "config = load(Path(sys.argv[1]), {}).config\n"
    "print('go', flush=True); back_up_state(config, Path(config.backup.directory))"
)


def refusal(world: World, directory: Path | None = None) -> CaxtonError:
    with pytest.raises(CaxtonError) as caught:
        back_up_state(world.config, directory or world.backups)
    return caught.value


def names(directory: Path) -> set[str]:
    """Everything in the backup directory but its own books."""
    return {path.name for path in directory.iterdir()} - {LOCK_FILE, ".status.lock", "status.json"}


def restored(world: World, root: Path) -> tuple[frozenset[str], frozenset[str]]:
    """What the newest backup holds, put into an empty node."""
    other = make_world(root)
    restore(other.config, find(world.backups, "latest", "state"))
    return contents(other)


def test_everything_is_inside_and_nobody_else_may_read_it(world: World, tmp_path: Path) -> None:
    before = contents(world)
    mask = os.umask(0)
    try:
        made = back_up_state(world.config, world.backups)
    finally:
        os.umask(mask)
    assert names(world.backups) == {Path(made.file).name, Path(made.file).name.replace(".db.gz", ".manifest.json")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in world.backups.iterdir()} == {0o640}
    assert stat.S_IMODE(world.backups.stat().st_mode) == 0o750
    assert (made.rows["message"], made.rows["agent"], made.modules) == (70, 2, 2)
    assert verify(world.backups, Path(made.file)).code is None
    assert restored(world, tmp_path / "other") == before
    (listed,) = list_backups(world.backups)
    assert (listed.messages, listed.pending, listed.modules, listed.manifest) == (70, 20, 2, "ok")


def test_beside_a_writer_at_full_load_nothing_committed_before_is_missing(world: World, tmp_path: Path) -> None:
    store, stop, acknowledged = world.open(), threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            batch = [message() for _ in range(50)]
            commit(store, Changes(accept=[accept(one) for one in batch], settle=[settle(one) for one in batch[:40]]))
            acknowledged.extend(one.message_id for one in batch)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        for round_ in range(3):
            while len(acknowledged) < 1_000 * (round_ + 1):
                time.sleep(0.005)
            before, commits = set(acknowledged), store.writer.commits
            back_up_state(world.config, world.backups)
            assert store.writer.commits > commits  # the writer went on
            found, _ = restored(world, tmp_path / f"other{round_}")
            assert not before - found
    finally:
        stop.set()
        for writer in writers:
            writer.join()
        store.close()


def test_agents_that_come_and_go_during_backups(world: World) -> None:
    store, stop, refused = world.open(), threading.Event(), set[Code]()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            module = b"churn %d" % number * 1_000
            path = put_module(world, module)
            commit(store, Changes(agents=[agent("churn", module)]))
            commit(store, Changes(agents_removed=["churn"]))
            path.unlink()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(15):
            try:
                back_up_state(world.config, world.backups)
            except CaxtonError as error:  # three copies, and each time one was just gone
                refused.add(error.code)
    finally:
        stop.set()
        thread.join()
        store.close()
    assert refused <= {Code.BACKUP_FAILED}
    assert {verify(world.backups, world.backups / one.file).code for one in list_backups(world.backups)} == {None}


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_module_that_is_not_what_it_should_be(world: World, damage: str) -> None:
    path = next(world.config.paths.modules.iterdir())
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert refusal(world).code is Code.BACKUP_FAILED
    assert names(world.backups) == set()


def test_modules_of_jobs_that_have_not_ended_are_inside(world: World) -> None:
    from caxton.store import JobRow

    module = b"still deploying"
    put_module(world, module)
    store = world.open()
    order = {"config": {"name": "new"}, "sha256": digest(module), "agent_id": "x"}
    commit(store, Changes(jobs=[JobRow(job_id="1", kind="deploy", state="running", created_at=1.0, result=order)]))
    store.close()
    assert back_up_state(world.config, world.backups).modules == 3


def test_modules_of_kept_versions_are_inside_and_come_back(world: World) -> None:
    earlier = b"the module of an earlier version"
    put_module(world, earlier)
    store = world.open()
    row = msgspec.convert(msgspec.to_builtins(agent("one", earlier)), VersionRow)
    commit(store, Changes(versions=[row]))
    store.close()
    made = back_up_state(world.config, world.backups)
    assert made.modules == 3
    (world.config.paths.modules / digest(earlier)).unlink()
    restore(world.config, find(world.backups, "latest", "state"))
    assert (world.config.paths.modules / digest(earlier)).read_bytes() == earlier


def test_one_at_a_time(world: World) -> None:
    world.backups.mkdir()
    with only_one(world.backups, LOCK_FILE) as held:
        assert held
        assert refusal(world).code is Code.CONFLICT
    back_up_state(world.config, world.backups)


def test_two_in_one_second_have_two_names(world: World) -> None:
    assert len({back_up_state(world.config, world.backups).file for _ in range(3)}) == 3


def test_without_a_database_or_a_directory(world: World, tmp_path: Path) -> None:
    empty = make_world(tmp_path / "empty")
    assert refusal(empty).code is Code.BACKUP_FAILED
    (tmp_path / "file").touch()
    assert refusal(world, tmp_path / "file" / "backups").code is Code.BACKUP_FAILED


def test_a_database_that_is_damaged_gives_no_backup(world: World) -> None:
    back_up_state(world.config, world.backups)
    good = names(world.backups)
    with world.database.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 4))
    assert refusal(world).code in (Code.BACKUP_INVALID, Code.INTERNAL_ERROR)
    assert names(world.backups) == good


@pytest.mark.parametrize("share", [0.5, 1.05, 1.3])
def test_a_full_disk_leaves_nothing_half_written(world: World, small_disk: MakeDisk, share: float) -> None:
    fill(world, done=3_000, pending=0, agents=0)  # several megabytes that hardly compress
    disk = small_disk(int(world.database.stat().st_size * share))
    assert refusal(world, disk).code is Code.STORAGE_FULL
    assert names(disk) == set()


def test_beside_the_data_the_node_keeps_its_reserve(tmp_path: Path) -> None:
    greedy = make_world(tmp_path, messaging={"low_disk_bytes": "1000TB"})
    fill(greedy)
    assert refusal(greedy).code is Code.STORAGE_FULL
    assert names(greedy.backups) == set()


def test_killed_at_any_moment(world: World) -> None:
    """What has its final name holds; the next run removes the rest."""
    fill(world, done=2_000, pending=0)
    chosen = random.Random(3)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(APP)}
    killed = 0
    for _ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", BACK_UP, str(world.file)], stdout=subprocess.PIPE, env=environ
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"go\n"
        time.sleep(chosen.uniform(0, 0.25))
        child.send_signal(signal.SIGKILL)
        child.stdout.close()
        killed += child.wait() == -signal.SIGKILL
        for one in list_backups(world.backups):
            assert verify(world.backups, world.backups / one.file).code is None
    assert killed
    back_up_state(world.config, world.backups)
    kept = list_backups(world.backups)
    assert not [path for path in world.backups.iterdir() if path.name.startswith(".work")]
    assert {one.manifest for one in kept} <= {"ok", "missing"}  # missing: killed between the two names

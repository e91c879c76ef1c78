"""A restore ends in the old state or in the new one, whole; what it refuses it leaves as it was."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from backup.conftest import MakeDisk

from caxton.backup import Restored, back_up_state, restore
from caxton.backup.faults import Fault
from caxton.backup.restore import PAUSED_FILE
from caxton.backup.swap import BEFORE
from caxton.backup.verify import NO_MANIFEST
from caxton.protocol.errors import CaxtonError, Code
from caxton.store import datalock
from support.backup_world import World, contents, fill, fingerprint, make_world

APP = Path(__file__).resolve().parents[2] / "app"
RESTORE = (
    "import sys; from pathlib import Path; from caxton.config import load; from caxton.backup import restore\n"
    "print('go', flush=True); restore(load(Path(sys.argv[1]), {}).config, Path(sys.argv[2]), paused=True)"
)
Contents = tuple[frozenset[str], frozenset[str]]


@pytest.fixture
def backup(world: World) -> Path:
    """A backup, after which the node went on: rows that are only in its log, and other modules."""
    path = Path(back_up_state(world.config, world.backups).file)
    fill(world, agents=3)
    leave_log(world)
    return path


def leave_log(world: World) -> None:
    """Rows that are committed in the write-ahead log and nowhere else, as after kill -9."""
    script = (
        "import os, sys; from pathlib import Path; from caxton.config import load\n"
        "from support.backup_world import World, fill\n"
        "world = World(Path(sys.argv[1]), load(Path(sys.argv[2]), {}).config, Path(sys.argv[2]))\n"
        "fill(world, done=200, pending=0, agents=0, store=world.open()); os._exit(0)"
    )
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{APP}{os.pathsep}{APP.parent / 'tests'}"}
    subprocess.run([sys.executable, "-c", script, str(world.root), str(world.file)], check=True, env=environ)
    assert world.database.with_name("local.db-wal").stat().st_size > 50_000


def old_state(done: Restored, world: World, root: Path) -> Contents:
    """What was moved aside, opened as a node's data directory."""
    assert done.before is not None
    other = make_world(root)
    shutil.copytree(done.before, other.data)
    return contents(other)


def expected(backup: Path, root: Path) -> Contents:
    """What the backup holds: restored where nothing was."""
    other = make_world(root)
    restore(other.config, backup)
    return contents(other)


def refusal(world: World, backup: Path) -> CaxtonError:
    """The restore is refused and everything is as it was; that somebody tried is in the audit."""
    before = state(world)
    with pytest.raises(CaxtonError) as caught:
        restore(world.config, backup, paused=True)
    assert state(world) == before
    return caught.value


def state(world: World) -> dict[str, str]:
    """Every file of the node but its audit."""
    return {name: digest for name, digest in fingerprint(world.data).items() if not name.startswith("audit/")}


def repack(backup: Path, database: Path) -> None:
    backup.write_bytes(gzip.compress(database.read_bytes()))


def test_a_leftover_log_is_not_played_into_what_is_restored(world: World, backup: Path, tmp_path: Path) -> None:
    done = restore(world.config, backup)
    assert not [path for path in world.data.iterdir() if path.name.startswith("local.db-")]
    found = contents(world)
    assert found == expected(backup, tmp_path / "other")
    assert len(found[0]) == 70
    assert (done.rows["message"], len(done.agents), done.modules, done.paused) == (70, 2, 2, False)
    assert {(one.agent, one.count, len(one.message_ids)) for one in done.pending} == {("slow", 20, 20)}
    assert not (world.data / datalock.MAINTENANCE_FILE).exists()
    assert {path.name for path in world.config.paths.modules.iterdir()} == {
        path.name for path in (tmp_path / "other" / "data" / "modules").iterdir()
    }


def test_the_old_state_is_kept_whole(world: World, backup: Path, tmp_path: Path) -> None:
    reference = make_world(tmp_path / "reference")
    shutil.copytree(world.data, reference.data)
    before = contents(reference)
    done = restore(world.config, backup)
    assert old_state(done, world, tmp_path / "aside") == before
    again = restore(world.config, backup)
    assert again.before != done.before
    assert old_state(done, world, tmp_path / "aside2") == before


def test_onto_an_empty_machine(world: World, backup: Path, tmp_path: Path) -> None:
    other = make_world(tmp_path / "other")
    done = restore(other.config, backup, paused=True)
    assert (done.before, done.paused) == (None, True)
    assert (other.data / PAUSED_FILE).exists()
    assert stat.S_IMODE(other.data.stat().st_mode) == 0o750
    assert stat.S_IMODE(other.database.stat().st_mode) == 0o640


def test_as_root_everything_belongs_to_the_owner_of_the_directory(world: World, backup: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in (world.data, *world.data.rglob("*"), world.backups):
        os.chown(path, 12345, 12345)
    restore(world.config, backup, paused=True)
    back_up_state(world.config, world.backups)
    assert {path.stat().st_uid for path in (world.data, *world.data.rglob("*"))} == {12345}
    assert {path.stat().st_uid for path in world.backups.iterdir() if path.stat().st_mtime > time.time() - 5} <= {
        12345,
        0,  # of the backup that was there before
    }


def test_without_its_manifest(world: World, backup: Path) -> None:
    next(world.backups.glob("*.manifest.json")).unlink()
    assert restore(world.config, backup).notes == [NO_MANIFEST]


def test_while_a_node_runs(world: World, backup: Path) -> None:
    for name in (datalock.LOCK_FILE, datalock.SERVE_LOCK_FILE):
        with datalock.hold(world.data, name):
            error = refusal(world, backup)
            assert (error.code, error.details["pid"]) == (Code.CONFLICT, str(os.getpid()))


def test_while_somebody_reads_the_database(world: World, backup: Path) -> None:
    connection = sqlite3.connect(world.database)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM message").fetchone()
    before = connection.execute("SELECT count(*) FROM message").fetchone()
    with pytest.raises(CaxtonError) as caught:
        restore(world.config, backup)
    assert caught.value.code is Code.CONFLICT
    assert connection.execute("SELECT count(*) FROM message").fetchone() == before
    connection.close()
    assert len(contents(world)[0]) == 340
    restore(world.config, backup)


@pytest.mark.parametrize("kind", ["truncated", "flipped", "manifest", "other", "missing", "name"])
def test_what_does_not_hold_is_refused(world: World, backup: Path, kind: str) -> None:
    data, manifest = backup.read_bytes(), next(world.backups.glob("*.manifest.json"))
    if kind == "truncated":
        backup.write_bytes(data[: len(data) // 2])
    elif kind == "flipped":
        backup.write_bytes(data[:500] + bytes([data[500] ^ 4]) + data[501:])
    elif kind == "manifest":
        manifest.write_bytes(manifest.read_bytes().replace(b'"message": 70', b'"message": 71'))
    elif kind == "other":
        made = Path(back_up_state(world.config, world.root / "others").file)
        shutil.copy2(made.with_name(made.name.replace(".db.gz", ".manifest.json")), manifest)
    elif kind == "missing":
        backup.unlink()
    else:
        backup = backup.rename(backup.with_name("state.db.gz"))
    assert refusal(world, backup).code in (Code.BACKUP_INVALID, Code.RESTORE_FAILED)


def test_a_newer_schema(world: World, backup: Path, tmp_path: Path) -> None:
    database = tmp_path / "newer.db"
    database.write_bytes(gzip.decompress(backup.read_bytes()))
    connection = sqlite3.connect(database)
    connection.execute("UPDATE schema_info SET version = 99, compat = 99")
    connection.commit()
    connection.close()
    repack(backup, database)
    next(world.backups.glob("*.manifest.json")).unlink()
    assert refusal(world, backup).code is Code.SCHEMA_TOO_NEW


@pytest.mark.parametrize("share", [0.5, 1.05])
def test_a_full_disk(world: World, small_disk: MakeDisk, share: float) -> None:
    fill(world, done=3_000, pending=0, agents=100)
    backup = Path(back_up_state(world.config, world.backups).file)
    disk = small_disk(int(world.database.stat().st_size * share) + 300_000)
    other = make_world(disk / "node")
    fill(other)
    error = refusal(other, backup)
    assert error.code is Code.STORAGE_FULL


@pytest.mark.parametrize("damage", ["page", "header", "gone"])
def test_a_damaged_old_state_does_not_stop_it(world: World, backup: Path, tmp_path: Path, damage: str) -> None:
    """That is when it is needed; what was there is kept as it was."""
    log = world.database.with_name("local.db-wal")
    if damage == "gone":
        world.database.unlink()
    else:
        overwrite(world.database, 100 if damage == "page" else 0)
        if damage == "header":
            overwrite(log, 0)  # else SQLite takes the header from the log, and all is well
    before = log.read_bytes()
    done = restore(world.config, backup)
    assert contents(world) == expected(backup, tmp_path / "other")
    assert done.before is not None
    if damage != "page":
        assert (Path(done.before) / log.name).read_bytes() == before


def overwrite(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(os.urandom(3_000))


def test_a_node_that_journals_otherwise(tmp_path: Path) -> None:
    world = make_world(
        tmp_path, coordination={"journal_mode": "DELETE", "local_state_path": str(tmp_path / "d/l.db")}
    )
    fill(world)
    before = contents(world)
    backup = Path(back_up_state(world.config, world.backups).file)
    fill(world)
    restore(world.config, backup)
    assert contents(world) == before


def run_router(world: World) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "caxton.router", "--config", str(world.file)]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(APP)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def test_nothing_starts_beside_an_interrupted_restore(world: World, backup: Path) -> None:
    flag = world.data / datalock.MAINTENANCE_FILE
    flag.touch()
    done = run_router(world)
    assert (done.returncode, Code.NOT_READY in done.stderr) == (1, True)
    restore(world.config, backup)
    assert not flag.exists()


def test_killed_at_any_moment_it_is_the_old_state_or_the_new_one(world: World, backup: Path, tmp_path: Path) -> None:
    """And a second run ends it: nothing unfinished stays, and the old state is kept once."""
    reference = make_world(tmp_path / "reference")
    shutil.copytree(world.data, reference.data)
    pristine = tmp_path / "pristine"
    shutil.copytree(world.data, pristine)
    old, new = contents(reference), expected(backup, tmp_path / "other")
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(APP)}
    chosen, seen = random.Random(5), {"old": 0, "new": 0}
    longest = 0.2
    for _ in range(30):
        shutil.rmtree(world.data)
        shutil.copytree(pristine, world.data)
        child = subprocess.Popen(
            [sys.executable, "-c", RESTORE, str(world.file), str(backup)], stdout=subprocess.PIPE, env=environ
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"go\n"
        started = time.monotonic()
        try:
            child.wait(chosen.uniform(0, longest))
            longest = (time.monotonic() - started) * 1.1
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            longest *= 1.05  # it may be that this machine never gets that far
        child.stdout.close()
        found = contents(world)  # as a node that starts after the flag was removed by hand
        assert found in (old, new)
        seen["new" if found == new else "old"] += 1
        if found == new:
            assert (world.data / PAUSED_FILE).exists()
    assert all(seen.values()), seen
    shutil.rmtree(world.data)
    shutil.copytree(pristine, world.data)
    (world.data / datalock.MAINTENANCE_FILE).touch()
    restore(world.config, backup)
    assert contents(world) == new


def test_what_an_interrupted_run_put_aside_of_a_state_in_its_place_is_forgotten(world: World, backup: Path) -> None:
    aside = world.data / f"{BEFORE}20200101_000000"
    (aside / "modules").mkdir(parents=True)
    os.link(world.database, aside / "local.db")
    done = restore(world.config, backup)
    assert [str(path) for path in world.data.glob(f"{BEFORE}*")] == [done.before]
    assert done.before != str(aside)


def test_faults_have_names() -> None:
    assert {fault.value for fault in Fault} == {fault.name.lower() for fault in Fault}

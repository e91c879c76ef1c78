"""A file that is not exactly the backup that was made is recognised, and says what is wrong with it."""

from __future__ import annotations

import gzip
import random
import shutil
import sqlite3
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.backup import back_up_state, find, list_backups, verify
from caxton.backup.faults import Fault
from caxton.backup.verify import NO_MANIFEST, Verified
from caxton.protocol.errors import CaxtonError, Code
from support.backup_world import World, fill, make_world


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A backup that must not be changed."""
    world = make_world(tmp_path_factory.mktemp("made"))
    fill(world)
    return world, Path(back_up_state(world.config, world.backups).file)


@pytest.fixture
def copy(made: tuple[World, Path], tmp_path: Path) -> Path:
    """A copy of it, manifest included; changes are for the test to make."""
    return copied(made[1], tmp_path / "copy")


def copied(backup: Path, directory: Path) -> Path:
    directory.mkdir()
    for path in (backup, manifest_of(backup)):
        shutil.copy2(path, directory)
    return directory / backup.name


def manifest_of(backup: Path) -> Path:
    return backup.with_name(backup.name.replace(".db.gz", ".manifest.json"))


def check(backup: Path) -> Verified:
    return verify(backup.parent, backup)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.chmod(0o640)
    path.write_bytes(data)


def repack(backup: Path, database: Path) -> None:
    backup.write_bytes(gzip.compress(database.read_bytes()))


@pytest.fixture
def database(copy: Path, tmp_path: Path) -> Path:
    """The unpacked database of `copy`."""
    path = tmp_path / "database.db"
    path.write_bytes(gzip.decompress(copy.read_bytes()))
    return path


def test_the_original_holds(copy: Path) -> None:
    assert (check(copy).code, check(copy).notes) == (None, [])
    assert list_backups(copy.parent)[0].verified_at


@pytest.mark.parametrize("with_manifest", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated(copy: Path, share: float, with_manifest: bool) -> None:
    data = copy.read_bytes()
    copy.write_bytes(data[: int(len(data) * share)])
    if not with_manifest:
        manifest_of(copy).unlink()
    found = check(copy)
    assert (found.code, found.fault) == (Code.BACKUP_INVALID, Fault.TRUNCATED)
    assert list_backups(copy.parent)[0].fault == Fault.TRUNCATED


def test_the_last_bytes_are_missing_or_too_many(copy: Path) -> None:
    data = copy.read_bytes()
    manifest_of(copy).unlink()
    for cut in (1, 4, 8):
        copy.write_bytes(data[:-cut])
        assert check(copy).fault == Fault.TRUNCATED
    for more in (b"\0", data):
        copy.write_bytes(data + more)
        assert check(copy).fault == Fault.DAMAGED


def test_any_flipped_bit_of_the_file(copy: Path) -> None:
    bits, chosen = copy.stat().st_size * 8, random.Random(1)
    for bit in [0, bits - 1, *(chosen.randrange(bits) for _ in range(60))]:
        flip(copy, bit)
        assert check(copy).code == Code.BACKUP_INVALID, bit
        flip(copy, bit)
    assert check(copy).code is None


def test_any_flipped_bit_of_the_file_without_its_manifest(copy: Path, database: Path) -> None:
    """Only bits that carry nothing may differ (of the header, or between blocks): what is unpacked was packed."""
    manifest_of(copy).unlink()
    bits, chosen, harmless = copy.stat().st_size * 8, random.Random(2), 0
    for bit in [bits - 1, *range(0, 80, 7), *(chosen.randrange(80, bits) for _ in range(60))]:
        flip(copy, bit)
        if check(copy).code is None:
            harmless += bit >= 80
            assert zlib.decompress(copy.read_bytes(), 31) == database.read_bytes()
        flip(copy, bit)
    assert harmless <= 2


def test_any_flipped_bit_of_the_manifest(copy: Path) -> None:
    manifest = manifest_of(copy)
    bits, chosen = manifest.stat().st_size * 8, random.Random(3)
    for bit in [0, bits - 1, *(chosen.randrange(bits) for _ in range(60))]:
        flip(manifest, bit)
        found = check(copy)
        assert found.code in (Code.BACKUP_INVALID, Code.SCHEMA_TOO_NEW), bit
        flip(manifest, bit)
    assert check(copy).code is None


def test_flipped_bits_of_database_pages(copy: Path, database: Path) -> None:
    """Packed anew, as if the copy had been wrong already: the checksum beside it tells."""
    chosen = random.Random(4)
    for _ in range(20):
        bit = chosen.randrange(database.stat().st_size * 8)
        flip(database, bit)
        repack(copy, database)
        assert check(copy).code in (Code.BACKUP_INVALID, Code.SCHEMA_TOO_NEW)
        flip(database, bit)


def test_a_damaged_page_is_found_inside_too(copy: Path, database: Path) -> None:
    manifest_of(copy).unlink()
    pages = database.stat().st_size // 4096
    for page in (1, pages // 2, pages - 1):
        data = bytearray(database.read_bytes())
        data[page * 4096 : page * 4096 + 100] = b"\xa5" * 100
        damaged = database.with_name("damaged.db")
        damaged.write_bytes(data)
        repack(copy, damaged)
        assert check(copy).code == Code.BACKUP_INVALID


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM message WHERE seq = (SELECT min(seq) FROM message)", Fault.ROWS),
        ("UPDATE ledger SET done = done + 1, gone_done = gone_done + 1", Fault.ROWS),
        ("DELETE FROM backup_modules", Fault.MODULES),
        ("UPDATE backup_modules SET content = content || x'00'", Fault.MODULES),
        ("DELETE FROM backup_manifest", Fault.MANIFEST),
        ("DROP TABLE backup_manifest", Fault.MANIFEST),
        ("UPDATE backup_manifest SET document = '{}'", Fault.MANIFEST),
    ],
)
def test_contents_that_are_not_what_the_manifest_inside_says(
    copy: Path, database: Path, statement: str, fault: Fault
) -> None:
    connection = sqlite3.connect(database)
    connection.execute(statement)
    connection.commit()
    connection.close()
    repack(copy, database)
    manifest_of(copy).unlink()
    assert check(copy).fault == fault


def test_a_newer_schema(copy: Path, database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("UPDATE schema_info SET version = 99, compat = 99")
    connection.commit()
    connection.close()
    repack(copy, database)
    manifest_of(copy).unlink()
    found = check(copy)
    assert (found.code, found.fault) == (Code.SCHEMA_TOO_NEW, Fault.SCHEMA)


def test_a_manifest_of_a_newer_format(copy: Path) -> None:
    manifest = manifest_of(copy)
    manifest.write_bytes(manifest.read_bytes().replace(b'"format": 1', b'"format": 2, "more": true'))
    assert check(copy).code == Code.SCHEMA_TOO_NEW


def test_without_its_manifest_the_one_inside_holds(copy: Path) -> None:
    manifest_of(copy).unlink()
    assert (check(copy).code, check(copy).notes) == (None, [NO_MANIFEST])


def test_the_manifest_of_another_backup(made: tuple[World, Path], copy: Path) -> None:
    world = made[0]
    other = Path(back_up_state(world.config, world.root / "others").file)
    shutil.copy2(manifest_of(other), manifest_of(copy))
    assert check(copy).fault == Fault.CHECKSUM


def test_files_that_are_no_backups_of_ours(tmp_path: Path) -> None:
    """As the guide's script makes them: no manifest, no modules."""
    plain = tmp_path / "plain.db"
    connection = sqlite3.connect(plain)
    connection.execute("CREATE TABLE message (x)")
    connection.commit()
    connection.close()
    backup = tmp_path / "state_20260101_000000.db.gz"
    repack(backup, plain)
    assert check(backup).fault == Fault.MANIFEST
    backup.write_bytes(gzip.compress(b"no database"))
    assert check(backup).fault == Fault.INTEGRITY
    backup.write_bytes(b"no gzip")
    assert check(backup).fault == Fault.DAMAGED
    assert check(backup.rename(tmp_path / "state.db.gz")).fault == Fault.NAME
    with pytest.raises(CaxtonError) as caught:
        find(tmp_path / "nowhere", "latest")
    assert caught.value.details["fault"] == Fault.MISSING


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_anything_at_all_is_refused_in_order(made: tuple[World, Path], data: bytes) -> None:
    backup = made[0].root / "state_20260101_000000.db.gz"
    backup.write_bytes(data)
    assert verify(made[0].backups, backup).code == Code.BACKUP_INVALID

"""Archives that somebody else made: nothing in one gets out of its place, fills the disk or the memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard
from backup.conftest import MakeDisk, small_disk  # noqa: F401  a fixture

from caxton.backup import back_up_state, layout, restore
from caxton.backup.configuration import back_up_configuration
from caxton.backup.manifest import ConfigFile, ConfigManifest, FileSums, origin, parse, render
from caxton.backup.verify import verify
from caxton.protocol.errors import CaxtonError, Code
from caxton.protocol.memory_parts import PART_BYTES, merged
from support.backup_world import World, fill, fingerprint, make_world

NAME = "config_20260101_000000.tar.gz"
LOOPBACK = {"networking": {"metrics_address": "127.0.0.1:9090"}}
BOMB_BYTES = 256 * 1024 * 1024


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = make_world(tmp_path, **LOOPBACK)
    fill(made)
    made.backups.mkdir(exist_ok=True)
    return made


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o640, size: int = 4
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    info.size = size if kind == tarfile.REGTYPE else 0
    return info


def plant(world: World, members: list[tarfile.TarInfo], *, named: str = "production.toml") -> Path:
    """An archive of the configuration with a manifest that fits it in every way that an attacker can make fit."""
    path = world.backups / NAME
    with tarfile.open(path, "w:gz") as archive:
        for one in members:
            archive.addfile(one, io.BytesIO(b"[a]\n" * (one.size // 4 + 1)))
    return describe(path, [ConfigFile(named, 4, hashlib.sha256(b"[a]\n").hexdigest())])


def describe(path: Path, files: list[ConfigFile]) -> Path:
    data = path.read_bytes()
    beside = path.with_name(path.name.removesuffix(".tar.gz") + layout.MANIFEST)
    sums = FileSums(len(data), hashlib.sha256(data).hexdigest())
    beside.write_bytes(render(ConfigManifest(origin=origin(0), encrypted=False, files=files, left_out=[], file=sums)))
    return path


PLAIN = "config/production.toml"
MEMBERS: dict[str, list[tarfile.TarInfo]] = {
    "parent": [member("config/../production.toml")],
    "parent first": [member("../production.toml")],
    "absolute": [member("/production.toml")],
    "absolute deep": [member("//etc/production.toml")],
    "dot": [member("config/./production.toml")],
    "symbolic link": [member(PLAIN, tarfile.SYMTYPE, "/etc/shadow")],
    "link and file": [member("config/x", tarfile.SYMTYPE, "/etc"), member(PLAIN)],
    "hard link": [member(PLAIN), member("config/x", tarfile.LNKTYPE, PLAIN)],
    "device": [member(PLAIN, tarfile.CHRTYPE)],
    "block device": [member(PLAIN, tarfile.BLKTYPE)],
    "pipe": [member(PLAIN, tarfile.FIFOTYPE)],
    "directory": [member("config/x", tarfile.DIRTYPE), member(PLAIN)],
    "setuid": [member(PLAIN, mode=0o4755)],
    "setgid": [member(PLAIN, mode=0o2755)],
    "twice": [member(PLAIN), member(PLAIN)],
    "twice by two ways": [member(PLAIN), member("other/production.toml")],
    "another case": [member(PLAIN), member("config/PRODUCTION.TOML")],
    "longer": [member(PLAIN, size=8)],
    "none": [],
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_member_that_is_no_plain_file_in_its_place(world: World, kind: str) -> None:
    path = plant(world, MEMBERS[kind])
    before = fingerprint(world.root)
    assert verify(world.backups, path).code == "BACKUP_INVALID"
    after = fingerprint(world.root)
    notes = {"backups/status.json", "backups/.status.lock"}
    assert set(after.keys() ^ before.keys()) <= notes


def test_the_same_with_a_plain_file_holds(world: World) -> None:
    assert verify(world.backups, plant(world, [member(PLAIN)])).code is None
    made = back_up_configuration(world.config, world.file, world.backups)
    assert verify(world.backups, Path(made.file)).code is None


def test_a_huge_member_and_a_huge_header_are_not_read(world: World) -> None:
    """Each would be a quarter of a gigabyte in memory: the check runs in a process that has less."""
    header = member("config/" + "x" * 200)
    header.pax_headers = {"comment": "x" * 1000}
    pax = tarfile.TarInfo("././@PaxHeader")
    pax.type, pax.size = tarfile.XHDTYPE, BOMB_BYTES
    for info in (member(PLAIN, size=BOMB_BYTES), pax):
        path = world.backups / NAME
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(info.tobuf(tarfile.PAX_FORMAT))
            for _ in range(BOMB_BYTES // (1 << 20)):
                file.write(bytes(1 << 20))
        for size in (4, BOMB_BYTES):
            describe(path, [ConfigFile("production.toml", size, hashlib.sha256(b"[a]\n").hexdigest())])
            assert (
                in_little_memory(f"verify(Path({str(world.backups)!r}), Path({str(path)!r})).code")
                == "BACKUP_INVALID"
            )


def in_little_memory(expression: str) -> str:
    """What an expression prints in a process of its own that may hold 200 MB."""
    program = (
        "import resource; from pathlib import Path; from caxton.backup.verify import verify\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))\n"
        f"print({expression})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bomb(size: int) -> bytes:
    """A gzip stream that becomes `size` bytes and says at its end that it is small."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    return data[:-4] + (4096).to_bytes(4, "little")


def test_a_state_that_unpacks_to_more_than_its_manifest_says(world: World) -> None:
    path = Path(back_up_state(world.config, world.backups).file)
    path.write_bytes(bomb(BOMB_BYTES))
    found = verify(world.backups, path)
    assert (found.code, found.fault) == ("BACKUP_INVALID", "checksum")
    assert not list(world.backups.glob(".work-*"))


def test_a_state_that_would_fill_the_disk(world: World, small_disk: MakeDisk) -> None:  # noqa: F811
    """Without a manifest nobody says how much it becomes: what must stay free stays free."""
    disk = small_disk(300 << 20)
    path = disk / "state_20260101_000000.db.gz"
    path.write_bytes(bomb(256 << 20))
    for attack in (lambda: verify(disk, path, reserve=100 << 20), lambda: restore_in(world, disk, path)):
        with pytest.raises(CaxtonError) as caught:
            attack()
        assert caught.value.code in (Code.STORAGE_FULL, Code.BACKUP_INVALID)
        assert not list(disk.glob("**/.work-*"))


def restore_in(world: World, disk: Path, path: Path) -> None:
    elsewhere = make_world(disk / "node", **LOOPBACK)
    restore(elsewhere.config, path, reserve=100 << 20)


def test_a_manifest_that_names_a_module_by_a_path(world: World) -> None:
    """The names of modules are their checksums: another name is a module that is not there."""
    path = Path(back_up_state(world.config, world.backups).file)
    beside = path.with_name(path.name.removesuffix(".db.gz") + layout.MANIFEST)
    manifest = parse(beside.read_bytes(), beside)
    modules = [msgspec.structs.replace(one, sha256="../../../planted") for one in manifest.modules]  # type: ignore[union-attr]
    beside.write_bytes(render(msgspec.structs.replace(manifest, modules=modules)))  # type: ignore[call-arg]
    with pytest.raises(CaxtonError) as caught:
        restore(world.config, path)
    assert caught.value.code is Code.BACKUP_INVALID
    assert not list(world.root.rglob("planted"))


def frame(size: int, claimed: int | None) -> bytes:
    """A zstd frame of `size` zeros that claims another size, or none."""
    data = zstandard.ZstdCompressor(write_content_size=claimed is not None).compress(bytes(size))
    if claimed is None:
        return data
    return data.replace(size.to_bytes(4, "little"), claimed.to_bytes(4, "little"), 1)


@pytest.mark.parametrize(
    "make",
    [lambda: frame(1 << 28, None), lambda: frame(1 << 28, 1 << 28), lambda: frame(1 << 20, 0xF0000000)],
    ids=["no claim", "large", "larger than it is"],
)
def test_a_part_of_a_memory_is_never_larger_than_a_part(make: Callable[[], bytes]) -> None:
    try:
        assert len(merged(0, make(), [])) <= PART_BYTES
    except (zstandard.ZstdError, CaxtonError):
        pass

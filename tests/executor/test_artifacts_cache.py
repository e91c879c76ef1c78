"""The cache of artifacts: what is not exactly ours is never handed out."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caxton.executor.artifacts import ArtifactCache
from caxton.protocol.agents import ModuleInfo, Profile, Shape

SHA = "a" * 64
OTHER = "b" * 64
CODE = bytes(range(256)) * 64


def info(sha256: str = SHA) -> ModuleInfo:
    return ModuleInfo(sha256, 10, Shape.COMMAND, ["_start"], [], 1, 0, None, 0.1)


def opened(directory: Path, **settings: int | str) -> ArtifactCache:
    cache = ArtifactCache(directory, **{"engine_key": "key", **settings})  # type: ignore[arg-type] # mixed on purpose
    cache.prepare()
    return cache


def store(cache: ArtifactCache, sha256: str = SHA, code: bytes = CODE) -> None:
    fd = os.memfd_create("artifact", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, code)
    asyncio.run(cache.store(Profile.STANDARD, fd, info(sha256)))


def load(cache: ArtifactCache, sha256: str = SHA, profile: Profile = Profile.STANDARD) -> bytes | None:
    loaded = asyncio.run(cache.load(sha256, profile))
    return os.pread(loaded.fd, 1 << 20, 0) if loaded else None


def reopened(cache: ArtifactCache, **settings: int | str) -> ArtifactCache:
    cache.close()
    return opened(cache.directory, **settings)


def only_file(cache: ArtifactCache) -> Path:
    (path,) = cache.directory.glob("*.artifact")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ArtifactCache]:
    cache = opened(tmp_path / "artifacts")
    store(cache)
    yield cache
    cache.close()


def test_what_was_stored_comes_back_after_a_restart(cache: ArtifactCache) -> None:
    assert load(cache) == CODE
    fresh = reopened(cache)
    assert load(fresh) == CODE
    fresh.close()


def test_the_memfd_is_sealed_and_reused(cache: ArtifactCache) -> None:
    fresh = reopened(cache)
    first = asyncio.run(fresh.load(SHA, Profile.STANDARD))
    second = asyncio.run(fresh.load(SHA, Profile.STANDARD))
    assert first
    assert second
    assert first.fd == second.fd
    with pytest.raises(PermissionError):
        os.write(first.fd, b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(first.fd, 0)
    fresh.close()


def test_files_are_for_the_owner_only(cache: ArtifactCache) -> None:
    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(cache).stat().st_mode) == 0o600
    assert stat.S_IMODE((cache.directory / "key").stat().st_mode) == 0o600


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 1 << 20), change=st.integers(1, 255))
def test_one_changed_byte_anywhere_is_enough(
    tmp_path_factory: pytest.TempPathFactory, position: int, change: int
) -> None:
    cache = opened(tmp_path_factory.mktemp("c"))
    store(cache)
    cache.close()
    path = only_file(cache)
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= change
    path.write_bytes(data)
    fresh = opened(cache.directory)
    assert load(fresh) is None
    assert not path.exists()
    fresh.close()


@pytest.mark.parametrize("keep", [0, 10, 36, 200, -1])
def test_a_truncated_file_is_deleted(cache: ArtifactCache, keep: int) -> None:
    path = only_file(cache)
    path.write_bytes(path.read_bytes()[:keep])
    fresh = reopened(cache)
    assert load(fresh) is None
    assert not path.exists()
    fresh.close()


def test_a_file_under_another_name_is_refused(cache: ArtifactCache) -> None:
    path = only_file(cache)
    for name in (path.name.replace(SHA, OTHER), path.name.replace("standard", "deterministic")):
        shutil.copy(path, path.with_name(name))
    fresh = reopened(cache)
    assert load(fresh, OTHER) is None
    assert load(fresh, SHA, Profile.DETERMINISTIC) is None
    assert load(fresh) == CODE
    fresh.close()


def test_a_file_of_another_node_is_refused(cache: ArtifactCache, tmp_path: Path) -> None:
    foreign = opened(tmp_path / "foreign")
    shutil.copy(only_file(cache), foreign.directory)
    assert load(foreign) is None
    foreign.close()


def test_a_link_is_not_followed(cache: ArtifactCache, tmp_path: Path) -> None:
    path = only_file(cache)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    fresh = reopened(cache)
    assert load(fresh) is None
    fresh.close()


@pytest.mark.parametrize("damage", ["lost", "short", "readable"])
def test_a_key_that_cannot_be_trusted_is_replaced(cache: ArtifactCache, damage: str) -> None:
    key = cache.directory / "key"
    before = key.read_bytes()
    if damage == "lost":
        key.unlink()
    elif damage == "short":
        key.write_bytes(before[:31])
    else:
        key.chmod(0o644)
    fresh = reopened(cache)
    assert load(fresh) is None
    assert key.read_bytes() != before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    fresh.close()


def test_another_engine_does_not_see_it(cache: ArtifactCache) -> None:
    fresh = reopened(cache, engine_key="newer")
    assert load(fresh) is None
    fresh.close()


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = opened(tmp_path / "artifacts", limit_bytes=3 * len(CODE))
    for number, sha256 in enumerate((SHA, OTHER)):
        store(cache, sha256)
        path = next(cache.directory.glob(f"{sha256}*"))
        os.utime(path, (1000 + number, 1000 + number))
    cache = reopened(cache, limit_bytes=3 * len(CODE))
    assert load(cache, SHA) == CODE  # used now: OTHER is the older one
    store(cache, "c" * 64)
    names = {path.name[:64] for path in cache.directory.glob("*.artifact")}
    assert names == {SHA, "c" * 64}
    cache.close()


def test_open_memfds_are_bounded(tmp_path: Path) -> None:
    cache = opened(tmp_path / "artifacts", open_limit=2)
    before = len(os.listdir("/proc/self/fd"))
    for letter in "abcdef":
        store(cache, letter * 64)
    assert len(os.listdir("/proc/self/fd")) == before + 2
    assert load(cache, "a" * 64) == CODE
    cache.close()


def test_half_written_files_are_swept(cache: ArtifactCache) -> None:
    leftover = cache.directory / "x.new"
    leftover.write_bytes(b"half")
    fresh = reopened(cache)
    assert not leftover.exists()
    fresh.close()


def test_a_directory_that_cannot_be_written_costs_only_the_next_compilation(cache: ArtifactCache) -> None:
    shutil.rmtree(cache.directory)
    store(cache, OTHER)
    assert load(cache, OTHER) == CODE

"""What is old goes, but never so much that too few good backups stay."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from caxton.backup import back_up_state, layout, list_backups
from caxton.backup.layout import Entry
from caxton.backup.retention import DAY_SECONDS, apply, expired, holds
from caxton.config import Backup
from support.backup_world import World

NOW = 1_790_000_000.0
BACKUPS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=15)


def entry(index: int, days: float) -> Entry:
    return Entry(Path(f"{index}"), layout.STATE, NOW - days * DAY_SECONDS)


@given(BACKUPS, st.integers(1, 30), st.integers(0, 6))
def test_never_fewer_than_so_many_good_ones(ages: list[tuple[int, bool]], days: int, keep: int) -> None:
    ordered = sorted((age, good, index) for index, (age, good) in enumerate(ages))
    entries = [entry(index, age) for age, _, index in ordered]
    good = {Path(f"{index}") for _, is_good, index in ordered if is_good}

    def holds_(one: Entry) -> bool:
        return one.path in good

    gone = expired(entries, NOW, days, keep, holds_)
    assert all(one.taken_at < NOW - days * DAY_SECONDS for one in gone)
    kept = [one for one in entries if one not in gone]
    assert len([one for one in kept if holds_(one)]) >= min(keep, len(good)) if gone else True
    assert not gone or len([one for one in kept if holds_(one)]) >= keep
    assert expired(kept, NOW, days, keep, holds_) == []
    if len(good) >= keep:  # nothing old stays but what must
        old = [one for one in kept if one.taken_at < NOW - days * DAY_SECONDS]
        assert all(holds_(one) for one in old)
        assert len(old) <= keep


def aged(world: World, days: int) -> Path:
    """A good backup, as old as that."""
    patient = dataclasses.replace(world.config, backup=Backup(state_retention_days=3650))
    path = Path(back_up_state(patient, world.backups).file)
    old = path.with_name(f"{layout.stem(layout.STATE, time.time() - days * DAY_SECONDS)}.db.gz")
    manifest = path.with_name(path.name.replace(".db.gz", layout.MANIFEST))
    manifest.rename(old.with_name(old.name.replace(".db.gz", layout.MANIFEST)))
    return path.rename(old)


def policy(keep: int) -> Backup:
    return Backup(state_retention_days=7, keep_at_least=keep)


def test_old_ones_go_with_their_manifests(world: World) -> None:
    for days in (30, 20, 10, 1):
        aged(world, days)
    assert len(apply(world.backups, layout.STATE, policy(2))) == 2
    assert len(list(world.backups.glob("*.db.gz"))) == len(list(world.backups.glob("*.manifest.json"))) == 2


def test_a_damaged_one_does_not_count(world: World) -> None:
    """Seven bad days must not cost the last good backup."""
    good = aged(world, 30)
    for days in (3, 2, 1):
        bad = aged(world, days)
        bad.write_bytes(bad.read_bytes()[:-1] + b"\x55")
        entry_of_bad = layout.parse(bad)
        assert entry_of_bad is not None
        assert not holds(entry_of_bad)
    assert apply(world.backups, layout.STATE, policy(1)) == []
    assert good.exists()


def test_a_backup_applies_it(world: World) -> None:
    old = [aged(world, days) for days in (50, 40, 30, 20)]
    made = back_up_state(world.config, world.backups)  # keep_at_least is 3
    assert set(made.removed) == {old[0].name, old[1].name}
    assert len(list_backups(world.backups)) == 3


def test_files_of_others_and_orphans(world: World) -> None:
    world.backups.mkdir()
    foreign = [world.backups / name for name in ("state.db.gz", "notes.txt", "state_20200230_000000.db.gz")]
    for path in foreign:
        path.touch()
        os.utime(path, (0, 0))
    orphan = world.backups / "state_20200101_000000.manifest.json"
    orphan.touch()
    apply(world.backups, layout.STATE, policy(0))
    assert all(path.exists() for path in foreign)
    assert not orphan.exists()

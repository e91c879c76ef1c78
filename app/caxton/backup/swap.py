"""Putting an unpacked state in the place of the old one, so that a crash leaves the one or the other.

Owns the order of links, renames and syncs in the data directory. Must never remove the old state: it goes to
`before-restore-<time>`.

One rename decides: that of the new database over the old one. Before it, whatever the new state needs besides
is there already: modules are content-addressed, so those of both states may lie side by side (the router removes
what nobody needs). The old log is folded into the old database first; a log that is left beside a new
database would be played into it.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from caxton.backup import files
from caxton.config import Paths
from caxton.store import fold_log, sync_directory

BEFORE: Final = "before-restore-"
_LOGS: Final = ("-wal", "-shm", "-journal")


def swap(paths: Paths, database: Path, modules: Path) -> Path | None:
    """Makes the unpacked `database` and `modules` the state in `paths`; where the old one is, None if there was none.

    The caller holds the locks and the maintenance flag. What is handed over is on the same file system.
    """
    _sync_tree(modules)
    files.sync(database)
    before, whole = _put_aside(paths)
    files.make_directory(paths.modules)
    for module in modules.iterdir():
        module.rename(paths.modules / module.name)
    sync_directory(paths.modules)
    if not whole:  # there is none, or it is damaged: its log is kept in `before`, and must not stay here
        _remove_logs(paths.database)
        sync_directory(paths.data)
    database.rename(paths.database)
    sync_directory(paths.data)
    _remove_logs(paths.database)
    return before


def forget_unused(data: Path, database: Path) -> None:
    """Removes what an interrupted swap put aside of a state that is still in its place."""
    for path in data.glob(f"{BEFORE}*"):
        kept = path / database.name
        if kept.is_file() and database.is_file() and kept.samefile(database):
            shutil.rmtree(path)


def keep_only(modules: Path, needed: set[str]) -> None:
    """Removes modules of the old state from the new one; they are in `before-restore-<time>`.

    The router would do it too, so what cannot be removed now is no failure.
    """
    with suppress(OSError):
        for path in modules.iterdir():
            if path.name not in needed:
                path.unlink()


def _put_aside(paths: Paths) -> tuple[Path | None, bool]:
    """Links to everything of the old state, in a directory that has its name once all is in it.

    True: the old database is whole in one file now. A log that could not be folded is kept beside it, as it was:
    SQLite removes the log of a database that it cannot read.
    """
    found = [path for path in _database_files(paths.database) if path.exists()]
    old_modules = sorted(paths.modules.iterdir()) if paths.modules.is_dir() else []
    if not found and not old_modules:
        return None, False
    with files.work_directory(paths.data) as work:
        aside = work / "before"
        (aside / paths.modules.name).mkdir(parents=True)
        logs = [path for path in found if path != paths.database]
        for path in logs:
            _link(path, aside / path.name)
        whole = fold_log(paths.database)
        for path in logs if whole else []:
            (aside / path.name).unlink()
        if paths.database.exists():
            _link(paths.database, aside / paths.database.name)
        for path in old_modules:
            _link(path, aside / paths.modules.name / path.name)
        aside.chmod(files.DIRECTORY_MODE)
        (aside / paths.modules.name).chmod(files.DIRECTORY_MODE)
        files.give_to_owner(aside, paths.data)
        _sync_tree(aside)
        before = _free_name(paths.data)
        aside.rename(before)
    sync_directory(paths.data)
    return before, whole


def _free_name(data: Path) -> Path:
    stamp = time.time()
    while (path := data / f"{BEFORE}{time.strftime('%Y%m%d_%H%M%S', time.gmtime(stamp))}").exists():
        stamp += 1
    return path


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except PermissionError:  # a file system without links
        shutil.copy2(source, target)
        files.sync(target)


def _database_files(database: Path) -> list[Path]:
    return [database, *(database.with_name(database.name + suffix) for suffix in _LOGS)]


def _remove_logs(database: Path) -> None:
    for path in _database_files(database)[1:]:
        path.unlink(missing_ok=True)


def _sync_tree(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_dir():
            sync_directory(path)
    sync_directory(directory)

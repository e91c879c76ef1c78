"""Renaming, hard links and symbolic links.

Owns the operations on two names. Must never let a name cross from one grant to another, nor make a
symbolic link that could lead out of its directory for a program of the host that follows it.
"""

from __future__ import annotations

import os
import stat

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import U32, Errno, Refused, Rights
from caxton.executor.wasi.descriptors import Directory
from caxton.executor.wasi.paths import (
    follows,
    is_directory,
    located,
    parent_of,
    read_path,
    status,
    status_or_none,
)
from caxton.executor.wasi.state import WasiState


def _same_root(source: Directory, target: Directory) -> None:
    if source.root is not target.root:
        raise Refused(Errno.EXDEV)


def path_rename(
    state: WasiState, memory: GuestMemory, fd: int, old: int, old_length: int, new_fd: int, new: int, new_length: int
) -> None:
    """Renames within one grant; what the new name meant before is replaced."""
    source = state.table.directory(fd, Rights.PATH_RENAME_SOURCE)
    target = state.table.directory(new_fd, Rights.PATH_RENAME_TARGET)
    _same_root(source, target)
    old_path, new_path = read_path(memory, old, old_length), read_path(memory, new, new_length)
    with parent_of(source, old_path) as (parent, name, slash), parent_of(target, new_path) as place:
        new_parent, new_name, new_slash = place
        moved, replaced = status(parent, name), status_or_none(new_parent, new_name)
        if (slash or new_slash) and not is_directory(moved):
            raise Refused(Errno.ENOTDIR)
        os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent)
    quota = source.root.quota
    if quota is not None and replaced is not None and replaced.st_ino != moved.st_ino:
        quota.unlinked(replaced)


def path_link(
    state: WasiState, memory: GuestMemory, old_fd: int, lookup_flags: int, old: int, old_length: int,
    new_fd: int, new: int, new_length: int,
) -> None:  # fmt: skip
    """Gives a regular file or a link a second name within one grant. Following a link is not offered."""
    source = state.table.directory(old_fd, Rights.PATH_LINK_SOURCE)
    target = state.table.directory(new_fd, Rights.PATH_LINK_TARGET)
    _same_root(source, target)
    old_path, new_path = read_path(memory, old, old_length), read_path(memory, new, new_length)
    quota = target.root.quota
    if quota is not None:
        quota.room_for_name()
    with parent_of(source, old_path) as (parent, name, slash), parent_of(target, new_path) as place:
        new_parent, new_name, new_slash = place
        _linkable(status(parent, name), follows(lookup_flags), slash)
        if new_slash:
            raise Refused(Errno.ENOENT)
        os.link(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent, follow_symlinks=False)
    if quota is not None:
        quota.names += 1


def _linkable(found: os.stat_result, follow: bool, slash: bool) -> None:
    if stat.S_ISLNK(found.st_mode) and follow:
        raise Refused(Errno.EINVAL)
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise Refused(Errno.EPERM)
    if slash:
        raise Refused(Errno.ENOTDIR)


def path_symlink(
    state: WasiState, memory: GuestMemory, old: int, old_length: int, fd: int, new: int, new_length: int
) -> None:
    """Makes a link that can only lead downwards.

    An absolute target or one with `..` is EPERM: `..` that stays inside today leads out after a rename.
    """
    directory = state.table.directory(fd, Rights.PATH_SYMLINK)
    content = read_path(memory, old, old_length)
    path = read_path(memory, new, new_length)
    if content.startswith(b"/") or b".." in content.split(b"/"):
        raise Refused(Errno.EPERM)
    quota = directory.root.quota
    if quota is not None:
        quota.room_for_name()
        quota.room_for(len(content))
    with parent_of(directory, path) as (parent, name, slash):
        if slash:
            raise Refused(Errno.EEXIST if status_or_none(parent, name) else Errno.ENOENT)
        os.symlink(content, name, dir_fd=parent)
    if quota is not None:
        quota.names += 1
        quota.resized(0, len(content))


def path_readlink(
    state: WasiState, memory: GuestMemory, fd: int, pointer: int, length: int, buffer: int, room: int, result: int
) -> None:
    """A link's target, cut to the buffer; an absolute one would tell about the host and is EPERM."""
    directory = state.table.directory(fd, Rights.PATH_READLINK)
    memory.check(buffer, room)
    memory.check(result, U32.size)
    with located(directory, read_path(memory, pointer, length), follow=False) as descriptor:
        if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
            raise Refused(Errno.EINVAL)
        content = os.readlink(b"", dir_fd=descriptor)
    if content.startswith(b"/"):
        raise Refused(Errno.EPERM)
    memory.write(buffer, content[:room])
    memory.write(result, U32.pack(min(len(content), room)))

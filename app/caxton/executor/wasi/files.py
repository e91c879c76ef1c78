"""Reading, writing, seeking and sizing of open descriptors (`fd_*`).

Owns moving bytes between guest memory, standard streams and regular files, within the quota. Must never
resolve a path.
"""

from __future__ import annotations

import os
from typing import Final

from caxton.executor.guest import GuestMemory
from caxton.executor.wasi.abi import ADVICE_LAST, I64_MAX, U32, U64, WHENCE_LAST, Errno, FdFlags, Refused, Rights
from caxton.executor.wasi.descriptors import Directory, File, Input, Output, close_host
from caxton.executor.wasi.state import WasiState
from caxton.executor.wasi.streams import read_input, write_output
from caxton.executor.wasi.vectors import MAX_TRANSFER_BYTES, Vectors, gather, scatter, total_bytes, vectors

_WHENCE: Final = (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END)


def fd_read(state: WasiState, memory: GuestMemory, fd: int, iovs: int, count: int, result: int) -> None:
    """Reads on from the descriptor's position."""
    entries = vectors(memory, iovs, count)
    memory.check(result, U32.size)
    descriptor = state.table.get(fd)
    if isinstance(descriptor, Input) and descriptor.rights & Rights.FD_READ:
        length = read_input(descriptor, memory, entries)
    elif isinstance(descriptor, Input | Output):
        raise Refused(Errno.EBADF)
    else:
        file = state.table.file(fd, Rights.FD_READ)
        data = os.read(file.host, _bounded(entries))
        scatter(memory, entries, data)
        length = len(data)
    memory.write(result, U32.pack(length))


def fd_write(state: WasiState, memory: GuestMemory, fd: int, iovs: int, count: int, result: int) -> None:
    """Writes at the descriptor's position, or at the end with APPEND."""
    entries = vectors(memory, iovs, count)
    memory.check(result, U32.size)
    descriptor = state.table.get(fd)
    if isinstance(descriptor, Output) and descriptor.rights & Rights.FD_WRITE:
        length = write_output(state, descriptor, memory, entries)
    elif isinstance(descriptor, Input | Output):
        raise Refused(Errno.EBADF)
    else:
        length = _write(state.table.file(fd, Rights.FD_WRITE), memory, entries, None)
    memory.write(result, U32.pack(length))


def fd_pread(state: WasiState, memory: GuestMemory, fd: int, iovs: int, count: int, offset: int, result: int) -> None:
    """Reads at `offset`; the position stays."""
    entries = vectors(memory, iovs, count)
    memory.check(result, U32.size)
    file = state.table.file(fd, Rights.FD_READ)
    data = os.pread(file.host, _bounded(entries), _offset(offset))
    scatter(memory, entries, data)
    memory.write(result, U32.pack(len(data)))


def fd_pwrite(
    state: WasiState, memory: GuestMemory, fd: int, iovs: int, count: int, offset: int, result: int
) -> None:
    """Writes at `offset`; the position stays."""
    entries = vectors(memory, iovs, count)
    memory.check(result, U32.size)
    length = _write(state.table.file(fd, Rights.FD_WRITE), memory, entries, _offset(offset))
    memory.write(result, U32.pack(length))


def _bounded(entries: Vectors) -> int:
    return min(total_bytes(entries), MAX_TRANSFER_BYTES)


def _offset(value: int) -> int:
    if value > I64_MAX:
        raise Refused(Errno.EINVAL)
    return value


def _write(file: File, memory: GuestMemory, entries: Vectors, offset: int | None) -> int:
    """Writes up to 1 MiB at `offset` or at the position; what would exceed the quota is refused whole."""
    data = gather(memory, entries, MAX_TRANSFER_BYTES)
    quota = file.root.quota
    if quota is None:
        return os.write(file.host, data) if offset is None else os.pwrite(file.host, data, offset)
    before = os.fstat(file.host).st_size
    if file.flags & FdFlags.APPEND:
        start = before
    else:
        start = os.lseek(file.host, 0, os.SEEK_CUR) if offset is None else offset
    if data:
        quota.room_for(start + len(data) - before)
    written = os.write(file.host, data) if offset is None else os.pwrite(file.host, data, offset)
    quota.resized(before, os.fstat(file.host).st_size)
    return written


def resize(file: File, size: int) -> None:
    """Cuts or extends a file; extending makes a hole, which the quota counts as if it were written."""
    before = os.fstat(file.host).st_size
    quota = file.root.quota
    if quota is not None:
        quota.room_for(size - before)
    os.ftruncate(file.host, _offset(size))
    if quota is not None:
        quota.resized(before, size)


def fd_filestat_set_size(state: WasiState, memory: GuestMemory, fd: int, size: int) -> None:
    """Cuts or extends a file that is open for writing."""
    resize(state.table.file(fd, Rights.FD_FILESTAT_SET_SIZE), size)


def fd_allocate(state: WasiState, memory: GuestMemory, fd: int, offset: int, length: int) -> None:
    """Makes the file at least `offset + length` long. Blocks are not reserved: that could take minutes."""
    file = state.table.file(fd, Rights.FD_ALLOCATE)
    if length == 0 or offset + length > I64_MAX:
        raise Refused(Errno.EFBIG if length else Errno.EINVAL)
    if os.fstat(file.host).st_size < offset + length:
        resize(file, offset + length)


def fd_seek(state: WasiState, memory: GuestMemory, fd: int, offset: int, whence: int, result: int) -> None:
    """Moves the position; `offset` is signed."""
    memory.check(result, U64.size)
    file = state.table.file(fd, Rights.FD_SEEK)
    if whence > WHENCE_LAST:
        raise Refused(Errno.EINVAL)
    signed = offset - (1 << 64) if offset > I64_MAX else offset
    memory.write(result, U64.pack(os.lseek(file.host, signed, _WHENCE[whence])))


def fd_tell(state: WasiState, memory: GuestMemory, fd: int, result: int) -> None:
    """The position."""
    memory.check(result, U64.size)
    file = state.table.file(fd, Rights.FD_TELL)
    memory.write(result, U64.pack(os.lseek(file.host, 0, os.SEEK_CUR)))


def fd_advise(state: WasiState, memory: GuestMemory, fd: int, offset: int, length: int, advice: int) -> None:
    """Checked and ignored: a guest has no say in the host's page cache."""
    state.table.file(fd, Rights.FD_ADVISE)
    if advice > ADVICE_LAST or offset > I64_MAX or length > I64_MAX:
        raise Refused(Errno.EINVAL)


def fd_sync(state: WasiState, memory: GuestMemory, fd: int) -> None:
    """Makes a granted file durable. Scratch is thrown away anyway, so it is not worth the disk's time."""
    descriptor = state.table.get(fd)
    if not isinstance(descriptor, File | Directory):
        raise Refused(Errno.EINVAL)
    if descriptor.root.quota is None and descriptor.root.writable:
        os.fsync(descriptor.host)


def fd_datasync(state: WasiState, memory: GuestMemory, fd: int) -> None:
    """As `fd_sync`."""
    fd_sync(state, memory, fd)


def fd_close(state: WasiState, memory: GuestMemory, fd: int) -> None:
    """Closes any descriptor, a granted directory and the standard streams too."""
    close_host(state.table.remove(fd))


def fd_renumber(state: WasiState, memory: GuestMemory, source: int, target: int) -> None:
    """Moves `source` to `target`, which is closed. Granted directories keep their numbers."""
    for number in (source, target):
        descriptor = state.table.entries.get(number)
        if isinstance(descriptor, Directory) and descriptor.name is not None:
            raise Refused(Errno.ENOTSUP)
    state.table.get(source)
    if source != target and (replaced := state.table.move(source, target)) is not None:
        close_host(replaced)

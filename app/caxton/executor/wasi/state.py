"""Everything that one guest has of WASI: arguments, standard streams, descriptors, grants.

Owns the state's beginning (`new_state`), its renewal for the next message and its end. Must never read
the host's environment, arguments or standard streams.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from caxton.executor.wasi import scratch as scratch_directory
from caxton.executor.wasi.abi import U32_MAX
from caxton.executor.wasi.descriptors import Directory, Input, Output, Root, Table, directory_rights
from caxton.executor.wasi.quota import Quota, ScratchShare
from caxton.protocol.agents import DirGrant
from caxton.protocol.errors import CaxtonError, Code

STDOUT: Final = 1
SCRATCH_NAMES: Final = ("/tmp", ".")  # nosec B108 # a name that the guest sees
FALLBACK_SCRATCH_NAME: Final = "/scratch"
_ROOT_NAMES: Final = frozenset({"/", "."})


class DeterministicSource(Protocol):
    """Recorded clock and random for profile `deterministic`."""

    def now_us(self) -> int:
        """µs since the epoch, the same for one whole execution."""
        ...

    def random_bytes(self, length: int) -> bytes:
        """The next bytes from the execution's seed."""
        ...


@dataclass(slots=True)
class Wait:
    """A deferred function's "not yet". Nothing runs until `until`; then `finish` gives the errno.

    `until`: seconds of CLOCK_MONOTONIC; None = never by itself (only the execution's limits end it).
    """

    until: float | None
    finish: Callable[[], int]


@dataclass(slots=True)
class WasiState:
    """One guest's WASI. `stdout` and `stderr` are what it wrote; `log_dropped` counts bytes over `log_bytes`."""

    args: list[bytes]
    env: list[bytes]
    clocks: bool
    random: bool
    output_bytes: int
    log_bytes: int
    table: Table
    deterministic: DeterministicSource | None = None
    scratch: Path | None = None
    quota: Quota | None = None
    """Of `scratch`."""
    has_files: bool = False
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    log_dropped: int = 0

    def renew(self, stdin: bytes, deterministic: DeterministicSource | None = None) -> None:
        """Makes a living instance ready for its next message: new input, empty output and log."""
        for descriptor in self.table.entries.values():
            if isinstance(descriptor, Input):
                descriptor.data, descriptor.position = stdin, 0
        self.stdout, self.stderr, self.log_dropped = bytearray(), bytearray(), 0
        self.deterministic = deterministic

    def close(self) -> None:
        """Closes every descriptor and removes the scratch directory; may be called again."""
        self.table.close()
        path, self.scratch = self.scratch, None
        if path is not None:
            scratch_directory.remove(path)
        quota, self.quota = self.quota, None
        if quota is not None:
            quota.release()


def new_state(
    *,
    args: Sequence[str],
    env: Mapping[str, str],
    stdin: bytes = b"",
    clocks: bool = True,
    random: bool = True,
    dirs: Sequence[DirGrant] = (),
    scratch: Path | None = None,
    scratch_bytes: int = 0,
    scratch_share: ScratchShare | None = None,
    output_bytes: int = 1_000_000,
    log_bytes: int = 64_000,
    deterministic: DeterministicSource | None = None,
) -> WasiState:
    """A fresh state. `args[0]` is the program's name; sizes in bytes.

    Granted directories come in order from descriptor 3 on, then `scratch`, an absolute host path that is
    created or emptied and belongs to this state alone until `close`. The guest knows it as `/tmp` and as
    its working directory, so relative paths work too (names that a grant has taken already are left to it).
    `scratch_share` bounds it together with those of other states.
    Raises `CaxtonError(AGENT_FAILED)` when a granted directory cannot be opened and `INVALID_REQUEST`
    when an argument or variable holds a NUL.
    """
    table = Table()
    for stream in (Input(stdin), Output(is_log=False), Output(is_log=True)):
        table.add(stream)
    state = WasiState(
        args=[_c_string("args", value) for value in args],
        env=[_c_string("env", f"{name}={value}") for name, value in env.items()],
        clocks=clocks,
        random=random,
        output_bytes=min(output_bytes, U32_MAX),
        log_bytes=log_bytes,
        table=table,
        deterministic=deterministic,
        scratch=scratch,
        has_files=bool(dirs) or scratch is not None,
    )
    try:
        if scratch is not None:
            state.quota = Quota(scratch_bytes, scratch_share or ScratchShare(scratch_bytes))
        _grant(state, dirs)
    except BaseException:
        state.close()
        raise
    return state


def _grant(state: WasiState, dirs: Sequence[DirGrant]) -> None:
    scratch = state.scratch
    for grant in dirs:
        _preopen(state.table, grant.host, grant.guest, Root(writable=not grant.read_only))
    if scratch is None:
        return
    try:
        scratch_directory.prepare(scratch)
    except OSError as error:
        raise _unusable(str(scratch), "scratch directory", error) from error
    root = Root(writable=True, quota=state.quota)
    for name in scratch_names({grant.guest for grant in dirs}):
        _preopen(state.table, str(scratch), name, root)


def scratch_names(taken: set[str]) -> list[str]:
    """Under which names the guest finds its scratch directory, given the names of its grants."""
    temporary, here = SCRATCH_NAMES
    free = {temporary: temporary not in taken, here: not taken & _ROOT_NAMES}
    return [name for name in SCRATCH_NAMES if free[name]] or [FALLBACK_SCRATCH_NAME]


def _preopen(table: Table, host: str, guest: str, root: Root) -> None:
    try:
        descriptor = os.open(host, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(host, f"directory granted as {guest}", error) from error
    table.add(Directory(descriptor, root, directory_rights(root), name=guest.encode()))


def _unusable(path: str, what: str, error: OSError) -> CaxtonError:
    reason = os.strerror(error.errno or 0)
    return CaxtonError(Code.AGENT_FAILED, f"{what}: {path} cannot be opened: {reason}", path=path, reason=reason)


def _c_string(field_name: str, value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise CaxtonError(Code.INVALID_REQUEST, f"{field_name}: a value holds a NUL character", path=field_name)
    return encoded + b"\0"

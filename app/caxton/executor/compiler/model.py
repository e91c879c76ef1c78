"""What the supervisor and its compiler child tell each other.

Owns the child's arguments and its answer. Must never hold a module.
"""

from __future__ import annotations

import msgspec

from caxton.protocol.agents import ModuleInfo, Profile
from caxton.protocol.errors import ErrorBody


class Order(msgspec.Struct, frozen=True):
    """The child's one argument, as JSON. Descriptors are inherited under their own numbers.

    `module_fd`: the upload, read only. `artifact_fd`: an empty memfd. `answer_fd`: a pipe for `Answer`.
    Sizes in bytes, times in seconds.
    """

    sha256: str
    profile: Profile
    stack_bytes: int
    wasm_features: list[str]
    module_fd: int
    artifact_fd: int
    answer_fd: int
    snapshot: bool = False
    pulley: bool = False
    cpu_seconds: int = 180
    address_space_bytes: int = 2_000_000_000
    artifact_bytes: int = 1_000_000_000


class Answer(msgspec.Struct, frozen=True):
    """The child's answer, as JSON: one of both. No answer at all = the child was stopped by a limit."""

    info: ModuleInfo | None = None
    error: ErrorBody | None = None

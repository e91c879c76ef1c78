"""An agent as a worker knows it: its spec, its module, its instance and its share of the CPU.

Owns what outlives a single execution. Must never hold anything that must survive the process.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from caxton.executor.binding.image import Image
from caxton.executor.binding.instance import Instance, Template
from caxton.executor.binding.variables import Variables
from caxton.executor.inspect.capture import START
from caxton.executor.wasi import ScratchShare
from caxton.protocol.agents import Instance as Lifetime
from caxton.protocol.agents import Shape
from caxton.protocol.execution import AgentSpec

ENTRY_POINTS: Final = (b"caxton_alloc", b"handle_message", b"handle_timer", b"agent_init", b"agent_shutdown",
                       b"get_capabilities", b"_initialize", b"_start", START.encode())  # fmt: skip

if TYPE_CHECKING:
    from caxton.executor.worker.execution import Execution


@dataclass(slots=True, eq=False)
class Captured:
    """The last snapshot of an instance, to tell what changed. `whole`: nothing of it is stored yet."""

    image: Image
    variables: Variables
    memory_bytes: int = 0
    globals: bytes = b""
    whole: bool = True


@dataclass(slots=True, eq=False)
class Resident:
    """A warm instance between two messages. `used_at` monotonic seconds; `exports`: function pointers by name."""

    instance: Instance
    incarnation: int
    exports: dict[bytes, Any]  # opaque pointers of the binding
    wasi: Any = None  # caxton.executor.wasi.WasiState
    source: Any = None  # DeterministicSource, in that profile
    used_at: float = 0.0
    captured: Captured | None = None
    """What its agent's snapshot holds of it, if the agent has snapshots."""

    def close(self) -> None:
        """Ends the instance and everything it had open."""
        if self.captured is not None:
            self.captured.image.close()
        self.instance.close()
        wasi, self.wasi = self.wasi, None
        if wasi is not None:
            wasi.close()


class Scratch(NamedTuple):
    """Where a worker's scratch directories are, and what they may hold together."""

    root: Path
    share: ScratchShare


@dataclass(slots=True, eq=False)
class Agent:
    """`handle` and `spec` as the router loaded them. `vtime`: CPU seconds, see the run queue."""

    handle: int
    spec: AgentSpec
    config: dict[bytes, bytes]
    scratch: Scratch
    persistent: bool
    """Whether one instance lives on between messages."""
    template: Template | None = None
    uses_wasi: bool = False
    exports: tuple[bytes, ...] = ()
    """Those of `ENTRY_POINTS` that the module has."""
    variables: tuple[bytes, ...] = ()
    """Names of its mutable globals, if its state is captured."""
    refused: str | None = None
    """Why the module cannot be run, once that is known."""
    waiting: list[Execution] = field(default_factory=list)
    """Executions that wait for the module."""
    resident: Resident | None = None
    current: Execution | None = None
    """The execution that has the persistent instance."""
    backlog: deque[Execution] = field(default_factory=deque)
    running: int = 0
    vtime: float = 0.0
    last_timer_id: int = 0
    forgotten: bool = False


def make_agent(handle: int, spec: AgentSpec, scratch: Scratch) -> Agent:
    """An agent with its configuration flattened to what `get_config` answers."""
    config: dict[bytes, bytes] = {}
    _flatten("", spec.config, config)
    persistent = spec.shape is Shape.REACTOR and spec.instance is Lifetime.PERSISTENT
    return Agent(handle, spec, config, scratch, persistent)


def _flatten(prefix: str, table: dict[str, Any], into: dict[bytes, bytes]) -> None:
    """Text as it is, all else as JSON; inner tables both whole and key by key (`outer.inner`)."""
    for key, value in table.items():
        name = f"{prefix}{key}"
        into[name.encode()] = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
        if isinstance(value, dict):
            _flatten(f"{name}.", value, into)

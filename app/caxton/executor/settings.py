"""What the supervisor tells a worker at its start.

Owns the start-up contract of a worker process. Must never hold anything about an agent.
"""

from __future__ import annotations

import msgspec

from caxton.protocol.control import Reach


class WorkerSettings(msgspec.Struct, frozen=True):
    """Start-up settings, passed as JSON in argv; descriptors are inherited under their own numbers.

    `control_fd`: socket pair with the supervisor. `router_fd`: socket pair whose other end the router
    holds. `pulse_fd`: the shared page of `caxton.executor.pulse`. Sizes in bytes, times in seconds.
    """

    worker_id: int
    tag: str
    node: str
    control_fd: int
    router_fd: int
    pulse_fd: int
    stack_bytes: int
    wasm_features: list[str]
    scratch_directory: str
    temp_storage_limit_bytes: int
    """This worker's share of the node's limit: all its scratch directories together."""
    engine: str = "native"
    """`pulley`: interpreted code; then no memory of this process ever becomes executable."""
    reach: Reach = Reach.NOTHING
    granted_directories: list[str] = []
    """What `Reach.GRANTED` reaches besides the scratch directories."""
    max_resident: int = 5_000
    """Every store takes 3 to 4 memory maps; Python itself fails at vm.max_map_count (65,530)."""
    slice_seconds: float = 0.002
    idle_timeout_seconds: float = 300.0

    @property
    def pulley(self) -> bool:
        """Whether code is interpreted."""
        return self.engine == "pulley"

"""A router and an executor as children, without an API: what a restore drill runs.

Owns their order: the router first, so that it can be told something before anything can be executed. Must
never open a port: they talk over Unix sockets only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from caxton.config import Config
from caxton.protocol.errors import CaxtonError, Code
from caxton.serve.children import Child
from caxton.serve.plan import environment, specs

_PREFIX: Final = "CAXTON_"


class EngineRoom:
    """The two children; each is started once."""

    def __init__(self, config: Config, file: Path, environ: Mapping[str, str]) -> None:
        own = environment({name: value for name, value in environ.items() if not name.startswith(_PREFIX)})
        own |= {"CAXTON_RUN_DIR": str(config.paths.run), "CAXTON_EXECUTOR_RUN_DIR": str(config.paths.executor_run)}
        self._children = {
            spec.name: Child(spec, own) for spec in specs(config, file) if spec.name in ("router", "executor")
        }

    def start(self, name: str) -> None:
        """Starts `router` or `executor`."""
        self._children[name].start()

    def require_alive(self) -> None:
        """`RESTORE_FAILED` when one that was started has ended."""
        for name, child in self._children.items():
            status = child.ended()
            if status is not None:
                raise CaxtonError(Code.RESTORE_FAILED, f"the {name} ended (exit status {status})", child=name)

    def stop(self) -> None:
        """Ends both: the router first, it still writes."""
        for name in ("router", "executor"):
            self._children[name].stop()


@contextmanager
def engine_room(config: Config, file: Path, environ: Mapping[str, str]) -> Iterator[EngineRoom]:
    """An engine room that is stopped at the end."""
    room = EngineRoom(config, file, environ)
    try:
        yield room
    finally:
        room.stop()

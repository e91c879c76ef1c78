"""Records of what is done to a node that does not run: restore, schema upgrade, a token made beside it.

Owns the pair of records around such work. Must never be used without the data directory's lock: whoever holds that is
the only writer.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caxton.audit.files import directory_of
from caxton.audit.log import Log
from caxton.audit.record import Draft, actor_of
from caxton.protocol.access import local_caller
from caxton.protocol.audit import OK, Phase
from caxton.protocol.errors import CaxtonError, Code


@contextmanager
def recorded(data: Path, action: str, target: str, **details: Any) -> Iterator[dict[str, Any]]:
    """Records that the work begins, then how it ended, with what the caller puts into the dictionary it is given.

    `STORAGE_FULL` when the beginning cannot be recorded: then the work is not done.
    """
    actor = actor_of(local_caller(os.getuid()))
    log = _open(data)
    try:
        begun = _append(log, Draft(action, Phase.BEGUN, actor, target, details=details))
        said: dict[str, Any] = {}
        outcome = Code.INTERNAL_ERROR.value
        try:
            yield said
            outcome = OK
        except CaxtonError as error:
            outcome = error.code.value
            raise
        finally:
            _close(log, Draft(action, Phase.ENDED, actor, target, outcome, {**details, **said}, of=begun))
    finally:
        log.close()


def note(data: Path, action: str, target: str, **details: Any) -> None:
    """One record of something that has happened; the errors of `recorded`."""
    log = _open(data)
    try:
        _append(log, Draft(action, Phase.EVENT, actor_of(local_caller(os.getuid())), target, OK, details))
    finally:
        log.close()


def _open(data: Path) -> Log:
    try:
        return Log(directory_of(data), socket.gethostname())
    except OSError as error:
        raise unwritable(directory_of(data), error) from error


def _append(log: Log, draft: Draft) -> int:
    try:
        return log.append([draft])[0].seq
    except OSError as error:
        raise unwritable(log.directory, error) from error


def _close(log: Log, draft: Draft) -> None:
    """What is done is done: where its end cannot be recorded, the beginning stays without one."""
    try:
        log.append([draft])
    except OSError as error:
        logging.getLogger(__name__).critical("the audit lacks the end of %s: %s", draft.action, error)


def unwritable(directory: Path, error: OSError) -> CaxtonError:
    """What is answered instead of doing unrecorded what has to be recorded."""
    return CaxtonError(
        Code.STORAGE_FULL,
        f"the audit in {directory} cannot be written, so nothing is done that it has to show: {error.strerror}",
        path=str(directory),
        found=error.strerror,
    )

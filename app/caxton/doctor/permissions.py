"""Who may read what nobody else should: secrets, the configuration, the data directory.

Owns the list of such files. Must never open one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from caxton.config import SECRETS, exposure
from caxton.doctor.model import Check, Patient, Status

NAME = "permissions"
_OTHERS = 0o007
_FROM_FILE = re.compile("(?:secret file|credential store) (.+)")


def examine(patient: Patient) -> Iterator[Check]:
    """One finding for each file that others may open; one if there is none."""
    found = [check for path, secret in _private(patient).items() if (check := _look(path, secret)) is not None]
    yield from found or [Check(NAME, Status.OK, "nobody else may read secrets or data")]


def _private(patient: Patient) -> dict[Path, bool]:
    """Paths that are not for others, and whether a secret is at stake."""
    loaded, tls_key = patient.loaded, patient.config.networking.tls_key_path
    paths: dict[Path, bool] = {patient.config.paths.data: False, patient.config.paths.audit: False}
    if loaded.file is not None:
        inline = any(loaded.origins[key] == f"file {loaded.file}" for key in SECRETS)
        paths |= {loaded.file: inline, loaded.file.with_name("caxton.env"): True}
    origins = (loaded.origins[key] for key in SECRETS)
    paths |= {Path(found[1]): True for one in origins if (found := _FROM_FILE.fullmatch(one))}
    return paths | ({Path(tls_key): True} if tls_key else {})


def _look(path: Path, secret: bool) -> Check | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    except PermissionError:
        return Check(NAME, Status.WARN, f"{path}: not ours to look at", "run it as root or as the node's user")
    if secret:
        found = exposure(path)
        return None if found is None else Check(NAME, Status.FAIL, f"it holds a secret: {found[0]}", found[1])
    if not mode & _OTHERS:
        return None
    return Check(NAME, Status.WARN, f"{path} is open to everybody ({mode & 0o777:04o})", f"chmod o-rwx {path}")

"""Who may open the files that hold secrets.

Owns that rule: the owner is root, `caxton` or who runs this; nobody else may write; besides the owner only the group
`caxton`, root's, `ssl-cert` (Debian's, for keys), or the owner's private one (of the same name) may read. Must never
open such a file.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Final

SERVICE: Final = "caxton"
_READERS: Final = (SERVICE, "root", "ssl-cert")
_CREDENTIALS: Final = Path("/run/credentials")
"""systemd's own: it sees to who may open what is here."""


def exposure(path: Path) -> tuple[str, str] | None:
    """What is wrong with a secret's file, and the command that mends it; None when nothing is, or none is there."""
    try:
        found = path.stat()
        if path.resolve().is_relative_to(_CREDENTIALS):
            return None
    except (OSError, ValueError):
        return None
    mode, owner, group = stat.S_IMODE(found.st_mode), _user(found.st_uid), _group(found.st_gid)
    if found.st_uid not in (0, os.geteuid()) and owner != SERVICE:
        return f"{path} owned by {owner}", f"chown {_user(os.geteuid())} {path}"
    if mode & stat.S_IRWXO:
        return f"{path} open to everybody (mode {mode:04o})", f"chmod 0600 {path}"
    if mode & (stat.S_IWGRP | stat.S_IXGRP):
        return f"{path} open to changes by its group {group} (mode {mode:04o})", f"chmod 0600 {path}"
    if mode & stat.S_IRGRP and group not in (*_READERS, owner):
        return f"{path} open to its group {group} (mode {mode:04o})", f"chmod 0600 {path}"
    return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

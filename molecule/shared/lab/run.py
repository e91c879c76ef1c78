"""Commands on the host. Decides nothing; a command that fails becomes a LabError with its last words."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.errors import Code, LabError

CLEAN = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def run(
    *command: str | Path, directory: Path | None = None, stdin: str = "", environment: Mapping[str, str] | None = None
) -> str:
    """The command's standard output.

    Raises:
        LabError: FAILED, with the end of its standard error, when it exits with anything but 0.
    """
    arguments = [str(part) for part in command]
    done = subprocess.run(
        arguments, cwd=directory, input=stdin, env=environment, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        words = " ".join((done.stderr.strip() or done.stdout.strip()).split()[-60:])
        raise LabError(Code.FAILED, f"{' '.join(arguments[:4])} … exited with {done.returncode}: {words}")
    return done.stdout


def succeeds(*command: str | Path) -> bool:
    """Whether the command exits with 0; its output is dropped."""
    return (
        subprocess.run([str(part) for part in command], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
    )


def chroot(root: Path, *command: str) -> str:
    """A command inside a root file system, with nothing of this host's environment."""
    return run("chroot", root, *command, environment=CLEAN)

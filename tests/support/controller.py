"""The controller's programs (ansible-playbook and its like), where they are installed.

Owns how they are found and called. Must never install them: `make controller` does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from support.ansible_tree import ROOT

VENV: Final = Path(os.environ.get("ANSIBLE_VENV", ROOT / ".venv-ansible"))
SECONDS: Final = 300


def missing() -> str | None:
    """Why nothing can be called here, in one line; None when it can."""
    if (VENV / "bin" / "ansible-playbook").exists() or shutil.which("ansible-playbook"):
        return None
    return "ansible is not installed: make controller"


def call(*argv: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """One program of the controller, from the repository's root; its exit status is the caller's to judge."""
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    environ = clean | {"PATH": path, "ANSIBLE_NOCOLOR": "1", "NO_COLOR": "1"} | environment
    return subprocess.run(argv, cwd=cwd, env=environ, text=True, capture_output=True, timeout=SECONDS, check=False)

"""Writes app/requirements.txt and app/requirements-dev.txt: every dependency, pinned with hashes.

Owns the resolution of app/pyproject.toml. Must never be run by a node: packages are installed from the
lock files only.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

APP = Path(__file__).resolve().parent
COMPILE = [
    *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--upgrade", "--universal"),
    *("--generate-hashes", "--python-version", "3.11", "--no-emit-index-url", "--no-annotate", "--no-header"),
]


def main() -> None:
    """Resolves the run-time set first; the development set may not move its versions."""
    subprocess.run([*COMPILE, "-o", "requirements.txt"], cwd=APP, check=True)
    subprocess.run(
        [*COMPILE, "--extra", "dev", "-c", "requirements.txt", "-o", "requirements-dev.txt"], cwd=APP, check=True
    )


if __name__ == "__main__":
    main()

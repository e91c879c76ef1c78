"""The maintainer scripts and the build's own: short, strict, portable."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
MAINTAINER = sorted(PACKAGING.glob("debian/caxton.*inst")) + sorted(PACKAGING.glob("debian/caxton.*rm"))
SCRIPTS = [*MAINTAINER, *sorted(PACKAGING.glob("*.sh")), *sorted(PACKAGING.glob("scripts/*.sh"))]


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("script", MAINTAINER, ids=name_of)
def test_a_maintainer_script_is_short_and_stops_at_the_first_error(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert len(lines) < 40
    assert lines[0] == "#!/bin/sh"
    assert "set -e" in lines


@pytest.mark.parametrize("script", MAINTAINER, ids=name_of)
def test_a_maintainer_script_neither_migrates_nor_deletes_users_nor_reaches_out(script: Path) -> None:
    text = "\n".join(line for line in script.read_text().splitlines() if not line.startswith("#"))
    assert not [
        word for word in ("db upgrade", "deluser", "userdel", "delgroup", "curl", "wget", "pip") if word in text
    ]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is missing")
@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_shellcheck_finds_nothing(script: Path) -> None:
    done = subprocess.run(["shellcheck", "--shell=sh", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_at_most_five_lintian_overrides_each_with_a_reason() -> None:
    lines = (PACKAGING / "debian/caxton.lintian-overrides").read_text().splitlines()
    tags = [number for number, line in enumerate(lines) if not line.startswith("#")]
    assert len(tags) <= 5
    assert all(number > 0 and lines[number - 1].startswith("#") for number in tags)

"""Which files of the bundled libraries a paragraph of debian/copyright is about."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec

PROGRAM = Path(__file__).resolve().parents[2] / "packaging" / "licences.py"


def distribution(site: Path, name: str, licence: str, *files: str) -> None:
    """What pip leaves of one."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\nLicense-Expression: {licence}\nAuthor: A\n\n")
    for file in files:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).touch()
    records = ["../../../bin/tool", f"{info.name}/METADATA", *files]
    (info / "RECORD").write_text("".join(f"{one},sha256=0,1\n" for one in records))


def test_a_folder_that_libraries_share_is_divided_between_their_licences(tmp_path: Path) -> None:
    distribution(tmp_path, "protobuf", "BSD-3-Clause", "google/protobuf/message.py", "google/_upb/_message.so")
    distribution(tmp_path, "common", "Apache-2.0", "google/api/http.py")
    distribution(tmp_path, "whole", "MIT", "whole/__init__.py", "whole/part/__init__.py", "single.py")
    done = subprocess.run([sys.executable, PROGRAM, tmp_path], capture_output=True, text=True, check=True)
    paragraphs = re.findall(r"^Files: (.*)\n(?:.*\n)*?License: (\S+)", done.stdout, re.MULTILINE)
    tops = {
        licence: [file.split("/site-packages/")[1] for file in files.split() if "dist-info" not in file]
        for files, licence in paragraphs
    }
    assert tops == {
        "common-Apache-2.0": ["google/api/*"],
        "protobuf-BSD-3-Clause": ["google/_upb/*", "google/protobuf/*"],
        "whole-MIT": ["single.py", "whole/*"],
    }


def test_no_library_brings_the_apache_licence_that_every_debian_has() -> None:
    """Of what is installed here, the bundled libraries among it; lintian refuses a package that has it twice."""
    site = Path(msgspec.__file__).parents[1]
    done = subprocess.run([sys.executable, PROGRAM, site], capture_output=True, text=True, check=True)
    assert "/usr/share/common-licenses/Apache-2.0" in done.stdout
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" not in done.stdout

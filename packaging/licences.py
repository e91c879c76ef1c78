"""Writes the paragraphs of debian/copyright about the bundled libraries, from what their wheels say of themselves.

Owns how a distribution's metadata becomes a paragraph. Must never guess a licence: one that is not stated fails
the build. It runs before RECORD is pruned.

    python3 licences.py SITE-PACKAGES >>debian/copyright
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Final

_TEXTS: Final = re.compile(r"(licen[cs]e|copying|notice|copyright)", re.IGNORECASE)
_CLASSIFIER: Final = "License :: OSI Approved :: "
_APACHE: Final = re.compile(
    r"[^\n]*Apache License\s+Version 2\.0.*?any\s+such\s+warranty\s+or\s+additional\s+liability\."
    r"(?:\s+END OF TERMS AND CONDITIONS)?",  # some leave their last line out
    re.DOTALL,
)
_APACHE_HERE: Final = "The Apache License 2.0: /usr/share/common-licenses/Apache-2.0 on Debian systems."


def paragraphs(site: Path) -> Iterator[str]:
    """One for each distribution, by name: its files, its authors, its licence with the text that it ships."""
    for info in sorted(site.glob("*.dist-info")):
        metadata = Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"), headersonly=True)
        name, texts = metadata["Name"], _texts(info)
        licence = _licence(metadata, texts)
        short = re.sub(r"[^A-Za-z0-9.+-]+", "-", f"{name}-{licence}").strip("-")
        yield "\n".join(
            [
                "",
                f"Files: {' '.join(_files(info))}",
                f"Copyright: {_authors(metadata, texts)}",
                f"Comment: {name} {metadata['Version']}",
                f"License: {short}",
                *(_continued(line) for line in (texts or f"{licence}; the wheel ships no text.").splitlines()),
            ]
        )


def _files(info: Path) -> list[str]:
    """The top of what pip recorded of a distribution, as patterns over the package's files.

    A folder without an `__init__.py` may be shared by several (`google`, `opentelemetry`): there it is what is in it.
    """
    recorded = [line.split(",")[0] for line in (info / "RECORD").read_text().splitlines()]
    modules = {name.partition("/")[0] for name in recorded if name.count("/") == 1 and name.endswith("/__init__.py")}
    parts = [name.split("/") for name in recorded if not name.startswith("..")]
    alone = {*modules, info.name}
    tops = {one[0] if one[0] in alone else "/".join(one[:2]) for one in parts if one[0] != "__pycache__"}
    there = sorted(name for name in tops if (info.parent / name).exists())
    return [
        f"usr/lib/caxton/lib/*/site-packages/{top}{'/*' if (info.parent / top).is_dir() else ''}" for top in there
    ]


def _licence(metadata: Message, texts: str) -> str:
    named = metadata["License-Expression"] or next(
        (
            line.removeprefix(_CLASSIFIER)
            for line in metadata.get_all("Classifier", [])
            if line.startswith(_CLASSIFIER)
        ),
        (metadata["License"] or "").partition("\n")[0],
    )
    if not named and not texts:
        raise SystemExit(f"licences.py: {metadata['Name']} states no licence")
    return str(named or "as-its-text-says")


def _authors(metadata: Message, texts: str) -> str:
    said = re.search(r"^\W*(copyright\b.{0,100}\d{4}.*)$", texts, re.IGNORECASE | re.MULTILINE)
    return (
        said[1].strip()
        if said
        else str(metadata["Author"] or metadata["Author-email"] or f"the authors of {metadata['Name']}")
    )


def _texts(info: Path) -> str:
    files = sorted(path for path in info.rglob("*") if path.is_file() and _TEXTS.search(path.name))
    texts = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    return _APACHE.sub(_APACHE_HERE, texts)


def _continued(line: str) -> str:
    """As DEP-5 wants it: indented, and a dot for an empty line."""
    return f" {line.rstrip()}" if line.strip() else " ."


if __name__ == "__main__":
    print("\n".join(paragraphs(Path(sys.argv[1]))))

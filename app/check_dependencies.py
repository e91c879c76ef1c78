"""Checks the lock files: every dependency is pinned with hashes, and no pinned version has a known vulnerability.

    python app/check_dependencies.py [LOCK...]      exit status 1: something is wrong, with one line for each

Advisories come from two places. `advisories.json` beside this file is a dated extract, for where there is no
network; it is always compared. PyPI's own are asked for through pip-audit where PyPI gives them out; where it
does not, that is said, because "nothing found" would be a lie. Owns nothing. Must never be run by a node.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

APP: Final = Path(__file__).resolve().parent
LOCKS: Final = (*sorted(APP.glob("requirements*.txt")), APP.parent / "molecule" / "requirements.txt")
ADVISORIES: Final = APP / "advisories.json"
ACCEPTED: Final[dict[str, str]] = {}
"""Advisories that do not concern this project, by their id, each with its reason."""
SERVICE: Final = "https://pypi.org/pypi"
PROBE_SECONDS: Final = 10.0
AUDIT_SECONDS: Final = 240.0
_PIN: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([A-Za-z0-9.!+_-]+)\s*(?:;.*)?")
_HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")


class Pin(NamedTuple):
    """One dependency of a lock file."""

    lock: str
    name: str
    version: str


def read_lock(path: Path) -> tuple[list[Pin], list[str]]:
    """The pins of a lock file, and what is wrong with its lines."""
    pins, wrong = [], []
    for line in path.read_text().replace("\\\n", " ").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        requirement, *options = re.split(r"\s+(?=--)", text)
        found = _PIN.fullmatch(requirement.strip())
        if found is None:
            wrong.append(f"{path.name}: {requirement[:80]!r} is not pinned by ==")
        elif not options or not all(_HASH.fullmatch(option.strip()) for option in options):
            wrong.append(f"{path.name}: {requirement[:80]} has no hashes")
        else:
            pins.append(Pin(path.name, canonicalize_name(found[1]), found[2]))
    return pins, wrong


def known(pins: list[Pin], advisories: list[dict[str, str]]) -> Iterator[str]:
    """A line for each pin that an advisory is about."""
    for pin in pins:
        for one in advisories:
            concerned = one["package"] == pin.name and SpecifierSet(one["affected"]).contains(pin.version, True)
            if concerned and one["id"] not in ACCEPTED:
                yield f"{pin.lock}: {pin.name} {pin.version}: {one['id']} ({one['affected']}): {one['summary']}"


def silence_of(service: str, pin: Pin) -> str | None:
    """Why the registry gives out no advisories about releases here; None where it does. Asks about one release."""
    url = f"{service}/{pin.name}/{pin.version}/json"
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as answer:  # nosec B310 # https, see SERVICE
            return None if "vulnerabilities" in json.load(answer) else "its answer has no advisories"
    except (OSError, ValueError) as error:
        return str(error)[:200]


def by_pip_audit(pins: list[Pin]) -> Iterator[str]:
    """A line for each vulnerability that PyPI knows of, and for each release that it does not know."""
    for round_ in _rounds(pins):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("".join(f"{name}=={version}\n" for name, version in round_.items()))
            file.flush()
            command = [
                sys.executable,
                "-m",
                "pip_audit",
                "--vulnerability-service",
                "pypi",
                "--disable-pip",
                "--no-deps",
            ]
            command += ["--requirement", file.name, "--format", "json", "--progress-spinner", "off"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_SECONDS)
        try:
            found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            yield f"pip-audit failed: {done.stderr.strip()[-300:]}"
            continue
        yield from (f"not checked: {one['skip_reason']}" for one in found if "skip_reason" in one)
        for one in found:
            ids = {vulnerability["id"] for vulnerability in one.get("vulns", [])} - ACCEPTED.keys()
            yield from (f"{one['name']} {one['version']}: {name}" for name in sorted(ids))


def _rounds(pins: list[Pin]) -> Iterator[dict[str, str]]:
    """Every pinned version once, and no name twice in one round: lock files may differ."""
    left = {(pin.name, pin.version) for pin in pins}
    while left:
        now = dict(sorted(left))
        yield now
        left -= now.items()


def main(locks: list[Path]) -> int:
    """Prints what is wrong, and what could not be checked; the exit status."""
    extract = json.loads(ADVISORIES.read_text())
    wrong: list[str] = []
    pins: list[Pin] = []
    for lock in locks:
        found, lines = read_lock(lock)
        pins += found
        wrong += lines
    wrong += known(pins, extract["advisories"])
    silent = silence_of(SERVICE, pins[0]) if pins else "no version is pinned"
    wrong += by_pip_audit(pins) if silent is None else ()
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    count = len({(pin.name, pin.version) for pin in pins})
    extract_of = f"{len(extract['advisories'])} advisories stored on {extract['taken_at']}"
    print(f"{count} pinned versions in {len(locks)} lock files: hashes checked; compared with {extract_of}")
    if silent is None:
        print("compared with PyPI's advisories of today")
    else:
        print(f"NOT CHECKED against today's advisories: PyPI does not give them out here ({silent})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main([Path(text) for text in sys.argv[1:]] or list(LOCKS)))

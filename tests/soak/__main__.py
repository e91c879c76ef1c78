"""`make soak`: a million executions of every kind, then 100,000 instances; less with SOAK="--executions N …".

Owns the command line. Must never end with 0 when something grew.
"""

from __future__ import annotations

import argparse
import sys
import time

from soak.instances import cycle
from soak.judge import Reading, problems
from soak.load import soak


def main() -> int:
    """Runs both; 1 with the reasons when something grew, did not add up or did not live through it."""
    parser = argparse.ArgumentParser(prog="python -m soak", description="Runs a node until it would be tired.")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--instances", type=int, default=100_000)
    asked = parser.parse_args()
    failed = _report("executions", soak(asked.executions, _tell))
    failed |= _report("instances", cycle(asked.instances, _tell))
    return 1 if failed else 0


def _report(what: str, readings: list[Reading]) -> bool:
    found = problems(readings)
    first, last = readings[0], readings[-1]
    print(f"\n{last.units} {what}, {len(readings)} readings")
    for name, size in last.anonymous_bytes.items():
        print(f"  {name:<9} {first.anonymous_bytes[name] / 1e6:7.1f} MB → {size / 1e6:7.1f} MB, "
              f"descriptors {first.descriptors[name]} → {last.descriptors[name]}")  # fmt: skip
    for line in found:
        print(f"  NOT WELL: {line}")
    return bool(found)


def _tell(text: str) -> None:
    print(f"\r{time.strftime('%H:%M:%S')} {text}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

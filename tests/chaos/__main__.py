"""`make chaos`: faults at random on a cluster under load, for five minutes; otherwise CHAOS="--seconds N --seed N".

Owns the command line. Must never end with 0 when something was lost, doubled, out of order or at two places.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from chaos.run import run
from chaos.schedule import Kind, schedule
from support.cluster_nodes import missing


def main() -> int:
    """One run; 1 with what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Breaks a cluster at random, and judges it.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="gives it again")
    parser.add_argument("--seconds", type=float, default=300.0, help="for how long faults begin")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", type=Kind, default=list(Kind), help="only these faults")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # it clears up, as on an interrupt
    if lacking := missing():
        print(lacking, file=sys.stderr)
        return 2
    logs = Path(tempfile.gettempdir()) / f"caxton-chaos-{asked.seed}-{time.strftime('%H%M%S')}"
    faults = schedule(asked.seed, asked.seconds, asked.nodes, asked.kinds)
    found = run(asked.seed, faults, asked.nodes, logs, lambda line: print(line, flush=True))
    for line in found:
        print(f"NOT WELL: {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Where the lab keeps its things. Holds no logic."""

from pathlib import Path

STATE = Path("/var/lib/caxton-lab")  # one directory per lab, gone after `down`
CACHE = Path("/var/cache/caxton-lab")  # base images, kept
LOCK = Path("/run/lock/caxton-lab.lock")  # serialises what changes labs; empty, stays
REPOSITORY = Path(__file__).resolve().parents[3]
ROOTFS_SCRIPT = REPOSITORY / "packaging" / "rootfs.sh"

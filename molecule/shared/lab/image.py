"""The cached base image of a release: built once, found again, never half.

Owns the cache directory. Never changes an image that exists: machines run over it.
"""

import fcntl
import shutil
from pathlib import Path

from lab import paths, recipe, state
from lab.errors import Code, LabError
from lab.run import run

# debootstrap mounts and apt forks: with these, nothing of either is left when this program is killed.
OWN_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--"),
)


def path(release: str) -> Path:
    """Where the image of this release and of the present recipe is or will be."""
    if release not in recipe.RELEASES:
        raise LabError(Code.REFUSED, f"release {release!r} is not one of {', '.join(recipe.RELEASES)}")
    return paths.CACHE / f"{release}-{recipe.digest()}"


def ensure(release: str = "bookworm") -> Path:
    """The root file system of the base image; builds it when it is not there (two minutes, needs the network)."""
    image = path(release)
    if image.is_dir():
        return image
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    with (paths.CACHE / f"{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.is_dir():  # nobody else built it while this one waited
            build(release, image)
    return image


def build(release: str, image: Path) -> None:
    """Builds beside the image and renames: what is at `image` is complete. The caller holds the lock."""
    for stale in paths.CACHE.glob(f"{release}-*.making*"):
        remove(stale)
    making = image.with_name(f"{image.name}.making")
    run(*OWN_NAMESPACES, paths.ROOTFS_SCRIPT, release, making, *recipe.BASE_PACKAGES)
    recipe.prepare(making)
    making.rename(image)


def prune() -> list[Path]:
    """Removes the images of earlier recipes over which no machine runs; what was removed."""
    with state.exclusive():
        kept = {Path(each.image).name for record in state.everyone() for each in record.machines.values()}
        kept |= {path(release).name for release in recipe.RELEASES}  # with its log, or while it is being built
        cached = [entry for release in recipe.RELEASES for entry in paths.CACHE.glob(f"{release}-*")]
        stale = [entry for entry in cached if entry.name.partition(".")[0] not in kept]
        for entry in stale:
            remove(entry)
    return stale


def remove(stale: Path) -> None:
    """Removes what a killed build left, and its log."""
    if stale.is_dir():
        shutil.rmtree(stale)
    else:
        stale.unlink()

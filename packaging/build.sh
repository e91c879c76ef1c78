#!/bin/sh
# build.sh RELEASE [VERSION]: builds the Debian package for a release, in a chroot of that release.
#
# Two things come from the network and are kept in $CAXTON_BUILD_CACHE: the chroot (rootfs.sh), and the wheels that
# app/requirements.txt pins by hash. The build itself has no network, works on a copy of the tree, and checks its
# result with lintian. It leaves build/deb/RELEASE/caxton_VERSION_amd64.deb. Needs root.
#
# $CAXTON_BUILD_PATH is where the copy lies inside the chroot: `make reproducible` builds at two places. Lintian takes half of the time;
# CAXTON_BUILD_LINTIAN=no is for the copies of a package that it has seen, under another version or at another place.
set -eu
release=$1 version=${2:-}
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${CAXTON_BUILD_CACHE:-/var/cache/caxton-build}
inside=${CAXTON_BUILD_PATH:-/build/caxton}
out=${CAXTON_BUILD_OUT:-$root/build/deb/$release}
lintian=${CAXTON_BUILD_LINTIAN:-yes}
pip=${PIP:-python3 -m pip}
packages="debhelper dpkg-dev fakeroot lintian python3 python3-pip"

fail() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }
digest() { sha256sum | cut -c1-12; } # of standard input
once() { # only one of several builds fetches what all of them need
    exec 9>"$cache/lock"
    flock 9
}

[ "$(id -u)" = 0 ] || fail "root is needed: chroot and mount are"
mkdir -p "$cache" "$out"

chroot_of() {
    made=$cache/$release-$({ cat "$root/packaging/rootfs.sh"; echo "$packages"; } | digest)
    # shellcheck disable=SC2086  # a list of packages
    [ -d "$made" ] || sh "$root/packaging/rootfs.sh" "$release" "$made" $packages >&2
    echo "$made"
}

wheels_for() { # PYTHON, e.g. 3.11
    made=$cache/wheels-$1-$(digest <"$root/app/requirements.txt")
    if [ ! -d "$made" ]; then
        rm -rf "$made.making"
        $pip download -qq --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: \
            --implementation cp --python-version "$1" --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
            --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
            --dest "$made.making" -r "$root/app/requirements.txt" >&2
        mv "$made.making" "$made"
    fi
    echo "$made"
}

stage() { # DIRECTORY: what the package is made of, and nothing else
    mkdir -p "$1/app"
    cp -r "$root/app/caxton" "$root/app/docs" "$root/app/requirements.txt" "$1/app/"
    cp -r "$root/packaging" "$1/packaging"
    cp -r "$root/roles/caxton_monitoring/files" "$1/monitoring"
    mv "$1/packaging/debian" "$1/debian"
    find "$1" -name __pycache__ -prune -exec rm -rf {} +
    [ -z "$version" ] || sh "$root/packaging/set-version.sh" "$1" "$version"
}

once
chroot=$(chroot_of)
python=$(chroot "$chroot" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
wheels=$(wheels_for "$python")
flock -u 9

work=$(mktemp -d "${TMPDIR:-/tmp}/caxton-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir "$work/upper" "$work/work" "$work/root"
stage "$work/upper$inside"

# The mounts live and die with this process tree, and so does its network: there is none.
unshare --mount --net --pid --fork --kill-child --propagation private \
    sh "$root/packaging/in-chroot.sh" "$work" "$chroot" "$wheels" "$inside" "$lintian" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    fail "the build failed"
}
cp "$work/upper$(dirname "$inside")"/caxton_*.deb "$out/"
tail -n 1 "$work/log"
for made in "$work/upper$(dirname "$inside")"/caxton_*.deb; do echo "$out/$(basename "$made")"; done

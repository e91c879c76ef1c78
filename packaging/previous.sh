#!/bin/sh
# previous.sh RELEASE: builds the package that an upgrade comes from, and prints its path.
#
# It is the package of the last tag before this commit. Without one it is this tree under a lower version, so that the way
# there and back is tried from the first release on.
set -eu
release=$1
root=$(cd "$(dirname "$0")/.." && pwd)

tag=$(git -C "$root" describe --tags --abbrev=0 HEAD^ 2>/dev/null || true)
if [ -z "$tag" ]; then
    sh "$root/packaging/build.sh" "$release" 0.0.1
    exit 0
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/caxton-previous.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
git -C "$root" archive "$tag" | tar -x -C "$work"
CAXTON_BUILD_OUT=$root/build/deb/$release sh "$work/packaging/build.sh" "$release"

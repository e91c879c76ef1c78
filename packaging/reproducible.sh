#!/bin/sh
# reproducible.sh RELEASE [VERSION]: builds the package twice, from two copies of the tree in different places, at
# different paths inside the chroot, under different umasks; fails unless both are the same, byte for byte.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/caxton-twice.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

build() { # NAME PATH UMASK LINTIAN RELEASE [VERSION]
    name=$1 path=$2 mask=$3 lintian=$4
    shift 4
    mkdir -p "$work/$name/app" "$work/$name/roles/caxton_monitoring"
    (
        umask "$mask"
        cp -r "$root/packaging" "$work/$name/"
        cp -r "$root/app/caxton" "$root/app/docs" "$root/app/requirements.txt" "$work/$name/app/"
        cp -r "$root/roles/caxton_monitoring/files" "$work/$name/roles/caxton_monitoring/"
        export CAXTON_BUILD_PATH="$path" CAXTON_BUILD_OUT="$work/$name/out" CAXTON_BUILD_LINTIAN="$lintian"
        sh "$work/$name/packaging/build.sh" "$@" >"$work/$name/log"
    )
}

build one /build/caxton 022 yes "$@"
build a-longer-name-elsewhere /var/tmp/somewhere/else/tree 077 no "$@" # the same bytes, or this fails
cd "$work"
sha256sum one/out/*.deb a-longer-name-elsewhere/out/*.deb
cmp one/out/*.deb a-longer-name-elsewhere/out/*.deb
echo "both builds are the same"
mkdir -p "$root/build/deb/$1"
cp one/out/*.deb "$root/build/deb/$1/"

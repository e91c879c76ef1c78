#!/bin/sh
# in-chroot.sh WORK CHROOT WHEELS PATH LINTIAN: builds the package at PATH of an overlay over CHROOT, then runs lintian on it,
# unless LINTIAN is `no`.
#
# Runs in namespaces of its own (build.sh makes them): what it mounts nobody else sees, and it reaches no network.
set -eu
work=$1 chroot=$2 wheels=$3 path=$4 lintian=$5

mount -t overlay overlay -o "lowerdir=$chroot,upperdir=$work/upper,workdir=$work/work" "$work/root"
mount -t proc proc "$work/root/proc"
for device in null zero full random urandom; do
    [ -e "$work/root/dev/$device" ] || : >"$work/root/dev/$device"
    mount --bind "/dev/$device" "$work/root/dev/$device"
done
mkdir -p "$work/root/wheels"
mount --bind "$wheels" "$work/root/wheels"
mount -o remount,bind,ro "$work/root/wheels"

# shellcheck disable=SC2016  # expanded inside
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/nonexistent DEB_BUILD_OPTIONS="nocheck parallel=2" \
    chroot "$work/root" sh -euc '
        cd "$1"
        dpkg-buildpackage --build=binary --no-sign --no-check-builddeps
        if [ "$2" = no ]; then
            echo "built without network"
        else
            lintian --allow-root --fail-on error,warning ../caxton_*.deb
            echo "built without network, lintian is content"
        fi
    ' sh "$path" "$lintian"

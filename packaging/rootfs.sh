#!/bin/sh
# rootfs.sh RELEASE TARGET PACKAGE…: makes TARGET a Debian root file system of RELEASE with these packages.
#
# The build chroots of the package and the lab's machines start from here. It goes to the mirror that this
# host uses ($DEBIAN_MIRROR names another), keeps nothing of the host's environment, starts no service, and
# appears at TARGET only when it is complete. Needs root, debootstrap, and Debian's archive keyring.
set -eu
[ $# -ge 2 ] || { echo "usage: rootfs.sh RELEASE TARGET [PACKAGE…]" >&2; exit 2; }
release=$1 target=$2
shift 2

fail() { printf 'rootfs.sh: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "root is needed: debootstrap and chroot are"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt install debootstrap"
[ ! -e "$target" ] || fail "$target exists; remove it first"

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
making=$target.making.$$
trap 'rm -rf "$making"' EXIT
trap 'exit 1' INT TERM

inside() { # a command in the new root, with nothing of this host's environment
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$making" "$@"
}

mkdir -p "$(dirname "$target")"
debootstrap --variant=minbase --include=ca-certificates "$release" "$making" "$mirror" >"$target.log" 2>&1 ||
    fail "debootstrap failed; the end of $target.log: $(tail -n 5 "$target.log")"

printf '#!/bin/sh\nexit 101\n' >"$making/usr/sbin/policy-rc.d"
chmod 755 "$making/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$making/etc/resolv.conf"
cat >"$making/etc/apt/sources.list" <<LIST
deb $mirror $release main
deb $mirror $release-updates main
deb $security $release-security main
LIST
{
    inside apt-get update -q
    inside apt-get upgrade -y -q
    [ $# -eq 0 ] || inside apt-get install -y -q --no-install-recommends "$@"
} >>"$target.log" 2>&1 || fail "apt failed; the end of $target.log: $(tail -n 5 "$target.log")"

rm -f "$making/usr/sbin/policy-rc.d" "$making/etc/machine-id" "$making/var/lib/dbus/machine-id"
rm -f "$making"/etc/ssh/ssh_host_*
: >"$making/etc/machine-id"
: >"$making/etc/resolv.conf"
inside apt-get clean
mv "$making" "$target"

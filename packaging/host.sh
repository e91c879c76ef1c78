#!/bin/sh
# host.sh LIST…: makes sure that this host has the Debian packages of these lists (one name a line, # comments).
#
# Says what is missing where it may not install it. Starts nothing: a daemon that comes with a package is for
# tests to start on loopback, not for this host to run.
set -eu
[ $# -ge 1 ] || { echo "usage: host.sh LIST…" >&2; exit 2; }

missing=$(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$@" | sort -u | while read -r name; do
    dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || printf '%s ' "$name"
done)
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "host.sh: missing; as root: apt install $missing" >&2; exit 1; }

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get update -qq
# shellcheck disable=SC2086  # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

#!/bin/sh
# Makes the virtual environment that `make run` and `make test` use. Needs no root where python3-venv is
# there; as root on Debian it installs what is missing.
set -eu
venv=$1
python=${PYTHON:-python3.11}

fail() { printf 'caxton: %s\n' "$*" >&2; exit 1; }

install_debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

command -v "$python" >/dev/null || python=python3
command -v "$python" >/dev/null || install_debian python3 python3-venv || fail "python3 is missing; as root: apt install python3 python3-venv"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
    fail "$("$python" --version) found, 3.11 to 3.13 needed; choose one with: make PYTHON=/path/to/python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null || install_debian python3-venv ||
    fail "the venv module is missing; as root: apt install python3-venv"

"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r app/requirements-dev.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --target "$venv/programs" -r app/requirements-programs.txt
touch "$venv/.installed"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that a purpose needs and that are missing: deps.sh build|test|check|bench.
# `test` and `bench` include `build`; `check` includes `test`.
set -eu
cd "$(dirname "$0")/.."
purpose=${1:?purpose}

case $purpose in
check) wanted='build|test|check' ;;
*) wanted="build|$purpose" ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "kvs: this is no Debian system; install the counterparts of scripts/packages.txt yourself" >&2
    exit 0
fi

# npm and nginx also come in other packages than these: a command that works is enough.
present() {
    case $1 in
    npm) command -v npm >/dev/null && return 0 ;;
    nginx-light) command -v nginx >/dev/null && return 0 ;;
    esac
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q ' ok installed$'
}

missing=
for package in $(grep -E "^($wanted) " scripts/packages.txt | cut -d' ' -f2); do
    present "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "kvs: missing packages:$missing" >&2
    echo "kvs: installing them needs root. Run this as root, or install sudo, or have someone run:" >&2
    echo "kvs:     apt-get install$missing" >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends $missing >"$log" 2>&1 </dev/null
}
echo "kvs: installing$missing"
install || { $as_root apt-get update >"$log" 2>&1 && install; } || {
    tail -n 20 "$log" >&2
    echo "kvs: apt-get could not install:$missing" >&2
    exit 1
}

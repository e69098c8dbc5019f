#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Configures (once) and builds: build.sh DIR. The folder's name says how:
#   build          debug information, optimised          build-release  as released, with LTO
#   build-asan     AddressSanitizer + UBSan              build-tsan     ThreadSanitizer
#   build-clang    clang instead of gcc                  build-fuzz     libFuzzer targets (clang)
#   build-coverage counts what runs (gcov)
set -eu
cd "$(dirname "$0")/.."
dir=${1:?build folder}

if [ ! -f "$dir/build.ninja" ]; then
    case $dir in
    *-release) set -- --buildtype=release -Db_lto=true ;;
    *-asan) set -- -Db_sanitize=address,undefined -Db_lundef=false ;;
    *-tsan) set -- -Db_sanitize=thread -Db_lundef=false ;;
    *-coverage) set -- -Db_coverage=true -Dc_args=-fprofile-update=atomic ;;
    *-fuzz) set -- -Dfuzzing=true -Db_sanitize=address,undefined -Db_lundef=false ;;
    *) set -- ;;
    esac
    case $dir in
    *-clang | *-fuzz) export CC=clang ;;
    esac
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    meson setup "$dir" "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        exit 1
    }
fi
ninja -C "$dir" --quiet

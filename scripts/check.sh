#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything that `make test` leaves out because it takes longer: other compilers, sanitizers, valgrind,
# static analysis, format. Stops at the first failure.
set -eu
cd "$(dirname "$0")/.."
step() { echo "== $*"; }

step "clang-format"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror

step "gcc, make test"
scripts/build.sh build
scripts/test.sh build

step "clang, make test"
scripts/build.sh build-clang
scripts/test.sh build-clang

step "ASan + UBSan, make test"
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
scripts/build.sh build-asan
scripts/test.sh build-asan

step "TSan, make test"
# RocksDB is not instrumented: what happens inside it is not seen, and not ours to judge.
export TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tests/tools/tsan.supp
scripts/build.sh build-tsan
scripts/test.sh build-tsan

step "valgrind, unit tests"
meson test -C build --no-rebuild --suite unit --timeout-multiplier 20 -q \
    --wrapper 'valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite'

step "clang-tidy"
git ls-files 'src/*.c' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build-clang

# cppcheck does not know __attribute__((cleanup)): leaks are ASan's and valgrind's.
step "cppcheck"
cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
    --suppress=missingIncludeSystem --suppress=memleak --suppress=internalAstError --std=c11 -DKVS_VERSION='"x"' -D__GNUC__=12 -I . -I src -I include -j "$(nproc)" src

echo "check: all good"

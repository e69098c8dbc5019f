// SPDX-License-Identifier: Apache-2.0
// An arena for every test of a file, made before the first and dropped after the last.
#ifndef TESTS_UNIT_CODEC_ARENA_FIXTURE_H
#define TESTS_UNIT_CODEC_ARENA_FIXTURE_H

#include "tests/unit/test.h"

#include "base/arena.h"

static struct kvs_arena arena;

static int make_arena(void **state)
{
    (void)state;
    kvs_arena_init(&arena, 1 << 20);
    return 0;
}

static int drop_arena(void **state)
{
    (void)state;
    kvs_arena_done(&arena);
    return 0;
}

#endif

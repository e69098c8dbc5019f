// SPDX-License-Identifier: Apache-2.0
// Memory that dies all at once: one arena a request, freed with its response. Nothing from it may
// enter a queue that outlives the request. Not thread-safe; used by one thread at a time.
#ifndef KVS_BASE_ARENA_H
#define KVS_BASE_ARENA_H

#include "base/slice.h"

struct kvs_arena_block;

struct kvs_arena {
    struct kvs_arena_block *head; // newest block
    size_t used;                  // bytes used in head
    size_t total;                 // bytes held, all blocks
    size_t total_max;             // allocation beyond it returns NULL
};

void kvs_arena_init(struct kvs_arena *arena, size_t total_max);
void kvs_arena_done(struct kvs_arena *arena);

// Frees all but the first block, for reuse by the next request.
void kvs_arena_reset(struct kvs_arena *arena);

// Aligned to 16 bytes, uninitialised; NULL when out of memory or over the limit.
void *kvs_arena_alloc(struct kvs_arena *arena, size_t size);

// A copy of the bytes with a NUL behind them (not counted); data == NULL when out of memory.
struct kvs_slice kvs_arena_copy(struct kvs_arena *arena, struct kvs_slice slice);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include <stdlib.h>

enum { BLOCK_SIZE = 4096, ALIGNMENT = 16 };

struct kvs_arena_block {
    _Alignas(ALIGNMENT) struct kvs_arena_block *next;
    size_t size; // bytes of data
    _Alignas(ALIGNMENT) char data[];
};

void kvs_arena_init(struct kvs_arena *arena, size_t total_max)
{
    *arena = (struct kvs_arena){.total_max = total_max};
}

static void free_blocks(struct kvs_arena_block *block)
{
    while (block) {
        struct kvs_arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void kvs_arena_done(struct kvs_arena *arena)
{
    if (!arena)
        return;
    free_blocks(arena->head);
    *arena = (struct kvs_arena){.total_max = arena->total_max};
}

void kvs_arena_reset(struct kvs_arena *arena)
{
    struct kvs_arena_block *block = arena->head;
    while (block && block->next) {
        struct kvs_arena_block *next = block->next;
        free(block);
        block = next;
    }
    if (block && block->size != BLOCK_SIZE) {
        free(block);
        block = NULL;
    }
    arena->head = block;
    arena->used = 0;
    arena->total = block ? block->size : 0;
}

void *kvs_arena_alloc(struct kvs_arena *arena, size_t size)
{
    if (size > arena->total_max)
        return NULL;
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct kvs_arena_block *block = arena->head;
    if (!block || block->size - arena->used < rounded) {
        size_t block_size = rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE;
        if (block_size > arena->total_max - arena->total)
            return NULL;
        block = malloc(sizeof(*block) + block_size);
        if (!block)
            return NULL;
        block->next = arena->head;
        block->size = block_size;
        arena->head = block;
        arena->used = 0;
        arena->total += block_size;
    }
    void *result = block->data + arena->used;
    arena->used += rounded;
    return result;
}

struct kvs_slice kvs_arena_copy(struct kvs_arena *arena, struct kvs_slice slice)
{
    char *copy = kvs_arena_alloc(arena, slice.size + 1);
    if (!copy)
        return KVS_SLICE_EMPTY;
    if (slice.size > 0)
        memcpy(copy, slice.data, slice.size);
    copy[slice.size] = '\0';
    return kvs_slice(copy, slice.size);
}

// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/naive_digest.h"

#include "base/assert.h"

#include <stdlib.h>

void naive_digest_init(struct naive_digest *digest)
{
    *digest = (struct naive_digest){0};
}

void naive_digest_done(struct naive_digest *digest)
{
    free(digest->records);
    naive_digest_init(digest);
}

static struct kvs_slice key_of(const struct naive_record *record)
{
    return kvs_slice(record->key, record->key_size);
}

// The first record at or behind `key`.
static size_t lower_bound(const struct naive_digest *digest, struct kvs_slice key)
{
    size_t low = 0;
    size_t high = digest->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (kvs_slice_cmp(key_of(&digest->records[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t upper_end(const struct naive_digest *digest, struct kvs_slice end)
{
    return end.size == 0 ? digest->count : lower_bound(digest, end);
}

static void insert(struct naive_digest *digest, size_t at, struct kvs_slice key,
                   struct kvs_digest_sum item)
{
    kvs_assert(key.size <= NAIVE_KEY_MAX);
    if (digest->count == digest->capacity) {
        digest->capacity = digest->capacity ? digest->capacity * 2 : 16;
        digest->records = realloc(digest->records, digest->capacity * sizeof(digest->records[0]));
        kvs_assert(digest->records != NULL);
    }
    memmove(&digest->records[at + 1], &digest->records[at],
            (digest->count - at) * sizeof(digest->records[0]));
    struct naive_record *record = &digest->records[at];
    memcpy(record->key, key.data, key.size);
    record->key_size = key.size;
    record->item = item;
    digest->count++;
}

void naive_digest_update(struct naive_digest *digest, struct kvs_slice key,
                         const struct kvs_digest_sum *old_item,
                         const struct kvs_digest_sum *new_item)
{
    size_t at = lower_bound(digest, key);
    bool found = at < digest->count && kvs_slice_eq(key_of(&digest->records[at]), key);
    kvs_assert(found == (old_item != NULL));
    if (found) {
        kvs_assert(digest->records[at].item.lo == old_item->lo);
        kvs_assert(digest->records[at].item.hi == old_item->hi);
    }
    if (found && new_item) {
        digest->records[at].item = *new_item;
    } else if (found) {
        digest->count--;
        memmove(&digest->records[at], &digest->records[at + 1],
                (digest->count - at) * sizeof(digest->records[0]));
    } else if (new_item) {
        insert(digest, at, key, *new_item);
    }
}

static struct kvs_fingerprint sum(const struct naive_digest *digest, size_t from, size_t to)
{
    struct kvs_fingerprint result = {.count = to > from ? to - from : 0};
    for (size_t i = from; i < to; i++)
        kvs_digest_sum_add(&result.sum, digest->records[i].item);
    return result;
}

struct kvs_fingerprint naive_digest_range(const struct naive_digest *digest, struct kvs_slice first,
                                          struct kvs_slice end)
{
    return sum(digest, lower_bound(digest, first), upper_end(digest, end));
}

void naive_digest_split(const struct naive_digest *digest, struct kvs_slice first,
                        struct kvs_slice end, uint32_t parts, kvs_digest_part_fn *visit, void *ctx)
{
    size_t from = lower_bound(digest, first);
    size_t to = upper_end(digest, end);
    size_t count = to > from ? to - from : 0;
    size_t pieces = count < parts ? count : parts;
    if (pieces < 2) {
        visit(ctx, first, sum(digest, from, to));
        return;
    }
    for (size_t i = 0; i < pieces; i++) {
        size_t a = from + count * i / pieces;
        size_t b = from + count * (i + 1) / pieces;
        struct kvs_slice start = i == 0 ? first : key_of(&digest->records[a]);
        if (!visit(ctx, start, sum(digest, a, b)))
            return;
    }
}

static int scan(void *ctx, struct kvs_slice first, struct kvs_slice end, kvs_digest_visit_fn *visit,
                void *visit_ctx)
{
    const struct naive_digest *digest = ctx;
    size_t to = upper_end(digest, end);
    for (size_t i = lower_bound(digest, first); i < to; i++)
        if (!visit(visit_ctx, key_of(&digest->records[i]), digest->records[i].item))
            break;
    return 0;
}

struct kvs_digest_source naive_digest_source(const struct naive_digest *digest)
{
    return (struct kvs_digest_source){(void *)digest, scan};
}

// SPDX-License-Identifier: Apache-2.0
// One exchange of a digest sync, from the store's side: stateless, as POST /merkle_tree/diff needs
// it (one range), and batched. Runs on any thread over one consistent view.
#include "base/assert.h"
#include "repl/repl.h"

struct listing {
    struct kvs_arena *arena;
    struct kvs_repl_stub *stubs;
    size_t count;
    size_t capacity;
    int err;
};

static bool list_one(void *ctx, struct kvs_slice key, const struct kvs_version *version)
{
    struct listing *listing = ctx;
    if (listing->count == listing->capacity) // more than the fingerprint counted
        return false;
    struct kvs_repl_stub *stub = &listing->stubs[listing->count];
    stub->key = kvs_arena_copy(listing->arena, key);
    stub->version = *version;
    if (!stub->key.data) {
        listing->err = KVS_ERR_NOMEM;
        return false;
    }
    listing->count++;
    return true;
}

static int list(const struct kvs_repl_ranges *store, const struct kvs_repl_range *range,
                uint64_t count, struct kvs_arena *arena, struct kvs_repl_compared *answer)
{
    struct listing listing = {.arena = arena, .capacity = (size_t)count};
    listing.stubs = kvs_arena_alloc(arena, (size_t)(count ? count : 1) * sizeof(*listing.stubs));
    if (!listing.stubs)
        return KVS_ERR_NOMEM;
    int err = store->list(store->ctx, range->first, range->end, list_one, &listing);
    answer->kind = KVS_COMPARED_LISTED;
    answer->stubs = listing.stubs;
    answer->stub_count = listing.count;
    return err ? err : listing.err;
}

struct parts {
    struct kvs_arena *arena;
    struct kvs_repl_range parts[2 * KVS_REPL_PARTS];
    size_t count;
    int err;
};

static bool add_part(void *ctx, struct kvs_slice first, struct kvs_fingerprint fingerprint)
{
    struct parts *parts = ctx;
    if (parts->count == KVS_ARRAY_SIZE(parts->parts))
        return false;
    struct kvs_repl_range *part = &parts->parts[parts->count];
    *part = (struct kvs_repl_range){.first = kvs_arena_copy(parts->arena, first),
                                    .fingerprint = fingerprint};
    if (!part->first.data) {
        parts->err = KVS_ERR_NOMEM;
        return false;
    }
    if (parts->count > 0)
        part[-1].end = part->first;
    parts->count++;
    return true;
}

static int split(const struct kvs_repl_ranges *store, const struct kvs_repl_range *range,
                 struct kvs_arena *arena, struct kvs_repl_compared *answer)
{
    struct parts parts = {.arena = arena};
    int err = store->split(store->ctx, range->first, range->end, KVS_REPL_PARTS, add_part, &parts);
    err = err ? err : parts.err;
    if (err)
        return err;
    if (parts.count == 0)
        return KVS_ERR_INTERNAL;
    struct kvs_slice end = kvs_arena_copy(arena, range->end);
    if (!end.data)
        return KVS_ERR_NOMEM;
    parts.parts[parts.count - 1].end = end;
    answer->kind = KVS_COMPARED_SPLIT;
    answer->part_count = parts.count;
    answer->parts = kvs_arena_alloc(arena, parts.count * sizeof(parts.parts[0]));
    if (!answer->parts)
        return KVS_ERR_NOMEM;
    memcpy(answer->parts, parts.parts, parts.count * sizeof(parts.parts[0]));
    return 0;
}

int kvs_repl_compare(const struct kvs_repl_ranges *store, const struct kvs_repl_range *ranges,
                     size_t range_count, uint32_t list_max, struct kvs_arena *arena,
                     struct kvs_repl_compared **ret_answers)
{
    kvs_assert(list_max >= 1); // so that a split range always has two keys
    struct kvs_repl_compared *answers =
        kvs_arena_alloc(arena, (range_count ? range_count : 1) * sizeof(*answers));
    if (!answers)
        return KVS_ERR_NOMEM;
    for (size_t i = 0; i < range_count; i++) {
        const struct kvs_repl_range *range = &ranges[i];
        answers[i] = (struct kvs_repl_compared){.kind = KVS_COMPARED_EQUAL};
        struct kvs_fingerprint *here = &answers[i].fingerprint;
        int err = store->fingerprint(store->ctx, range->first, range->end, here);
        if (err)
            return err;
        bool small = here->count <= (range->list ? KVS_REPL_LIST_LIMIT : list_max);
        if (!range->list && kvs_fingerprint_eq(*here, range->fingerprint))
            continue;
        err = small ? list(store, range, here->count, arena, &answers[i])
                    : split(store, range, arena, &answers[i]);
        if (err)
            return err;
    }
    *ret_answers = answers;
    return 0;
}

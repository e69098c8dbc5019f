// SPDX-License-Identifier: Apache-2.0
// What the index is held against: a sorted array of keys and item hashes, summed by walking. It is
// the source of the index as well, and counts what is read.
#ifndef KVS_TESTS_UNIT_DIGEST_MODEL_H
#define KVS_TESTS_UNIT_DIGEST_MODEL_H

#include "tests/unit/test.h"

#include "digest/digest_internal.h"

#include <stdio.h>

enum { MODEL_KEY_MAX = 40, MODEL_RECORDS_MAX = 20000 };

struct model_record {
    char key[MODEL_KEY_MAX];
    size_t key_size;
    struct kvs_digest_sum item;
};

struct model {
    struct model_record records[MODEL_RECORDS_MAX]; // in key order
    size_t count;
    uint64_t random;
    uint64_t item_mask;   // 0xFF: digests cut to 8 bits
    uint64_t reads;       // records shown by the source, ever
    uint64_t reads_until; // the source fails then
    int err;              // of the source
};

static inline uint64_t model_random(struct model *model, uint64_t below)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return model->random % below;
}

static inline struct model *model_new(uint64_t seed)
{
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    model->random = seed * 0x9E3779B97F4A7C15 + 1;
    model->item_mask = UINT64_MAX;
    model->reads_until = UINT64_MAX;
    return model;
}

static inline struct kvs_slice model_key(const struct model *model, size_t at)
{
    return kvs_slice(model->records[at].key, model->records[at].key_size);
}

// The first record at or behind `key`.
static inline size_t model_find(const struct model *model, struct kvs_slice key)
{
    size_t low = 0;
    size_t high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (kvs_slice_cmp(model_key(model, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline size_t model_find_end(const struct model *model, struct kvs_slice end)
{
    return end.size == 0 ? model->count : model_find(model, end);
}

static inline bool model_has(const struct model *model, struct kvs_slice key)
{
    size_t at = model_find(model, key);
    return at < model->count && kvs_slice_eq(model_key(model, at), key);
}

static inline struct kvs_digest_sum model_item(struct model *model)
{
    struct kvs_digest_sum item = {model_random(model, UINT64_MAX), model_random(model, UINT64_MAX)};
    item.lo &= model->item_mask;
    item.hi = model->item_mask == UINT64_MAX ? item.hi : 0;
    return item;
}

static inline void model_put(struct model *model, struct kvs_slice key, struct kvs_digest_sum item)
{
    size_t at = model_find(model, key);
    if (!model_has(model, key)) {
        assert_true(model->count < MODEL_RECORDS_MAX);
        assert_true(key.size <= MODEL_KEY_MAX);
        memmove(&model->records[at + 1], &model->records[at],
                (model->count - at) * sizeof(model->records[0]));
        memcpy(model->records[at].key, key.data, key.size);
        model->records[at].key_size = key.size;
        model->count++;
    }
    model->records[at].item = item;
}

static inline void model_remove(struct model *model, size_t at)
{
    model->count--;
    memmove(&model->records[at], &model->records[at + 1],
            (model->count - at) * sizeof(model->records[0]));
}

static inline struct kvs_fingerprint model_range(const struct model *model, struct kvs_slice first,
                                                 struct kvs_slice end)
{
    struct kvs_fingerprint sum = {0};
    size_t stop = model_find_end(model, end);
    for (size_t i = model_find(model, first); i < stop; i++)
        fingerprint_add_item(&sum, model->records[i].item);
    return sum;
}

static inline int model_scan(void *ctx, struct kvs_slice first, struct kvs_slice end,
                             kvs_digest_visit_fn *visit, void *visit_ctx)
{
    struct model *model = ctx;
    size_t stop = model_find_end(model, end);
    for (size_t i = model_find(model, first); i < stop; i++) {
        if (model->reads == model->reads_until)
            return model->err;
        model->reads++;
        if (!visit(visit_ctx, model_key(model, i), model->records[i].item))
            break;
    }
    return 0;
}

static inline struct kvs_digest_source model_source(struct model *model)
{
    return (struct kvs_digest_source){model, model_scan};
}

// ---- Both at once

// A key among `universe`: some short, some with long common prefixes, some prefixes of others.
static inline struct kvs_slice model_some_key(struct model *model, uint64_t universe,
                                              char buffer[static MODEL_KEY_MAX])
{
    static const char *const forms[] = {"%llu", "app/config/%05llu", "u/%llx/",
                                        "app/config/%llu/x"};
    unsigned long long number = model_random(model, universe);
    int size = snprintf(buffer, MODEL_KEY_MAX, forms[number % KVS_ARRAY_SIZE(forms)], number);
    return kvs_slice(buffer, (size_t)size);
}

static inline void both_put(struct model *model, struct kvs_digest *digest, struct kvs_slice key)
{
    struct kvs_digest_sum item = model_item(model);
    bool had = model_has(model, key);
    struct kvs_digest_sum old = had ? model->records[model_find(model, key)].item : item;
    assert_int_equal(kvs_digest_update(digest, key, had ? &old : NULL, &item), 0);
    model_put(model, key, item);
}

static inline void both_remove(struct model *model, struct kvs_digest *digest, size_t at)
{
    struct kvs_digest_sum old = model->records[at].item;
    assert_int_equal(kvs_digest_update(digest, model_key(model, at), &old, NULL), 0);
    model_remove(model, at);
}

static inline void maintain_all(struct model *model, struct kvs_digest *digest)
{
    struct kvs_digest_source source = model_source(model);
    bool more = true;
    while (more)
        assert_int_equal(kvs_digest_maintain(digest, &source, 8, &more), 0);
}

static inline void fill(struct model *model, struct kvs_digest *digest, uint64_t universe,
                        size_t puts)
{
    char buffer[MODEL_KEY_MAX];
    for (size_t i = 0; i < puts; i++) {
        both_put(model, digest, model_some_key(model, universe, buffer));
        if (i % 64 == 0)
            maintain_all(model, digest);
    }
    maintain_all(model, digest);
}

static inline struct kvs_digest *new_digest(uint32_t block_size)
{
    struct kvs_digest_options options = {.block_size = block_size};
    struct kvs_digest *digest = NULL;
    assert_int_equal(kvs_digest_new(&options, &digest), 0);
    return digest;
}

static inline void assert_same_range(struct model *model, const struct kvs_digest *digest,
                                     struct kvs_slice first, struct kvs_slice end)
{
    struct kvs_digest_source source = model_source(model);
    struct kvs_fingerprint print;
    assert_int_equal(kvs_digest_range(digest, &source, first, end, &print), 0);
    assert_true(kvs_fingerprint_eq(print, model_range(model, first, end)));
}

// ---- The tree itself

static inline void check_node(const struct kvs_digest *digest, const struct node *node,
                              struct kvs_slice first, struct kvs_slice end, bool flagged_above,
                              uint32_t depth, uint32_t leaf_depth)
{
    assert_int_equal(node->leaf, depth == leaf_depth);
    assert_true(node->size >= 1);
    assert_true(depth == 1 || node->size >= NODE_ENTRIES_MIN);
    assert_true(flagged_above || !node->uneven);
    assert_true(kvs_slice_eq(node_key(node, 0), first));
    for (uint32_t i = 0; i < node->size; i++) {
        struct kvs_slice next = i + 1 < node->size ? node_key(node, i + 1) : end;
        assert_true(next.size == 0 || kvs_slice_cmp(node_key(node, i), next) < 0);
        if (node->leaf) {
            uint64_t count = node->prints[i].count;
            bool small = count < block_min(digest) && node->size > 1;
            assert_true(node->uneven || (!small && count <= block_max(digest)));
            continue;
        }
        struct node *child = node->children[i];
        struct kvs_fingerprint sum = node_sum(child, 0, child->size);
        assert_true(kvs_fingerprint_eq(sum, node->prints[i]));
        check_node(digest, child, node_key(node, i), next, node->uneven, depth + 1, leaf_depth);
    }
}

static inline void check_tree(const struct kvs_digest *digest)
{
    const struct tree *tree = &digest->tree;
    struct kvs_digest_stats stats;
    kvs_digest_stats(digest, &stats);
    assert_true(kvs_fingerprint_eq(tree->total, node_sum(tree->root, 0, tree->root->size)));
    check_node(digest, tree->root, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, true, 1, stats.depth);
}

// Every block against the records.
static inline void check_blocks(struct model *model, const struct kvs_digest *digest)
{
    struct place place;
    struct kvs_slice at = KVS_SLICE_EMPTY;
    do {
        tree_place_of_key(&digest->tree, at, &place);
        assert_true(kvs_fingerprint_eq(place.block, model_range(model, place.first, place.end)));
        assert_true(kvs_fingerprint_eq(
            place.below, place.first.size == 0 ? (struct kvs_fingerprint){0}
                                               : model_range(model, KVS_SLICE_EMPTY, place.first)));
        at = place.end;
    } while (at.size > 0);
}

#endif

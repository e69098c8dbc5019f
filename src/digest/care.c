// SPDX-License-Identifier: Apache-2.0
// What keeps the index true to the records: building it from all of them, and scrubbing it block by
// block. Not thread-safe.
#include "digest/digest_internal.h"

// ---- Rebuilding

struct rebuilding {
    struct kvs_digest *digest; // the new one
    struct kvs_fingerprint block;
    struct kvs_buf separator; // of that block
    struct kvs_buf last;      // key; which one ends the block nobody knows before the next
    int err;
};

// Appends the block that is full, and begins the next one at `key`.
static int next_block(struct rebuilding *rebuilding, struct kvs_slice key)
{
    struct kvs_slice last = kvs_buf_slice(&rebuilding->last);
    if (kvs_slice_cmp(last, key) >= 0)
        return KVS_ERR_CORRUPT;
    int err = digest_append(rebuilding->digest, kvs_buf_slice(&rebuilding->separator),
                            &rebuilding->block);
    rebuilding->block = (struct kvs_fingerprint){0};
    kvs_buf_clear(&rebuilding->separator);
    kvs_buf_append_slice(&rebuilding->separator, separator_between(last, key));
    return err ? err : rebuilding->separator.err;
}

static bool rebuild_visit(void *ctx, struct kvs_slice key, struct kvs_digest_sum item)
{
    struct rebuilding *rebuilding = ctx;
    if (rebuilding->block.count == rebuilding->digest->block_size)
        rebuilding->err = next_block(rebuilding, key);
    if (rebuilding->err)
        return false;
    fingerprint_add_item(&rebuilding->block, item);
    kvs_buf_clear(&rebuilding->last);
    kvs_buf_append_slice(&rebuilding->last, key);
    rebuilding->err = rebuilding->last.err;
    return rebuilding->err == 0;
}

int kvs_digest_rebuild(struct kvs_digest *digest, const struct kvs_digest_source *source)
{
    struct kvs_digest fresh = {.block_size = digest->block_size};
    int err = tree_init(&fresh.tree);
    if (err)
        return err;
    struct rebuilding rebuilding = {
        .digest = &fresh,
        .separator = KVS_BUF_INIT(KVS_DIGEST_RECORD_KEY_MAX),
        .last = KVS_BUF_INIT(KVS_DIGEST_RECORD_KEY_MAX),
    };
    err = source->scan(source->ctx, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, rebuild_visit, &rebuilding);
    err = err ? err : rebuilding.err;
    if (!err)
        err = digest_append(&fresh, kvs_buf_slice(&rebuilding.separator), &rebuilding.block);
    if (!err) {
        struct tree old = digest->tree;
        digest->tree = fresh.tree;
        fresh.tree = old;
    }
    tree_done(&fresh.tree);
    kvs_buf_done(&rebuilding.separator);
    kvs_buf_done(&rebuilding.last);
    return err;
}

// ---- Scrubbing

static bool sum_visit(void *ctx, struct kvs_slice key, struct kvs_digest_sum item)
{
    (void)key;
    fingerprint_add_item(ctx, item);
    return true;
}

int kvs_digest_scrub(struct kvs_digest *digest, const struct kvs_digest_source *source,
                     struct kvs_buf *cursor, bool *ret_mismatch)
{
    *ret_mismatch = false;
    struct place place;
    tree_place_of_key(&digest->tree, kvs_buf_slice(cursor), &place);
    struct kvs_fingerprint right = {0};
    int err = source->scan(source->ctx, place.first, place.end, sum_visit, &right);
    if (err)
        return err;
    size_t cursor_size = cursor->size;
    kvs_buf_append_slice(cursor, place.end); // first, as it may fail
    if (cursor->err)
        return cursor->err;
    kvs_buf_consume(cursor, cursor_size);
    if (!kvs_fingerprint_eq(place.block, right)) {
        struct path path;
        tree_find(&digest->tree, place.first, &path);
        fingerprint_sub(&right, &place.block);
        digest_add(digest, &path, &right);
        *ret_mismatch = true;
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Fingerprints of ranges, and ranges cut into parts. Whole blocks come from the tree; only a block
// in which a range or a part ends is read. Changes nothing.
#include "digest/digest_internal.h"

#include "base/assert.h"

static bool is_before(struct kvs_slice key, struct kvs_slice end)
{
    return end.size == 0 || kvs_slice_cmp(key, end) < 0;
}

static bool add_visit(void *ctx, struct kvs_slice key, struct kvs_digest_sum item)
{
    (void)key;
    fingerprint_add_item(ctx, item);
    return true;
}

// Reads what a block holds of [first, end).
static int read_part(const struct kvs_digest_source *source, const struct place *place,
                     struct kvs_slice first, struct kvs_slice end,
                     struct kvs_fingerprint *ret_fingerprint)
{
    *ret_fingerprint = (struct kvs_fingerprint){0};
    if (place->block.count == 0)
        return 0;
    int err = source->scan(source->ctx, first, end, add_visit, ret_fingerprint);
    return !err && ret_fingerprint->count > place->block.count ? KVS_ERR_CORRUPT : err;
}

// Of the keys before `key`. The place is that of the key's block.
static int fingerprint_below(const struct kvs_digest *digest,
                             const struct kvs_digest_source *source, struct kvs_slice key,
                             struct place *ret_place, struct kvs_fingerprint *ret_below)
{
    tree_place_of_key(&digest->tree, key, ret_place);
    struct kvs_fingerprint part = {0};
    int err = kvs_slice_eq(ret_place->first, key)
                  ? 0
                  : read_part(source, ret_place, ret_place->first, key, &part);
    *ret_below = ret_place->below;
    fingerprint_add(ret_below, &part);
    return err;
}

int kvs_digest_range(const struct kvs_digest *digest, const struct kvs_digest_source *source,
                     struct kvs_slice first, struct kvs_slice end,
                     struct kvs_fingerprint *ret_fingerprint)
{
    *ret_fingerprint = (struct kvs_fingerprint){0};
    if (!is_before(first, end))
        return 0;
    struct place place;
    tree_place_of_key(&digest->tree, first, &place);
    bool to_last = end.size == 0;
    bool in_one_block = place.end.size == 0 || (!to_last && is_before(end, place.end));
    if (in_one_block && !kvs_slice_eq(first, place.first))
        return read_part(source, &place, first, end, ret_fingerprint);
    struct kvs_fingerprint below;
    int err = fingerprint_below(digest, source, first, &place, &below);
    if (err)
        return err;
    struct kvs_fingerprint all = digest->tree.total;
    err = to_last ? 0 : fingerprint_below(digest, source, end, &place, &all);
    if (err)
        return err;
    if (all.count < below.count) // two reads of one block that do not agree
        return KVS_ERR_CORRUPT;
    fingerprint_sub(&all, &below);
    *ret_fingerprint = all;
    return 0;
}

// ---- Parts

// A range on its way to being cut: parts are handed out as their upper border is found.
struct splitting {
    const struct kvs_digest *digest;
    struct kvs_fingerprint below; // before the range
    struct kvs_fingerprint all;   // before its end
    uint64_t pieces;
    uint64_t next; // number of the next border, from 1

    struct kvs_buf first;          // of the part that is open
    struct kvs_fingerprint behind; // before that
    kvs_digest_part_fn *visit;
    void *visit_ctx;
    bool stopped;

    // While a block is read:
    struct kvs_fingerprint at;
    uint64_t block_end; // rank
    struct kvs_buf before;
    int err;
};

// Rank of a border, 1 to pieces - 1, among all records.
static uint64_t border_rank(const struct splitting *s, uint64_t border)
{
    uint64_t count = s->all.count - s->below.count;
    return s->below.count + count / s->pieces * border + count % s->pieces * border / s->pieces;
}

static void close_part(struct splitting *s, const struct kvs_fingerprint *border)
{
    struct kvs_fingerprint part = *border;
    fingerprint_sub(&part, &s->behind);
    if (!s->stopped && !s->visit(s->visit_ctx, kvs_buf_slice(&s->first), part))
        s->stopped = true;
}

static void put_border(struct splitting *s, struct kvs_slice separator,
                       const struct kvs_fingerprint *border)
{
    close_part(s, border);
    kvs_buf_clear(&s->first);
    kvs_buf_append_slice(&s->first, separator);
    s->behind = *border;
    s->next++;
}

// A border between blocks costs no reading: good enough when it is near, which is a quarter of a
// part, so that it is always behind the last border and before the end.
static bool snap(struct splitting *s, const struct place *place, uint64_t rank)
{
    uint64_t near = (s->all.count - s->below.count) / s->pieces / 4;
    uint64_t start = place->below.count;
    uint64_t stop = start + place->block.count;
    if (rank - start <= near) {
        kvs_assert(start > s->behind.count);
        put_border(s, place->first, &place->below);
        return true;
    }
    if (stop - rank <= near) {
        kvs_assert(stop < s->all.count);
        struct kvs_fingerprint border = place->below;
        fingerprint_add(&border, &place->block);
        put_border(s, place->end, &border);
        return true;
    }
    return false;
}

static bool split_visit(void *ctx, struct kvs_slice key, struct kvs_digest_sum item)
{
    struct splitting *s = ctx;
    if (s->at.count == border_rank(s, s->next)) {
        if (kvs_slice_cmp(kvs_buf_slice(&s->before), key) >= 0) {
            s->err = KVS_ERR_CORRUPT;
            return false;
        }
        put_border(s, separator_between(kvs_buf_slice(&s->before), key), &s->at);
        if (s->stopped || s->next == s->pieces || border_rank(s, s->next) >= s->block_end)
            return false;
    }
    fingerprint_add_item(&s->at, item);
    if (s->at.count == border_rank(s, s->next)) {
        kvs_buf_clear(&s->before);
        kvs_buf_append_slice(&s->before, key);
    }
    return true;
}

// Puts all borders that lie in the block.
static int split_block(struct splitting *s, const struct kvs_digest_source *source,
                       const struct place *place)
{
    uint64_t next = s->next;
    s->at = place->below;
    s->block_end = place->below.count + place->block.count;
    int err = source->scan(source->ctx, place->first, place->end, split_visit, s);
    err = err ? err : s->err;
    err = err ? err : s->before.err;
    return !err && s->next == next ? KVS_ERR_CORRUPT : err; // fewer records than were counted
}

static int split_pieces(struct splitting *s, const struct kvs_digest_source *source)
{
    while (!s->stopped && s->next < s->pieces) {
        uint64_t rank = border_rank(s, s->next);
        struct place place;
        tree_place_of_rank(&s->digest->tree, rank, &place);
        int err = snap(s, &place, rank) ? 0 : split_block(s, source, &place);
        err = err ? err : s->first.err;
        if (err)
            return err;
    }
    close_part(s, &s->all);
    return 0;
}

int kvs_digest_split(const struct kvs_digest *digest, const struct kvs_digest_source *source,
                     struct kvs_slice first, struct kvs_slice end, uint32_t parts,
                     kvs_digest_part_fn *visit, void *visit_ctx)
{
    kvs_assert(parts >= 2);
    struct splitting s = {
        .digest = digest,
        .all = digest->tree.total,
        .next = 1,
        .first = KVS_BUF_INIT(SIZE_MAX),
        .visit = visit,
        .visit_ctx = visit_ctx,
        .before = KVS_BUF_INIT(KVS_DIGEST_RECORD_KEY_MAX),
    };
    struct place place;
    int err = fingerprint_below(digest, source, first, &place, &s.below);
    if (!err && end.size > 0)
        err = fingerprint_below(digest, source, end, &place, &s.all);
    if (err)
        return err;
    if (!is_before(first, end))
        s.all = s.below;
    if (s.all.count < s.below.count)
        return KVS_ERR_CORRUPT;
    uint64_t count = s.all.count - s.below.count;
    s.pieces = count < parts ? count : parts;
    s.behind = s.below;
    kvs_buf_append_slice(&s.first, first);
    err = s.first.err ? s.first.err : split_pieces(&s, source);
    kvs_buf_done(&s.first);
    kvs_buf_done(&s.before);
    return err;
}

// SPDX-License-Identifier: Apache-2.0
#include "audit/log.h"

#include "base/assert.h"
#include "codec/wire.h"

static const struct kvs_slice entry_prefix = KVS_SLICE("e");
static const struct kvs_slice seal_prefix = KVS_SLICE("s");

enum { VALUE_SIZE_MAX = 64 << 10, SEAL_SIZE_MAX = 512 };

void kvs_audit_entry_key(struct kvs_buf *out, uint64_t seq)
{
    kvs_buf_append_slice(out, entry_prefix);
    kvs_wire_put_u64be(out, seq);
}

void kvs_audit_node_key(struct kvs_buf *out, unsigned level, uint64_t index)
{
    kvs_buf_append_slice(out, KVS_SLICE("n"));
    kvs_wire_put_u8(out, (uint8_t)level);
    kvs_wire_put_u64be(out, index);
}

void kvs_audit_seal_key(struct kvs_buf *out, uint64_t epoch)
{
    kvs_buf_append_slice(out, seal_prefix);
    kvs_wire_put_u64be(out, epoch);
}

int kvs_audit_log_genesis(struct kvs_store *store, struct kvs_audit_genesis *ret_genesis)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(VALUE_SIZE_MAX);
    int err = kvs_store_get(store, KVS_FAMILY_AUDIT, KVS_AUDIT_GENESIS_KEY, KVS_READ_DISK, &value);
    return err ? err : kvs_audit_genesis_decode(kvs_buf_slice(&value), ret_genesis);
}

int kvs_audit_log_head(struct kvs_store *store, struct kvs_buf *scratch,
                       struct kvs_audit_head *ret_head, struct kvs_slice *ret_signed,
                       struct kvs_audit_hash *ret_mac)
{
    kvs_buf_clear(scratch);
    int err = kvs_store_get(store, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, KVS_READ_DISK, scratch);
    return err ? err : kvs_audit_head_decode(kvs_buf_slice(scratch), ret_head, ret_signed, ret_mac);
}

// ---- Walking

// The entries under a one-letter prefix whose keys go on with a number.
struct walk {
    struct kvs_store_iter *iter;
    struct kvs_slice prefix;
    bool downward;
};

static int begin_walk(struct kvs_store *store, struct kvs_slice prefix, uint64_t number,
                      bool downward, struct walk *walk)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(KVS_AUDIT_STORE_KEY_MAX);
    kvs_buf_append_slice(&key, prefix);
    kvs_wire_put_u64be(&key, number);
    if (key.err)
        return key.err;
    *walk = (struct walk){.prefix = prefix, .downward = downward};
    walk->iter = kvs_store_iter_new(store, KVS_FAMILY_AUDIT, &options);
    if (!walk->iter)
        return KVS_ERR_NOMEM;
    if (downward)
        kvs_store_iter_seek_before(walk->iter, kvs_buf_slice(&key));
    else
        kvs_store_iter_seek(walk->iter, kvs_buf_slice(&key));
    return 0;
}

// False at the end. Keys that are none of ours end the walk too: they sort behind or before.
static bool walk_at(const struct walk *walk, uint64_t *ret_number)
{
    if (!kvs_store_iter_valid(walk->iter))
        return false;
    struct kvs_slice key = kvs_store_iter_key(walk->iter);
    if (!kvs_slice_starts_with(key, walk->prefix))
        return false;
    struct kvs_cursor cursor = kvs_cursor(kvs_slice(key.data + 1, key.size - 1));
    *ret_number = kvs_wire_get_u64be(&cursor);
    return true;
}

static void walk_on(struct walk *walk)
{
    if (walk->downward)
        kvs_store_iter_prev(walk->iter);
    else
        kvs_store_iter_next(walk->iter);
}

static int end_walk(struct walk *walk)
{
    int err = kvs_store_iter_error(walk->iter);
    kvs_store_iter_free(KVS_TAKE(walk->iter));
    return err;
}

int kvs_audit_log_visit(struct kvs_store *store, uint64_t seq, bool downward,
                        kvs_audit_visit_fn *visit, void *ctx)
{
    struct walk walk;
    int err = begin_walk(store, entry_prefix, seq, downward, &walk);
    if (err)
        return err;
    uint64_t number = 0;
    for (; walk_at(&walk, &number); walk_on(&walk))
        if (!visit(ctx, number, kvs_store_iter_value(walk.iter)))
            break;
    return end_walk(&walk);
}

int kvs_audit_log_visit_seals(struct kvs_store *store, uint64_t epoch, bool downward,
                              kvs_audit_visit_seal_fn *visit, void *ctx)
{
    struct walk walk;
    int err = begin_walk(store, seal_prefix, epoch, downward, &walk);
    if (err)
        return err;
    uint64_t number = 0;
    for (; walk_at(&walk, &number); walk_on(&walk)) {
        struct kvs_audit_seal seal;
        bool good = kvs_audit_seal_decode(kvs_store_iter_value(walk.iter), &seal) == 0 &&
                    seal.epoch == number;
        if (!visit(ctx, number, good ? &seal : NULL))
            break;
    }
    return end_walk(&walk);
}

struct last_seal {
    struct kvs_audit_seal *seal;
    int err;
};

static bool take_last(void *ctx, uint64_t epoch, const struct kvs_audit_seal *seal)
{
    (void)epoch;
    struct last_seal *last = ctx;
    last->err = seal ? 0 : KVS_ERR_CORRUPT;
    if (seal)
        *last->seal = *seal;
    return false;
}

int kvs_audit_log_last_seal(struct kvs_store *store, struct kvs_audit_seal *ret_seal)
{
    struct last_seal last = {.seal = ret_seal, .err = KVS_ERR_NOT_FOUND};
    int err = kvs_audit_log_visit_seals(store, UINT64_MAX, true, take_last, &last);
    return err ? err : last.err;
}

// ---- The tree

int kvs_audit_log_leaf(struct kvs_store *store, struct kvs_audit_hasher *hasher, uint64_t seq,
                       struct kvs_audit_hash *ret_leaf)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(KVS_AUDIT_STORE_KEY_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(VALUE_SIZE_MAX);
    kvs_audit_entry_key(&key, seq);
    int err = key.err;
    if (!err)
        err = kvs_store_get(store, KVS_FAMILY_AUDIT, kvs_buf_slice(&key), KVS_READ_DISK, &value);
    if (!err)
        *ret_leaf = kvs_audit_hash_leaf(hasher, kvs_buf_slice(&value));
    return err;
}

static int stored_node(const struct kvs_audit_log_tree *tree, unsigned level, uint64_t index,
                       struct kvs_audit_hash *ret_hash)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(KVS_AUDIT_STORE_KEY_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(VALUE_SIZE_MAX);
    kvs_audit_node_key(&key, level, index);
    int err = key.err;
    if (!err)
        err = kvs_store_get(tree->store, KVS_FAMILY_AUDIT, kvs_buf_slice(&key), KVS_READ_DISK,
                            &value);
    if (!err && value.size != KVS_AUDIT_HASH_SIZE)
        err = KVS_ERR_CORRUPT;
    if (!err)
        memcpy(ret_hash->bytes, value.data, KVS_AUDIT_HASH_SIZE);
    return err;
}

// The leaves and every eighth level are stored; what lies between is made from at most 256 of the
// next stored level below. So the stack is a carry chain, like the tree's own peaks.
static int subtree(void *ctx, unsigned level, uint64_t index, struct kvs_audit_hash *ret_hash)
{
    struct kvs_audit_log_tree *log = ctx;
    unsigned base = level - level % KVS_AUDIT_STORED_LEVELS;
    struct kvs_audit_tree part = {0};
    uint64_t count = UINT64_C(1) << (level - base);
    for (uint64_t i = 0; i < count; i++) {
        struct kvs_audit_hash hash;
        uint64_t at = index * count + i;
        int err = base == 0 ? kvs_audit_log_leaf(log->store, log->hasher, at + 1, &hash)
                            : stored_node(log, base, at, &hash);
        if (err)
            return err == KVS_ERR_NOT_FOUND ? KVS_ERR_CORRUPT : err;
        kvs_audit_tree_append(&part, log->hasher, &hash, NULL, NULL);
    }
    *ret_hash = kvs_audit_tree_root(&part, log->hasher);
    return 0;
}

struct kvs_audit_tree_source kvs_audit_log_source(struct kvs_audit_log_tree *tree)
{
    return (struct kvs_audit_tree_source){.subtree = subtree, .ctx = tree, .hasher = tree->hasher};
}

// SPDX-License-Identifier: Apache-2.0
// The node's own small records in KVS_FAMILY_META: who it is, which writers its versions name, and
// where the last group of writes ended. Layouts: codec/index.h.
#include "base/assert.h"
#include "node/node_internal.h"

static const struct kvs_slice key_identity = KVS_SLICE("identity");
static const struct kvs_slice key_state = KVS_SLICE("state");
static const struct kvs_slice key_log_floor = KVS_SLICE("log_floor");

enum { META_SIZE_MAX = 4096 };

static int get(struct kvs_node *node, struct kvs_slice key, struct kvs_buf *ret_value)
{
    kvs_buf_clear(ret_value);
    return kvs_store_get(node->store, KVS_FAMILY_META, key, KVS_READ_DISK, ret_value);
}

// A first start: everything that makes this store a node, in one synced batch.
static int create_identity(struct kvs_node *node)
{
    node->identity = (struct kvs_identity){.incarnation = 1};
    node->identity.self.node = kvs_uuid_new(node->options.random);
    node->identity.self.joined_timestamp = kvs_clock_wall_ms(node->options.clock);

    struct kvs_store_batch *batch = kvs_store_batch_new(node->store);
    if (!batch)
        return KVS_ERR_NOMEM;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(META_SIZE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(META_SIZE_MAX);
    kvs_buf_append_slice(&key, KVS_META_WRITER);
    kvs_wire_put_u32be(&key, KVS_NODE_SELF_WRITER_ID);
    kvs_writer_encode(&value, &node->identity.self);
    int err = key.err ? key.err : value.err;
    kvs_store_batch_put(batch, KVS_FAMILY_META, kvs_buf_slice(&key), kvs_buf_slice(&value));

    kvs_buf_clear(&value);
    kvs_identity_encode(&value, &node->identity);
    err = err ? err : value.err;
    kvs_store_batch_put(batch, KVS_FAMILY_META, key_identity, kvs_buf_slice(&value));
    if (!err)
        err = kvs_store_write(node->store, batch, KVS_DURABILITY_SYNC);
    kvs_store_batch_free(batch);
    return err;
}

int kvs_node_load_state(struct kvs_node *node, struct kvs_commit_state *ret_state)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(META_SIZE_MAX);
    int err = get(node, key_state, &value);
    if (err == KVS_ERR_NOT_FOUND) {
        *ret_state = (struct kvs_commit_state){0};
        return 0;
    }
    return err ? err : kvs_commit_state_decode(kvs_buf_slice(&value), ret_state);
}

static int load_log_floor(struct kvs_node *node)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(META_SIZE_MAX);
    int err = get(node, key_log_floor, &value);
    if (err && err != KVS_ERR_NOT_FOUND)
        return err;
    struct kvs_cursor cursor = kvs_cursor(kvs_buf_slice(&value));
    uint64_t floor = err ? 1 : kvs_wire_get_u64be(&cursor);
    if (!err && !kvs_cursor_finished(&cursor))
        return KVS_ERR_CORRUPT;
    atomic_store(&node->log_floor, floor);
    return 0;
}

int kvs_node_load_writers(struct kvs_node *node)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_META, &options);
    if (!iter)
        return KVS_ERR_NOMEM;
    kvs_writers_clear(node->writers);
    for (kvs_store_iter_seek(iter, KVS_META_WRITER);
         kvs_store_iter_valid(iter) &&
         kvs_slice_starts_with(kvs_store_iter_key(iter), KVS_META_WRITER);
         kvs_store_iter_next(iter)) {
        struct kvs_slice key = kvs_store_iter_key(iter);
        struct kvs_cursor id =
            kvs_cursor(kvs_slice(key.data + KVS_META_WRITER.size, key.size - KVS_META_WRITER.size));
        struct kvs_writer writer;
        uint32_t number = kvs_wire_get_u32be(&id);
        int err = kvs_writer_decode(kvs_store_iter_value(iter), &writer);
        if (!err && !kvs_cursor_finished(&id))
            err = KVS_ERR_CORRUPT;
        if (!err)
            err = kvs_writers_add(node->writers, number, &writer);
        if (err)
            return err;
    }
    return kvs_store_iter_error(iter);
}

int kvs_node_put_writer(struct kvs_node *node, struct kvs_store_batch *batch,
                        const struct kvs_writer *writer, uint32_t *ret_id)
{
    *ret_id = kvs_writers_find(node->writers, writer);
    if (*ret_id != 0)
        return 0;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(META_SIZE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(META_SIZE_MAX);
    uint32_t id = kvs_writers_next_id(node->writers);
    kvs_buf_append_slice(&key, KVS_META_WRITER);
    kvs_wire_put_u32be(&key, id);
    kvs_writer_encode(&value, writer);
    if (key.err || value.err)
        return KVS_ERR_NOMEM;
    int err = kvs_writers_add(node->writers, id, writer);
    if (err)
        return err;
    kvs_store_batch_put(batch, KVS_FAMILY_META, kvs_buf_slice(&key), kvs_buf_slice(&value));
    *ret_id = id;
    return 0;
}

int kvs_node_load_meta(struct kvs_node *node, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(META_SIZE_MAX);
    int err = get(node, key_identity, &value);
    if (err == KVS_ERR_NOT_FOUND)
        err = create_identity(node);
    else if (!err)
        err = kvs_identity_decode(kvs_buf_slice(&value), &node->identity);
    if (err)
        return kvs_fail(ret_message, err, "identity of this node: %s", kvs_err_text(err));
    err = kvs_node_load_writers(node);
    if (!err)
        err = kvs_node_load_state(node, &node->state);
    if (!err)
        err = load_log_floor(node);
    if (err)
        return kvs_fail(ret_message, err, "commit state: %s", kvs_err_text(err));
    atomic_store(&node->log_seq, node->state.log_seq);
    atomic_store(&node->filter.removed_ms, node->state.removed);
    return 0;
}

static void put(struct kvs_store_batch *batch, struct kvs_slice key, struct kvs_buf *scratch)
{
    kvs_assert(scratch->err == 0); // there was room: half a state would be worse than none
    kvs_store_batch_put(batch, KVS_FAMILY_META, key, kvs_buf_slice(scratch));
    kvs_buf_clear(scratch);
}

void kvs_node_put_state(struct kvs_store_batch *batch, struct kvs_buf *scratch,
                        const struct kvs_commit_state *state)
{
    kvs_commit_state_encode(scratch, state);
    put(batch, key_state, scratch);
}

void kvs_node_put_log_floor(struct kvs_store_batch *batch, struct kvs_buf *scratch, uint64_t floor)
{
    kvs_wire_put_u64be(scratch, floor);
    put(batch, key_log_floor, scratch);
}

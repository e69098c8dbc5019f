// SPDX-License-Identifier: Apache-2.0
#include "node/account_batch.h"

enum { ARENA_SIZE_MAX = 64 << 20, RECORD_SIZE_MAX = 64 << 10 };

void kvs_account_batch_init(struct kvs_account_batch *batch, struct kvs_node *node,
                            const struct kvs_grant *grant)
{
    *batch = (struct kvs_account_batch){.node = node, .grant = grant};
    kvs_arena_init(&batch->arena, ARENA_SIZE_MAX);
}

void kvs_account_batch_done(struct kvs_account_batch *batch)
{
    kvs_arena_done(&batch->arena);
}

// Commits what there is.
static void flush(struct kvs_account_batch *batch)
{
    if (batch->count == 0 || batch->err)
        return;
    batch->writes[0].audit = batch->audited ? NULL : batch->audit;
    kvs_node_write_group_wait(batch->node, batch->writes, batch->count);
    batch->audited = batch->audited || batch->writes[0].audited;
    for (size_t i = 0; i < batch->count && !batch->err; i++) {
        bool absent =
            batch->writes[i].op == KVS_WRITE_DELETE && batch->writes[i].err == KVS_ERR_NOT_FOUND;
        batch->err = absent ? 0 : batch->writes[i].err;
    }
    batch->count = 0;
    kvs_arena_reset(&batch->arena);
    batch->writes = NULL;
}

static struct kvs_write *add(struct kvs_account_batch *batch, const struct kvs_account_name *name)
{
    if (batch->count == KVS_WRITE_GROUP_MAX)
        flush(batch);
    if (!batch->writes)
        batch->writes =
            kvs_arena_alloc(&batch->arena, KVS_WRITE_GROUP_MAX * sizeof(*batch->writes));
    struct kvs_account_key *key = kvs_arena_alloc(&batch->arena, sizeof(*key));
    if (!batch->writes || !key)
        batch->err = batch->err ? batch->err : KVS_ERR_NOMEM;
    if (batch->err)
        return NULL;
    *key = kvs_account_key_of(name);
    struct kvs_write *write = &batch->writes[batch->count++];
    *write = (struct kvs_write){.grant = batch->grant, .key = kvs_slice(key->bytes, key->size)};
    return write;
}

void kvs_account_batch_put(struct kvs_account_batch *batch, const struct kvs_account_name *name,
                           const struct kvs_account_data *data, int64_t ttl_ms)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf json = KVS_BUF_INIT(RECORD_SIZE_MAX);
    struct kvs_write *write = add(batch, name);
    if (!write)
        return;
    kvs_account_encode(&json, name->kind, data);
    write->op = KVS_WRITE_PUT;
    write->ttl_ms = ttl_ms;
    write->json = kvs_arena_copy(&batch->arena, kvs_buf_slice(&json));
    if (json.err || !write->json.data)
        batch->err = json.err ? json.err : KVS_ERR_NOMEM;
}

void kvs_account_batch_delete(struct kvs_account_batch *batch, const struct kvs_account_name *name)
{
    struct kvs_write *write = add(batch, name);
    if (write)
        write->op = KVS_WRITE_DELETE;
}

int kvs_account_batch_commit(struct kvs_account_batch *batch)
{
    flush(batch);
    return batch->err;
}

// SPDX-License-Identifier: Apache-2.0
// Finding a version by its uuid. There is no index for it: it would cost every write an entry, for
// what is asked soon after a write if ever. The change log has the uuids already, so its newest
// changes are looked through; older versions are found by their key (docs/decisions/0060).
#include "node/node_internal.h"
#include "node/receipts.h"

static int take_change(struct kvs_node *node, const struct kvs_change *change,
                       struct kvs_buf *ret_key, struct kvs_version *ret_version)
{
    *ret_version = (struct kvs_version){.timestamp = change->timestamp,
                                        .uuid = change->uuid,
                                        .writer_seq = change->writer_seq,
                                        .flags = change->flags};
    if (!kvs_writers_get(node->writers, change->writer_id, &ret_version->writer))
        return KVS_ERR_CORRUPT;
    kvs_buf_append_slice(ret_key, change->key);
    return ret_key->err;
}

static int find_in_log(struct kvs_node *node, const struct kvs_grant *grant,
                       const struct kvs_uuid *uuid, struct kvs_buf *ret_key,
                       struct kvs_version *ret_version)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_LOG, &options);
    if (!iter)
        return KVS_ERR_NOMEM;
    uint32_t walked = 0;
    for (kvs_store_iter_seek_last(iter);
         walked < KVS_VERSION_WALK_MAX && kvs_store_iter_valid(iter);
         kvs_store_iter_prev(iter), walked++) {
        struct kvs_change change;
        int err = kvs_change_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &change);
        if (err) {
            kvs_node_report_corrupt(node, kvs_store_iter_key(iter));
            return err;
        }
        if (kvs_uuid_cmp(&change.uuid, uuid) != 0)
            continue;
        if (kvs_key_is_system(change.key) ||
            kvs_grant_check(grant, change.key, KVS_ACCESS_READ) != 0)
            return KVS_ERR_NOT_FOUND;
        return take_change(node, &change, ret_key, ret_version);
    }
    int err = walked < KVS_VERSION_WALK_MAX ? kvs_store_iter_error(iter) : 0;
    return err ? err : KVS_ERR_NOT_FOUND;
}

static int find_in_history(struct kvs_node *node, const struct kvs_grant *grant,
                           const struct kvs_uuid *uuid, struct kvs_slice key,
                           struct kvs_buf *ret_key, struct kvs_version *ret_version)
{
    int denied = kvs_grant_check(grant, key, KVS_ACCESS_READ);
    if (denied)
        return denied;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .prefix_only = true};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, kvs_node_family(key), &options);
    if (!iter)
        return KVS_ERR_NOMEM;
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, key);
    for (kvs_store_iter_seek(iter, kvs_prefix_slice(&prefix));
         kvs_store_iter_valid(iter) &&
         kvs_slice_starts_with(kvs_store_iter_key(iter), kvs_prefix_slice(&prefix));
         kvs_store_iter_next(iter)) {
        struct kvs_record_view view;
        int err = kvs_record_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &view);
        if (err) {
            kvs_node_report_corrupt(node, key);
            return err;
        }
        if (kvs_uuid_cmp(&view.version.uuid, uuid) != 0)
            continue;
        *ret_version = view.version;
        if (!kvs_writers_get(node->writers, view.writer_id, &ret_version->writer))
            return KVS_ERR_CORRUPT;
        kvs_buf_append_slice(ret_key, key);
        return ret_key->err;
    }
    int err = kvs_store_iter_error(iter);
    return err ? err : KVS_ERR_NOT_FOUND;
}

int kvs_node_find_version(struct kvs_node *node, const struct kvs_grant *grant,
                          const struct kvs_uuid *uuid, struct kvs_slice key,
                          struct kvs_buf *ret_key, struct kvs_version *ret_version)
{
    return key.size > 0 ? find_in_history(node, grant, uuid, key, ret_key, ret_version)
                        : find_in_log(node, grant, uuid, ret_key, ret_version);
}

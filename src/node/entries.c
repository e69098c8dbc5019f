// SPDX-License-Identifier: Apache-2.0
// The entries of a group's batch: how a version, its place in time, its change and its due time get
// there, and how later writes of the group see what earlier ones did. Commit thread only.
#include "base/assert.h"
#include "node/group.h"
#include "node/ledger.h"
#include "node/tagged.h"

#include <xxhash.h>

// ---- What is current

static struct kvs_effect **overlay_bucket(struct kvs_group *group, struct kvs_slice key)
{
    return &group->overlay[XXH3_64bits(key.data, key.size) & (KVS_GROUP_OVERLAY_SIZE - 1)];
}

static void overlay_add(struct kvs_group *group, struct kvs_effect *effect)
{
    struct kvs_effect **bucket = overlay_bucket(group, effect->key);
    effect->same_hash = *bucket;
    *bucket = effect;
}

struct kvs_store_iter *kvs_group_iter(struct kvs_group *group, struct kvs_slice key)
{
    struct kvs_store_iter **iter = kvs_key_is_system(key) ? &group->system_iter : &group->data_iter;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .prefix_only = true};
    if (!*iter)
        *iter = kvs_store_iter_new(group->node->store, kvs_node_family(key), &options);
    return *iter;
}

int kvs_group_find_current(struct kvs_group *group, struct kvs_slice key,
                           struct kvs_record **ret_record)
{
    *ret_record = NULL;
    for (struct kvs_effect *e = *overlay_bucket(group, key); e; e = e->same_hash)
        if ((e->pending || e->removed) && kvs_slice_eq(e->key, key)) {
            *ret_record = e->pending ? kvs_record_ref(e->pending) : NULL;
            return 0;
        }
    *ret_record = kvs_cache_get(group->node->cache, key);
    if (*ret_record)
        return 0;
    struct kvs_store_iter *iter = kvs_group_iter(group, key);
    if (!iter)
        return KVS_ERR_NOMEM;
    int err = kvs_node_read_current(group->node, iter, key, ret_record);
    return err == KVS_ERR_NOT_FOUND ? 0 : err;
}

int kvs_group_find_damaged(struct kvs_group *group, struct kvs_slice key,
                           struct kvs_version *ret_version)
{
    struct kvs_current current;
    struct kvs_store_iter *iter = kvs_group_iter(group, key);
    int err = iter ? kvs_node_current_at(group->node, iter, key, &current) : KVS_ERR_NOMEM;
    if (err == KVS_ERR_NOT_FOUND || (!err && !current.damaged))
        err = KVS_ERR_CORRUPT; // it was the reading that failed
    if (!err)
        *ret_version = current.version;
    return err;
}

// ---- Entries

static void put_scratch(struct kvs_group *group, enum kvs_family family)
{
    kvs_assert(group->key.err == 0);
    kvs_assert(group->value.err == 0);
    kvs_store_batch_put(group->batch, family, kvs_buf_slice(&group->key),
                        kvs_buf_slice(&group->value));
    group->bytes += group->key.size + group->value.size;
    kvs_buf_clear(&group->key);
    kvs_buf_clear(&group->value);
    group->change_count++;
}

void kvs_group_put_meta(struct kvs_group *group)
{
    put_scratch(group, KVS_FAMILY_META);
}

void kvs_group_put_due(struct kvs_group *group, int64_t due_ms, struct kvs_slice key, bool expiry)
{
    kvs_due_key_encode(&group->key, due_ms, key);
    if (expiry)
        kvs_buf_append_char(&group->value, KVS_DUE_EXPIRY);
    put_scratch(group, KVS_FAMILY_DUE);
}

void kvs_group_delete_due(struct kvs_group *group, int64_t due_ms, struct kvs_slice key)
{
    kvs_due_key_encode(&group->key, due_ms, key);
    kvs_store_batch_delete(group->batch, KVS_FAMILY_DUE, kvs_buf_slice(&group->key));
    kvs_buf_clear(&group->key);
    group->change_count++;
}

int64_t kvs_group_due_ms(const struct kvs_group *group, const struct kvs_version *version)
{
    if (!kvs_version_is_tombstone(version))
        return version->expires_at;
    // In a cluster the watermark decides, whatever this node's retention is or becomes.
    return version->timestamp +
           (group->node->ledger ? 0 : group->node->options.tombstone_retention_ms);
}

static void put_record(struct kvs_group *group, struct kvs_slice key,
                       const struct kvs_version *version, uint32_t writer_id, struct kvs_slice json)
{
    kvs_record_encode_key(&group->key, key, version);
    kvs_record_encode_value(&group->value, kvs_buf_slice(&group->key), version, writer_id, json);
    put_scratch(group, kvs_node_family(key));
}

static void put_change(struct kvs_group *group, struct kvs_effect *effect,
                       const struct kvs_version *version, uint32_t writer_id, uint8_t log_flags)
{
    const struct kvs_change change = {
        .seq = ++group->state.log_seq,
        .key = effect->key,
        .timestamp = version->timestamp,
        .uuid = version->uuid,
        .writer_id = writer_id,
        .writer_seq = version->writer_seq,
        .flags = version->flags | log_flags,
    };
    kvs_change_encode_key(&group->key, change.seq);
    kvs_change_encode_value(&group->value, &change);
    put_scratch(group, KVS_FAMILY_LOG);
    effect->log_seq = change.seq;
    effect->writer_id = writer_id;
    effect->writer_seq = version->writer_seq;
}

// Room first: once the first entry is in the batch, nothing of a write may fail.
static bool make_room(struct kvs_group *group, size_t json_size)
{
    if (kvs_buf_reserve(&group->value, KVS_GROUP_SCRATCH_SIZE + json_size))
        return true;
    kvs_buf_clear(&group->value);
    return false;
}

// What the digest is to be told.
static void note_items(struct kvs_group *group, struct kvs_effect *effect,
                       const struct kvs_record *current)
{
    const struct kvs_ledger *ledger = group->node->ledger;
    if (!ledger)
        return;
    effect->had_item = current != NULL;
    if (current)
        effect->old_item = kvs_ledger_item_of(ledger, current);
    effect->has_item = effect->pending != NULL;
    if (effect->pending)
        effect->new_item = kvs_ledger_item_of(ledger, effect->pending);
}

int kvs_group_put_current(struct kvs_group *group, struct kvs_effect *effect,
                          const struct kvs_version *version, uint32_t writer_id,
                          struct kvs_slice json, const struct kvs_record *current)
{
    effect->pending = kvs_record_new(effect->key, version, writer_id, json);
    if (!effect->pending || !make_room(group, json.size)) {
        kvs_record_unref(KVS_TAKE(effect->pending));
        return KVS_ERR_NOMEM;
    }
    put_record(group, effect->key, version, writer_id, json);
    kvs_by_time_key_encode(&group->key, version->timestamp, effect->key);
    put_scratch(group, KVS_FAMILY_BY_TIME);
    put_change(group, effect, version, writer_id, 0);
    int64_t due_ms = kvs_group_due_ms(group, version);
    if (due_ms != 0)
        kvs_group_put_due(group, due_ms, effect->key, !kvs_version_is_tombstone(version));
    note_items(group, effect, current);
    overlay_add(group, effect);
    return 0;
}

int kvs_group_put_history(struct kvs_group *group, struct kvs_effect *effect,
                          const struct kvs_version *version, uint32_t writer_id,
                          struct kvs_slice json, uint8_t log_flags)
{
    if (!make_room(group, json.size))
        return KVS_ERR_NOMEM;
    put_record(group, effect->key, version, writer_id, json);
    put_change(group, effect, version, writer_id, log_flags);
    effect->history = *version;
    overlay_add(group, effect);
    return 0;
}

// The filters know before the store can show it, and whatever becomes of the group.
static void note_removed(struct kvs_group *group, int64_t timestamp)
{
    struct kvs_node_filter *filter = &group->node->filter;
    if (timestamp > group->state.removed)
        group->state.removed = timestamp;
    if (timestamp > atomic_load(&filter->removed_ms))
        atomic_store(&filter->removed_ms, timestamp);
}

// An entry that cannot be read may be of any time.
static int64_t entry_time_ms(struct kvs_slice entry_key)
{
    struct kvs_version version;
    return kvs_record_decode_key(entry_key, &version) ? version.timestamp : INT64_MAX;
}

void kvs_group_drop_damaged(struct kvs_group *group, struct kvs_slice key,
                            const struct kvs_version *version)
{
    kvs_record_encode_key(&group->key, key, version);
    kvs_store_batch_delete(group->batch, kvs_node_family(key), kvs_buf_slice(&group->key));
    kvs_buf_clear(&group->key);
    note_removed(group, version->timestamp);
    group->change_count++;
}

// Appends the entry keys of every version, each as long as the others.
static int collect_versions(struct kvs_group *group, struct kvs_slice key, struct kvs_buf *out)
{
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, key);
    struct kvs_store_iter *iter = kvs_group_iter(group, key);
    if (!iter)
        return KVS_ERR_NOMEM;
    for (kvs_store_iter_seek(iter, kvs_prefix_slice(&prefix));
         kvs_store_iter_valid(iter) &&
         kvs_slice_starts_with(kvs_store_iter_key(iter), kvs_prefix_slice(&prefix));
         kvs_store_iter_next(iter))
        kvs_buf_append_slice(out, kvs_store_iter_key(iter));
    int err = kvs_store_iter_error(iter);
    return err ? err : out->err;
}

// Versions that this group has put are not under the iterator yet.
static void delete_pending(struct kvs_group *group, struct kvs_slice key)
{
    for (struct kvs_effect *e = *overlay_bucket(group, key); e; e = e->same_hash) {
        bool history = e->history.timestamp != 0;
        if ((!e->pending && !history) || !kvs_slice_eq(e->key, key))
            continue;
        const struct kvs_version *version = history ? &e->history : &e->pending->version;
        kvs_record_encode_key(&group->key, key, version);
        kvs_store_batch_delete(group->batch, kvs_node_family(key), kvs_buf_slice(&group->key));
        kvs_buf_clear(&group->key);
        note_removed(group, version->timestamp);
    }
}

int kvs_group_remove(struct kvs_group *group, struct kvs_effect *effect,
                     const struct kvs_record *current)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf versions = KVS_BUF_INIT(KVS_NODE_ENTRY_SIZE_MAX);
    int err = collect_versions(group, effect->key, &versions);
    if (err)
        return err;
    size_t entry_size = effect->key.size + KVS_RECORD_SUFFIX_SIZE;
    for (size_t at = 0; at < versions.size; at += entry_size) {
        struct kvs_slice entry_key = kvs_slice(versions.data + at, entry_size);
        kvs_store_batch_delete(group->batch, kvs_node_family(effect->key), entry_key);
        note_removed(group, entry_time_ms(entry_key));
    }
    delete_pending(group, effect->key);
    group->change_count++;
    if (group->node->ledger)
        kvs_ledger_spoil_checkpoint(group->node->ledger, group->batch);
    note_items(group, effect, current);
    effect->removed = true;
    overlay_add(group, effect);
    return 0;
}

void kvs_group_put_stub(struct kvs_group *group, struct kvs_effect *effect,
                        const struct kvs_record *current)
{
    const struct kvs_record_view view = {.key = effect->key,
                                         .version = current->version,
                                         .writer_id = current->writer_id,
                                         .json = kvs_record_json(current)};
    kvs_record_encode_key(&group->key, effect->key, &current->version);
    kvs_node_encode_stub(&group->value, kvs_buf_slice(&group->key), &view);
    put_scratch(group, kvs_node_family(effect->key));
    effect->stubbed = true;
}

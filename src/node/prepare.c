// SPDX-License-Identifier: Apache-2.0
// What one write of a group becomes: look at what is current, check its conditions, give it a
// version that beats what it replaces, and add its entries to the batch. Commit thread only.
#include "base/assert.h"
#include "node/group.h"

#include <xxhash.h>

enum { DAMAGED_RETRY_MS = 60 * 60 * 1000 };

// ---- What is current

static struct kvs_write **overlay_bucket(struct kvs_group *group, struct kvs_slice key)
{
    return &group->overlay[XXH3_64bits(key.data, key.size) & (KVS_GROUP_OVERLAY_SIZE - 1)];
}

static void overlay_add(struct kvs_group *group, struct kvs_write *write)
{
    struct kvs_write **bucket = overlay_bucket(group, write->key);
    write->same_hash = *bucket;
    *bucket = write;
}

// Over the versions of the key's kind; borrowed until the group ends. NULL: out of memory.
static struct kvs_store_iter *obtain_iter(struct kvs_group *group, struct kvs_slice key)
{
    struct kvs_store_iter **iter = kvs_key_is_system(key) ? &group->system_iter : &group->data_iter;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .prefix_only = true};
    if (!*iter)
        *iter = kvs_store_iter_new(group->node->store, kvs_node_family(key), &options);
    return *iter;
}

// The version a write of `key` would replace, whatever its flags; *ret_record NULL when there is
// none.
static int find_current(struct kvs_group *group, struct kvs_slice key,
                        struct kvs_record **ret_record)
{
    *ret_record = NULL;
    for (struct kvs_write *w = *overlay_bucket(group, key); w; w = w->same_hash)
        if (kvs_slice_eq(w->key, key)) {
            *ret_record = w->pending ? kvs_record_ref(w->pending) : NULL;
            return 0;
        }
    *ret_record = kvs_cache_get(group->node->cache, key);
    if (*ret_record)
        return 0;
    struct kvs_store_iter *iter = obtain_iter(group, key);
    if (!iter)
        return KVS_ERR_NOMEM;
    int err = kvs_node_read_current(group->node, iter, key, ret_record);
    return err == KVS_ERR_NOT_FOUND ? 0 : err;
}

static int check_condition(const struct kvs_write *write, const struct kvs_record *visible)
{
    bool matches = false;
    for (size_t i = 0; visible && i < write->condition_uuid_count; i++)
        matches |= kvs_uuid_cmp(&write->condition_uuids[i], &visible->version.uuid) == 0;
    bool holds = true;
    switch (write->condition) {
    case KVS_CONDITION_NONE:
        break;
    case KVS_CONDITION_EXISTS:
        holds = visible != NULL;
        break;
    case KVS_CONDITION_NOT_EXISTS:
        holds = visible == NULL;
        break;
    case KVS_CONDITION_UUIDS:
        holds = matches;
        break;
    case KVS_CONDITION_NOT_UUIDS:
        holds = !matches;
        break;
    }
    return holds ? 0 : KVS_ERR_PRECONDITION;
}

// ---- A new version

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t expiry(const struct kvs_group *group, const struct kvs_write *write)
{
    int64_t ttl_ms =
        write->ttl_ms == KVS_TTL_DEFAULT ? group->node->options.default_ttl_ms : write->ttl_ms;
    int64_t expires_at = 0;
    if (ttl_ms > 0 && __builtin_add_overflow(group->now_ms, ttl_ms, &expires_at))
        expires_at = INT64_MAX;
    return expires_at;
}

// INV-4. The clock never runs backwards, but one key from the future does not drag it along.
static struct kvs_version next_version(struct kvs_group *group, const struct kvs_record *current)
{
    struct kvs_commit_state *state = &group->state;
    state->clock = max_i64(state->clock, group->now_ms);
    struct kvs_version version = {
        .timestamp = current ? max_i64(state->clock, current->version.timestamp + 1) : state->clock,
        .uuid = kvs_uuid_new(group->node->options.random),
        .writer = group->node->identity.self,
        .writer_seq = ++state->writer_seq,
    };
    return version;
}

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

static void put_due(struct kvs_group *group, int64_t due_ms, struct kvs_slice key)
{
    kvs_due_key_encode(&group->key, due_ms, key);
    put_scratch(group, KVS_FAMILY_DUE);
}

static void put_version(struct kvs_group *group, struct kvs_slice key,
                        const struct kvs_version *version, struct kvs_slice json)
{
    kvs_record_encode_key(&group->key, key, version);
    kvs_record_encode_value(&group->value, kvs_buf_slice(&group->key), version,
                            KVS_NODE_SELF_WRITER_ID, json);
    put_scratch(group, kvs_node_family(key));

    kvs_by_time_key_encode(&group->key, version->timestamp, key);
    put_scratch(group, KVS_FAMILY_BY_TIME);

    const struct kvs_change change = {
        .seq = ++group->state.log_seq,
        .key = key,
        .timestamp = version->timestamp,
        .uuid = version->uuid,
        .writer_id = KVS_NODE_SELF_WRITER_ID,
        .writer_seq = version->writer_seq,
        .flags = version->flags,
    };
    kvs_change_encode_key(&group->key, change.seq);
    kvs_change_encode_value(&group->value, &change);
    put_scratch(group, KVS_FAMILY_LOG);

    int64_t retention_ms = group->node->options.tombstone_retention_ms;
    if (kvs_version_is_tombstone(version))
        put_due(group, version->timestamp + retention_ms, key);
    else if (version->expires_at != 0)
        put_due(group, version->expires_at, key);
}

static int add_version(struct kvs_group *group, struct kvs_write *write,
                       const struct kvs_version *version, struct kvs_slice json)
{
    write->pending = kvs_record_new(write->key, version, KVS_NODE_SELF_WRITER_ID, json);
    // Room first: once the first entry is in the batch, nothing of this write may fail.
    if (!write->pending || !kvs_buf_reserve(&group->value, KVS_GROUP_SCRATCH_SIZE + json.size)) {
        kvs_record_unref(KVS_TAKE(write->pending));
        kvs_buf_clear(&group->value);
        return KVS_ERR_NOMEM;
    }
    write->version = *version;
    put_version(group, write->key, version, json);
    overlay_add(group, write);
    return 0;
}

// ---- The operations

static int prepare_put(struct kvs_group *group, struct kvs_write *write,
                       const struct kvs_record *current, struct kvs_slice json)
{
    struct kvs_version version = next_version(group, current);
    version.expires_at = expiry(group, write);
    return add_version(group, write, &version, json);
}

static int prepare_delete(struct kvs_group *group, struct kvs_write *write,
                          const struct kvs_record *current)
{
    if (write->created)
        return KVS_ERR_NOT_FOUND;
    struct kvs_version version = next_version(group, current);
    version.flags = KVS_VERSION_TOMBSTONE;
    return add_version(group, write, &version, KVS_SLICE_EMPTY);
}

struct revision {
    uint32_t wanted;
    int64_t now_ms;
    struct kvs_buf json;
    bool found; // and readable
};

static bool pick_revision(void *ctx, uint32_t number, const struct kvs_version *version,
                          struct kvs_slice json)
{
    struct revision *revision = ctx;
    if (number < revision->wanted)
        return true;
    revision->found = kvs_version_is_visible(version, revision->now_ms);
    if (revision->found)
        kvs_buf_append_slice(&revision->json, json);
    return false;
}

// Counts revisions among what is committed: a write of the same group has not happened yet for it.
static int prepare_restore(struct kvs_group *group, struct kvs_write *write,
                           const struct kvs_record *current)
{
    struct revision revision = {.wanted = write->revision,
                                .now_ms = group->now_ms,
                                .json = KVS_BUF_INIT(KVS_NODE_ENTRY_SIZE_MAX)};
    uint32_t count = 0;
    int err = kvs_node_history(group->node, write->grant, write->key, KVS_READ_DISK, pick_revision,
                               &revision, &count);
    if (!err && !revision.found)
        err = KVS_ERR_NOT_FOUND;
    if (!err)
        err = revision.json.err;
    if (!err)
        err = prepare_put(group, write, current, kvs_buf_slice(&revision.json));
    kvs_buf_done(&revision.json);
    return err;
}

// ---- Housekeeping's operations

// Appends the entry keys of every version, each as long as the others.
static int collect_versions(struct kvs_group *group, struct kvs_slice key, struct kvs_buf *out)
{
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, key);
    struct kvs_store_iter *iter = obtain_iter(group, key);
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

// Removes every version of the key: all or none, for without the newest the ones below would be
// readable again.
static int remove_versions(struct kvs_group *group, struct kvs_write *write)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf versions = KVS_BUF_INIT(KVS_NODE_ENTRY_SIZE_MAX);
    int err = collect_versions(group, write->key, &versions);
    if (err)
        return err;
    size_t entry_size = write->key.size + KVS_RECORD_SUFFIX_SIZE;
    for (size_t at = 0; at < versions.size; at += entry_size) {
        kvs_store_batch_delete(group->batch, kvs_node_family(write->key),
                               kvs_slice(versions.data + at, entry_size));
        group->change_count++;
    }
    write->removed = true;
    overlay_add(group, write);
    return 0;
}

// Replaces the payload by its hash while the version must stay.
static void put_stub(struct kvs_group *group, struct kvs_write *write,
                     const struct kvs_record *current)
{
    const struct kvs_record_view view = {.key = write->key,
                                         .version = current->version,
                                         .writer_id = current->writer_id,
                                         .json = kvs_record_json(current)};
    kvs_record_encode_key(&group->key, write->key, &current->version);
    kvs_node_encode_stub(&group->value, kvs_buf_slice(&group->key), &view);
    put_scratch(group, kvs_node_family(write->key));
    write->stubbed = true;
}

static bool count_restorable(void *ctx, uint32_t number, const struct kvs_version *version,
                             struct kvs_slice json)
{
    (void)json;
    struct revision *revision = ctx;
    revision->found |= number > 1 && kvs_version_is_visible(version, revision->now_ms);
    return !revision->found;
}

// When the key whose current version is `current` may go altogether: a tombstone when it is old, an
// expired version at once, unless there is history that someone may still want back, or the clock
// has not come as far as the version: then the next write could not know what it must beat (INV-4).
static int removable_at(struct kvs_group *group, struct kvs_write *write,
                        const struct kvs_record *current, int64_t *ret_at)
{
    int64_t retention_ms = group->node->options.tombstone_retention_ms;
    if (kvs_version_is_tombstone(&current->version)) {
        *ret_at = current->version.timestamp + retention_ms;
        return 0;
    }
    struct revision history = {.now_ms = group->now_ms};
    uint32_t count = 0;
    int err = kvs_node_history(group->node, write->grant, write->key, KVS_READ_DISK,
                               count_restorable, &history, &count);
    *ret_at = max_i64(current->version.expires_at + (history.found ? retention_ms : 0),
                      current->version.timestamp + 1);
    return err;
}

static void delete_due(struct kvs_group *group, const struct kvs_write *write)
{
    kvs_due_key_encode(&group->key, write->due_ms, write->key);
    kvs_store_batch_delete(group->batch, KVS_FAMILY_DUE, kvs_buf_slice(&group->key));
    kvs_buf_clear(&group->key);
    group->change_count++;
}

// A damaged record is looked at again later, lest it be reported with every round.
static void postpone(struct kvs_group *group, const struct kvs_write *write)
{
    delete_due(group, write);
    put_due(group, group->now_ms + DAMAGED_RETRY_MS, write->key);
}

static int prepare_purge(struct kvs_group *group, struct kvs_write *write,
                         const struct kvs_record *current)
{
    int64_t at = 0;
    int err = 0;
    bool dead = current && !kvs_version_is_visible(&current->version, group->now_ms);
    if (dead)
        err = removable_at(group, write, current, &at);
    else if (current)
        at = current->version.expires_at; // still due then, when the clock was set back meanwhile
    if (dead && !err && at <= group->now_ms)
        err = remove_versions(group, write);
    else if (dead && !err) {
        if ((current->version.flags & (KVS_VERSION_STUB | KVS_VERSION_TOMBSTONE)) == 0)
            put_stub(group, write, current);
        put_due(group, at, write->key);
    }
    if (err)
        return err;
    if (at != write->due_ms || write->removed)
        delete_due(group, write);
    return 0;
}

static int prepare_trim_log(struct kvs_group *group, const struct kvs_write *write)
{
    uint64_t floor = atomic_load(&group->node->log_floor);
    if (write->log_floor <= floor)
        return 0; // somebody else has done it
    kvs_change_encode_key(&group->key, floor);
    kvs_change_encode_key(&group->value, write->log_floor);
    kvs_store_batch_delete_range(group->batch, KVS_FAMILY_LOG, kvs_buf_slice(&group->key),
                                 kvs_buf_slice(&group->value));
    kvs_buf_clear(&group->key);
    kvs_buf_clear(&group->value);
    kvs_node_put_log_floor(group->batch, &group->value, write->log_floor);
    group->change_count++;
    return 0;
}

static int prepare_on_key(struct kvs_group *group, struct kvs_write *write)
{
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *current = NULL;
    int err = find_current(group, write->key, &current);
    if (write->op == KVS_WRITE_PURGE) {
        err = err ? err : prepare_purge(group, write, current);
        if (err == KVS_ERR_CORRUPT)
            postpone(group, write);
        return err;
    }
    if (err)
        return err;
    bool visible = current && kvs_version_is_visible(&current->version, group->now_ms);
    write->created = !visible;
    err = check_condition(write, visible ? current : NULL);
    if (err)
        return err;
    switch (write->op) {
    case KVS_WRITE_PUT:
        return prepare_put(group, write, current, write->json);
    case KVS_WRITE_DELETE:
        return prepare_delete(group, write, current);
    default:
        return prepare_restore(group, write, current);
    }
}

void kvs_group_prepare(struct kvs_group *group, struct kvs_write *write)
{
    write->pending = NULL;
    write->removed = false;
    write->stubbed = false;
    write->err = write->op == KVS_WRITE_TRIM_LOG ? prepare_trim_log(group, write)
                                                 : prepare_on_key(group, write);
}

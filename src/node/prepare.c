// SPDX-License-Identifier: Apache-2.0
// What one write of a group becomes: look at what is current, check its conditions, give it a
// version that beats what it replaces, and add its entries to the batch. Commit thread only.
#include "base/assert.h"
#include "node/backup.h"
#include "node/group.h"
#include "node/ledger.h"
#include "repl/judge.h"
#include "repl/seen.h"

enum { DAMAGED_RETRY_MS = 60 * 60 * 1000 };

// ---- A new version

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t expiry(const struct kvs_group *group, const struct kvs_write *write,
                      const struct kvs_record *current)
{
    if (write->ttl_ms == KVS_TTL_KEEP)
        return write->created ? 0 : current->version.expires_at;
    int64_t ttl_ms =
        write->ttl_ms == KVS_TTL_DEFAULT ? group->node->options.default_ttl_ms : write->ttl_ms;
    int64_t expires_at = 0;
    if (ttl_ms > 0 && __builtin_add_overflow(group->now_ms, ttl_ms, &expires_at))
        expires_at = INT64_MAX;
    return expires_at;
}

static int64_t timestamp_of(const struct kvs_record *current)
{
    return current ? current->version.timestamp : 0;
}

// INV-4.
static struct kvs_version next_version(struct kvs_group *group, int64_t replaced_ms)
{
    struct kvs_node *node = group->node;
    struct kvs_version version = {
        .timestamp = kvs_stamp_clock_next(&node->clock, group->now_ms, replaced_ms),
        .uuid = kvs_uuid_new(node->options.random),
        .writer = node->identity.self,
        .writer_seq = ++group->state.writer_seq,
    };
    group->state.clock = node->clock.latest_ms;
    group->state.clock_floor = node->clock.floor_ms;
    group->state.newest = max_i64(group->state.newest, version.timestamp);
    return version;
}

// A life has 2^32 - 1 numbers, enough for a day at fifty thousand a second. Behind the last one
// nothing is written before the next start, which begins a new life: peers would take the dots of a
// life that never began for holes.
static bool life_is_full(struct kvs_group *group, const struct kvs_version *version)
{
    struct kvs_ledger *ledger = group->node->ledger;
    if (!ledger || kvs_dot_count(version->writer_seq) != UINT32_MAX)
        return false;
    if (!ledger->full_told)
        kvs_log(group->node->options.log, KVS_LOG_ERROR,
                "writes refused: this run has written as many versions as it can count: restart "
                "this node");
    ledger->full_told = true;
    return true;
}

static int add_version(struct kvs_group *group, struct kvs_write *write,
                       const struct kvs_version *version, struct kvs_slice json,
                       const struct kvs_record *current)
{
    int err = KVS_ERR_BUSY;
    write->effect.created = write->created;
    if (!life_is_full(group, version))
        err = kvs_group_put_current(group, &write->effect, version, KVS_NODE_SELF_WRITER_ID, json,
                                    current);
    if (err)
        group->state.writer_seq--; // no hole: whoever misses a dot looks for it for ever
    else
        write->version = *version;
    return err;
}

// ---- The operations

static int prepare_put(struct kvs_group *group, struct kvs_write *write,
                       const struct kvs_record *current, struct kvs_slice json)
{
    struct kvs_version version = next_version(group, timestamp_of(current));
    version.expires_at = expiry(group, write, current);
    return add_version(group, write, &version, json, current);
}

static int prepare_delete(struct kvs_group *group, struct kvs_write *write,
                          const struct kvs_record *current)
{
    if (write->created)
        return KVS_ERR_NOT_FOUND;
    struct kvs_version version = next_version(group, timestamp_of(current));
    version.flags = KVS_VERSION_TOMBSTONE;
    return add_version(group, write, &version, KVS_SLICE_EMPTY, current);
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
    int err = kvs_node_history(group->node, kvs_auth_own_grant(), write->key, KVS_READ_DISK,
                               pick_revision, &revision, &count);
    if (!err && !revision.found)
        err = KVS_ERR_NOT_FOUND;
    if (!err)
        err = revision.json.err;
    if (!err)
        err = prepare_put(group, write, current, kvs_buf_slice(&revision.json));
    kvs_buf_done(&revision.json);
    return err;
}

// ---- Over a damaged record

// Whoever asks nothing of what was there may replace it unread.
static bool may_replace_damaged(const struct kvs_write *write)
{
    return (write->op == KVS_WRITE_PUT || write->op == KVS_WRITE_DELETE) &&
           write->condition == KVS_CONDITION_NONE && write->ttl_ms != KVS_TTL_KEEP;
}

// Nobody knows whether there was anything to see under the key: it takes the right to create as
// well as to write, and counts as a replacement. The new version beats the time in the damaged
// one's entry key, which is all that is left of it.
static int prepare_over_damaged(struct kvs_group *group, struct kvs_write *write)
{
    struct kvs_node *node = group->node;
    struct kvs_version damaged;
    bool deletes = write->op == KVS_WRITE_DELETE;
    int err = kvs_group_find_damaged(group, write->key, &damaged);
    write->created = false;
    if (!err)
        err = kvs_grant_check(write->grant, write->key,
                              deletes ? KVS_ACCESS_DELETE : KVS_ACCESS_WRITE);
    if (!err && !deletes)
        err = kvs_grant_check(write->grant, write->key, KVS_ACCESS_CREATE);
    if (err)
        return err;
    struct kvs_version version = next_version(group, damaged.timestamp);
    if (deletes)
        version.flags = KVS_VERSION_TOMBSTONE;
    else
        version.expires_at = expiry(group, write, NULL);
    err = add_version(group, write, &version, deletes ? KVS_SLICE_EMPTY : write->json, NULL);
    if (err)
        return err;
    kvs_group_drop_damaged(group, write->key, &damaged);
    write->effect.uncertain = true;
    kvs_metrics_add(node->options.metrics, KVS_METRIC_REPLACED_DAMAGED, 1);
    kvs_log(node->options.log, KVS_LOG_WARN, "damaged record replaced by a write",
            KVS_F_SLICE("key", write->key));
    return 0;
}

// ---- Housekeeping's operations

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
    int err = kvs_node_history(group->node, kvs_auth_own_grant(), write->key, KVS_READ_DISK,
                               count_restorable, &history, &count);
    *ret_at = max_i64(current->version.expires_at + (history.found ? retention_ms : 0),
                      current->version.timestamp + 1);
    return err;
}

// A damaged record is looked at again later, lest it be reported with every round.
static void postpone(struct kvs_group *group, const struct kvs_write *write)
{
    kvs_group_delete_due(group, write->due_ms, write->key);
    kvs_group_put_due(group, group->now_ms + DAMAGED_RETRY_MS, write->key, false);
}

static bool has_payload(const struct kvs_version *version)
{
    return (version->flags & (KVS_VERSION_STUB | KVS_VERSION_TOMBSTONE)) == 0;
}

// In a cluster a dead version goes when everybody has it (the watermark says so), and not before:
// until then every node holds it, or roots would differ.
static int prepare_purge_replicated(struct kvs_group *group, struct kvs_write *write,
                                    const struct kvs_record *current)
{
    int64_t due_ms = current ? kvs_group_due_ms(group, &current->version) : 0;
    int err = 0;
    if (current && kvs_version_is_removable(&current->version, write->watermark_ms))
        err = kvs_group_remove(group, &write->effect, current);
    else if (current && has_payload(&current->version) &&
             !kvs_version_is_visible(&current->version, group->now_ms))
        kvs_group_put_stub(group, &write->effect, current);
    if (err || (!write->effect.removed && due_ms == write->due_ms))
        return err;
    kvs_group_delete_due(group, write->due_ms, write->key);
    if (!write->effect.removed && due_ms != 0)
        kvs_group_put_due(group, due_ms, write->key, !kvs_version_is_tombstone(&current->version));
    return 0;
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
        err = kvs_group_remove(group, &write->effect, current);
    else if (dead && !err) {
        if (has_payload(&current->version))
            kvs_group_put_stub(group, &write->effect, current);
        kvs_group_put_due(group, at, write->key, false);
    }
    if (err)
        return err;
    if (at != write->due_ms || write->effect.removed)
        kvs_group_delete_due(group, write->due_ms, write->key);
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

// Before the conditions: whoever may not write learns nothing from them.
static int check_access(const struct kvs_write *write)
{
    enum kvs_access access = write->created ? KVS_ACCESS_CREATE : KVS_ACCESS_WRITE;
    if (write->op == KVS_WRITE_DELETE)
        access = KVS_ACCESS_DELETE;
    return kvs_grant_check(write->grant, write->key, access);
}

// The node's own small records of jobs.
static int prepare_meta(struct kvs_group *group, struct kvs_write *write)
{
    write->version.writer_seq = group->state.writer_seq;
    write->version.timestamp = max_i64(group->node->clock.latest_ms, group->now_ms);
    if (write->key.size == 0)
        return 0;
    if (write->json.size > 0)
        kvs_store_batch_put(group->batch, KVS_FAMILY_META, write->key, write->json);
    else
        kvs_store_batch_delete(group->batch, KVS_FAMILY_META, write->key);
    group->bytes += write->key.size + write->json.size;
    group->change_count++;
    return 0;
}

static int prepare_on_key(struct kvs_group *group, struct kvs_write *write)
{
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *current = NULL;
    int err = kvs_group_find_current(group, write->key, &current);
    if (write->op == KVS_WRITE_PURGE) {
        if (!err)
            err = group->node->ledger ? prepare_purge_replicated(group, write, current)
                                      : prepare_purge(group, write, current);
        if (err == KVS_ERR_CORRUPT)
            postpone(group, write);
        return err;
    }
    if (err == KVS_ERR_CORRUPT && may_replace_damaged(write))
        return prepare_over_damaged(group, write);
    if (err)
        return err;
    bool visible = current && kvs_version_is_visible(&current->version, group->now_ms);
    write->created = !visible;
    err = check_access(write);
    if (!err && !kvs_write_condition_holds(write, visible ? &current->version.uuid : NULL))
        err = KVS_ERR_PRECONDITION;
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
    write->effect = (struct kvs_effect){.key = write->key};
    switch (write->op) {
    case KVS_WRITE_TRIM_LOG:
        write->err = prepare_trim_log(group, write);
        break;
    case KVS_WRITE_META:
        write->err = prepare_meta(group, write);
        break;
    case KVS_WRITE_REPLICA:
        write->err = kvs_group_replica(group, write->replica_op);
        break;
    case KVS_WRITE_VIEW:
        write->err = kvs_backup_view_init(write->view, group->node->store);
        break;
    default:
        write->err = prepare_on_key(group, write);
        break;
    }
}

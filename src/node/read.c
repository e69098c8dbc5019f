// SPDX-License-Identifier: Apache-2.0
// Reads: one record, a scan in key order, a key's history. They run on the calling thread against
// the record cache and a view of the store, take no lock of the node's, and change nothing but the
// cache.
#include "node/node_internal.h"
#include "node/replica.h"

enum {
    // A key with more versions than this behind its current one is left by a seek, not step by
    // step.
    STEPS_BEFORE_SEEK = 8,
};

void kvs_node_report_corrupt(struct kvs_node *node, struct kvs_slice key)
{
    kvs_metrics_add(node->options.metrics, KVS_METRIC_CORRUPT_RECORDS, 1);
    kvs_log(node->options.log, KVS_LOG_ERROR, "damaged record", KVS_F_SLICE("key", key));
    if (node->replica)
        kvs_replica_report_damage(node->replica, key);
}

static struct kvs_store_iter *versions_iter(struct kvs_node *node, enum kvs_family family,
                                            enum kvs_read_mode mode, bool prefix_only)
{
    const struct kvs_store_iter_options options = {.mode = mode, .prefix_only = prefix_only};
    return kvs_store_iter_new(node->store, family, &options);
}

int kvs_node_read_current(struct kvs_node *node, struct kvs_store_iter *iter, struct kvs_slice key,
                          struct kvs_record **ret_record)
{
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, key);
    kvs_store_iter_seek(iter, kvs_prefix_slice(&prefix));
    if (!kvs_store_iter_valid(iter)) {
        int err = kvs_store_iter_error(iter);
        return err ? err : KVS_ERR_NOT_FOUND;
    }
    struct kvs_slice entry_key = kvs_store_iter_key(iter);
    if (!kvs_slice_starts_with(entry_key, kvs_prefix_slice(&prefix)))
        return KVS_ERR_NOT_FOUND;
    struct kvs_record_view view;
    int err = kvs_record_decode(entry_key, kvs_store_iter_value(iter), &view);
    if (err) {
        kvs_node_report_corrupt(node, key);
        return err;
    }
    struct kvs_record *record = kvs_record_new(key, &view.version, view.writer_id, view.json);
    if (!record)
        return KVS_ERR_NOMEM;
    *ret_record = record;
    return 0;
}

static int read_and_cache(struct kvs_node *node, struct kvs_slice key, enum kvs_read_mode mode,
                          struct kvs_record **ret_record)
{
    uint64_t ticket = kvs_cache_ticket(node->cache, key);
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = versions_iter(node, kvs_node_family(key), mode, true);
    if (!iter)
        return KVS_ERR_NOMEM;
    int err = kvs_node_read_current(node, iter, key, ret_record);
    if (!err)
        kvs_cache_fill(node->cache, *ret_record, ticket);
    return err;
}

int kvs_node_get(struct kvs_node *node, const struct kvs_grant *grant, struct kvs_slice key,
                 enum kvs_read_mode mode, struct kvs_record **ret_record)
{
    int denied = kvs_grant_check(grant, key, KVS_ACCESS_READ);
    if (denied)
        return denied;
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *record = kvs_cache_get(node->cache, key);
    if (record) {
        kvs_metrics_add(node->options.metrics, KVS_METRIC_CACHE_HITS, 1);
    } else {
        int err = read_and_cache(node, key, mode, &record);
        if (err)
            return err;
    }
    kvs_metrics_add(node->options.metrics, KVS_METRIC_STORE_READS, 1);
    if (!kvs_version_is_visible(&record->version, kvs_clock_wall_ms(node->options.clock)))
        return KVS_ERR_NOT_FOUND;
    *ret_record = KVS_TAKE(record);
    return 0;
}

// ---- Scans

void kvs_node_leave_key(struct kvs_store_iter *iter, struct kvs_prefix *prefix)
{
    for (int i = 0; i < STEPS_BEFORE_SEEK; i++) {
        kvs_store_iter_next(iter);
        if (!kvs_store_iter_valid(iter) ||
            !kvs_slice_starts_with(kvs_store_iter_key(iter), kvs_prefix_slice(prefix)))
            return;
    }
    // No key holds this byte: behind all versions, before the next key.
    prefix->bytes[prefix->size - 1] = '\x01';
    kvs_store_iter_seek(iter, kvs_prefix_slice(prefix));
}

struct walk {
    struct kvs_node *node;
    const struct kvs_grant *grant;
    const struct kvs_node_scan *scan;
    struct kvs_store_iter *iter;
    int64_t now_ms;
    struct kvs_prefix key; // of the entry under the iterator: user key + NUL
    uint32_t keys_walked;
    bool stopped; // the visitor has enough
};

// Reads the user key under the iterator; false when the entry is none of ours.
static bool read_key(struct walk *walk)
{
    struct kvs_slice key;
    if (!kvs_record_split_key(kvs_store_iter_key(walk->iter), &key) || key.size > KVS_KEY_SIZE_MAX)
        return false;
    kvs_prefix_set(&walk->key, key);
    return true;
}

static struct kvs_slice user_key(const struct walk *walk)
{
    return kvs_slice(walk->key.bytes, walk->key.size - 1);
}

// Behind everything that starts with `prefix`, which is valid UTF-8: its last byte is never 0xff.
static void leave_prefix(struct walk *walk, struct kvs_slice prefix)
{
    struct kvs_prefix end;
    memcpy(end.bytes, prefix.data, prefix.size);
    end.bytes[prefix.size - 1]++;
    kvs_store_iter_seek(walk->iter, kvs_slice(end.bytes, prefix.size));
}

// The part of the key up to and including the first delimiter behind the scan's prefix; empty:
// none.
static struct kvs_slice rolled_up(const struct walk *walk, struct kvs_slice key)
{
    struct kvs_slice delimiter = walk->scan->delimiter;
    size_t from = walk->scan->prefix.size;
    if (delimiter.size == 0 || key.size < from)
        return KVS_SLICE_EMPTY;
    const char *at = memmem(key.data + from, key.size - from, delimiter.data, delimiter.size);
    return at ? kvs_slice(key.data, (size_t)(at - key.data) + delimiter.size) : KVS_SLICE_EMPTY;
}

// The current version of the key under the iterator: shows it when a reader may see it, then moves
// on.
static int visit_key(struct walk *walk)
{
    struct kvs_slice key = user_key(walk);
    struct kvs_record_view view;
    int err =
        kvs_record_decode(kvs_store_iter_key(walk->iter), kvs_store_iter_value(walk->iter), &view);
    if (err) {
        kvs_node_report_corrupt(walk->node, key);
        return err;
    }
    if (!kvs_version_is_visible(&view.version, walk->now_ms) ||
        kvs_grant_check(walk->grant, key, KVS_ACCESS_READ) != 0) {
        kvs_node_leave_key(walk->iter, &walk->key);
        return 0;
    }
    struct kvs_slice group = rolled_up(walk, key);
    if (group.size > 0) {
        walk->stopped = !walk->scan->visit_prefix(walk->scan->ctx, group);
        leave_prefix(walk, group);
    } else {
        walk->stopped = !walk->scan->visit(walk->scan->ctx, key, &view.version, view.json);
        kvs_node_leave_key(walk->iter, &walk->key);
    }
    return 0;
}

static int walk_keys(struct walk *walk)
{
    const struct kvs_node_scan *scan = walk->scan;
    bool from_first = kvs_slice_cmp(scan->first, scan->prefix) > 0;
    kvs_store_iter_seek(walk->iter, from_first ? scan->first : scan->prefix);
    while (!walk->stopped && kvs_store_iter_valid(walk->iter)) {
        if (!read_key(walk)) {
            kvs_node_report_corrupt(walk->node, kvs_store_iter_key(walk->iter));
            return KVS_ERR_CORRUPT;
        }
        struct kvs_slice key = user_key(walk);
        if (!kvs_slice_starts_with(key, scan->prefix) ||
            (scan->end.size > 0 && kvs_slice_cmp(key, scan->end) >= 0))
            return 0;
        if (scan->keys_max > 0 && walk->keys_walked++ == scan->keys_max) {
            scan->pause(scan->ctx, key);
            return 0;
        }
        int err = visit_key(walk);
        if (err)
            return err;
    }
    return kvs_store_iter_error(walk->iter);
}

int kvs_node_scan(struct kvs_node *node, const struct kvs_grant *grant,
                  const struct kvs_node_scan *scan, enum kvs_read_mode mode)
{
    // Users' keys are judged one by one: what is hidden from the caller is passed over.
    int denied = scan->system ? kvs_grant_check(grant, KVS_SLICE("\x01"), KVS_ACCESS_READ) : 0;
    if (denied)
        return denied;
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter =
        versions_iter(node, scan->system ? KVS_FAMILY_SYSTEM : KVS_FAMILY_DATA, mode, false);
    if (!iter)
        return KVS_ERR_NOMEM;
    struct walk walk = {.node = node,
                        .grant = grant,
                        .scan = scan,
                        .iter = iter,
                        .now_ms = kvs_clock_wall_ms(node->options.clock)};
    return walk_keys(&walk);
}

static bool observe(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                    struct kvs_slice json)
{
    const struct kvs_node_observer *observer = ctx;
    observer->record(observer->ctx, key, version, json);
    return true;
}

int kvs_node_observe_all(struct kvs_node *node)
{
    const struct kvs_node_observer *observer = node->options.observer;
    if (!observer)
        return 0;
    struct kvs_node_scan scan = {.system = true, .visit = observe, .ctx = (void *)observer};
    return kvs_node_scan(node, kvs_auth_open_grant(), &scan, KVS_READ_DISK);
}

// ---- History

int kvs_node_history(struct kvs_node *node, const struct kvs_grant *grant, struct kvs_slice key,
                     enum kvs_read_mode mode, kvs_node_revision_fn *visit, void *ctx,
                     uint32_t *ret_count)
{
    *ret_count = 0;
    int denied = kvs_grant_check(grant, key, KVS_ACCESS_READ);
    if (denied)
        return denied;
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = versions_iter(node, kvs_node_family(key), mode, true);
    if (!iter)
        return KVS_ERR_NOMEM;
    struct kvs_prefix prefix;
    kvs_prefix_set(&prefix, key);
    bool wanted = true;
    for (kvs_store_iter_seek(iter, kvs_prefix_slice(&prefix));
         wanted && *ret_count < node->options.revisions && kvs_store_iter_valid(iter) &&
         kvs_slice_starts_with(kvs_store_iter_key(iter), kvs_prefix_slice(&prefix));
         kvs_store_iter_next(iter)) {
        struct kvs_record_view view;
        int err = kvs_record_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &view);
        if (err) {
            kvs_node_report_corrupt(node, key);
            return err;
        }
        wanted = visit(ctx, ++*ret_count, &view.version, view.json);
    }
    return kvs_store_iter_error(iter);
}

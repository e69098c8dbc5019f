// SPDX-License-Identifier: Apache-2.0
// Reading for the core. Versions go out whole: key with its tag, the writer's node instead of its
// number, the payload as stored.
#include "node/replica_read.h"

#include "base/assert.h"
#include "node/ledger.h"

enum { ENTRY_KEY_MAX = KVS_KEY_SIZE_MAX + KVS_RECORD_SUFFIX_SIZE, VALUE_MAX = 1 << 30 };

// ---- Items

struct items {
    struct kvs_node *node;
    struct kvs_arena *arena;
    struct kvs_repl_item *list;
    size_t count, capacity;
    size_t bytes, bytes_max;
    struct kvs_buf value; // scratch
};

static struct kvs_repl_item *next_item(struct items *items)
{
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? items->capacity * 2 : 64;
        struct kvs_repl_item *list = kvs_arena_alloc(items->arena, capacity * sizeof(*list));
        if (!list)
            return NULL;
        if (items->count > 0)
            memcpy(list, items->list, items->count * sizeof(*list));
        items->list = list;
        items->capacity = capacity;
    }
    return &items->list[items->count++];
}

static int add(struct items *items, struct kvs_slice key, const struct kvs_version *version,
               struct kvs_slice json)
{
    struct kvs_repl_item *item = next_item(items);
    struct kvs_tagged tagged;
    if (!item)
        return KVS_ERR_NOMEM;
    kvs_tagged_set(&tagged, key);
    item->key = kvs_arena_copy(items->arena, kvs_tagged_slice(&tagged));
    item->version = *version;
    item->value = kvs_arena_copy(items->arena, json);
    items->bytes += tagged.size + json.size + sizeof(*version);
    return item->key.data && item->value.data ? 0 : KVS_ERR_NOMEM;
}

static int add_record(struct items *items, const struct kvs_record *record)
{
    struct kvs_version version = record->version;
    if (!kvs_writers_get(items->node->writers, record->writer_id, &version.writer))
        return KVS_ERR_CORRUPT;
    return add(items, kvs_record_key(record), &version, kvs_record_json(record));
}

static bool is_full(const struct items *items)
{
    return items->count > 0 && items->bytes >= items->bytes_max;
}

// KVS_ERR_NOT_FOUND, KVS_ERR_CORRUPT.
static int add_current(struct items *items, struct kvs_store_iter *iter, struct kvs_slice key)
{
    KVS_CLEANUP(kvs_record_unrefp)
    struct kvs_record *record = kvs_cache_peek(items->node->cache, key);
    if (record)
        return add_record(items, record);
    struct kvs_current current;
    int err = kvs_node_current_at(items->node, iter, key, &current);
    if (!err && current.damaged) {
        kvs_node_report_corrupt(items->node, key);
        return KVS_ERR_CORRUPT;
    }
    return err ? err : add(items, key, &current.version, current.json);
}

static struct kvs_store_iter *versions_iter(struct kvs_node *node, struct kvs_slice key)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .prefix_only = true};
    return kvs_store_iter_new(node->store, kvs_node_family(key), &options);
}

// ---- Runs of the log

struct run_read {
    struct items items;
    const struct kvs_seen_run *run;
    uint32_t writer_id;
    int64_t watermark_ms;
    uint32_t to; // read so far
};

// The version that the change made, if the store still has it.
static int add_version_of(struct run_read *r, const struct kvs_change *change)
{
    struct items *items = &r->items;
    struct kvs_node *node = items->node;
    KVS_CLEANUP(kvs_record_unrefp)
    struct kvs_record *record = kvs_cache_peek(node->cache, change->key);
    if (record && kvs_uuid_cmp(&record->version.uuid, &change->uuid) == 0)
        return add_record(items, record);
    if (change->timestamp <= r->watermark_ms)
        return KVS_ERR_NOT_FOUND; // no longer current, or not known to be
    struct kvs_version version = {.timestamp = change->timestamp, .uuid = change->uuid};
    if (!kvs_writers_get(node->writers, change->writer_id, &version.writer))
        return KVS_ERR_CORRUPT;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf entry_key = KVS_BUF_INIT(ENTRY_KEY_MAX);
    kvs_record_encode_key(&entry_key, change->key, &version);
    kvs_buf_clear(&items->value);
    int err = entry_key.err;
    if (!err)
        err = kvs_store_get(node->store, kvs_node_family(change->key), kvs_buf_slice(&entry_key),
                            KVS_READ_DISK, &items->value);
    struct kvs_record_view view;
    if (!err)
        err = kvs_record_decode(kvs_buf_slice(&entry_key), kvs_buf_slice(&items->value), &view);
    if (err)
        return err;
    view.version.writer = version.writer;
    return add(items, change->key, &view.version, view.json);
}

static int add_change(struct run_read *r, const struct kvs_change *change)
{
    int err = add_version_of(r, change);
    if (err != KVS_ERR_NOT_FOUND && err != KVS_ERR_CORRUPT)
        return err;
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = versions_iter(r->items.node, change->key);
    return iter ? add_current(&r->items, iter, change->key) : KVS_ERR_NOMEM;
}

// Until the run ends, the size is reached, or a dot is missing.
static int read_changes(struct run_read *r, struct kvs_store_iter *iter)
{
    for (; kvs_store_iter_valid(iter) && r->to < r->run->to && !is_full(&r->items);
         kvs_store_iter_next(iter)) {
        struct kvs_change change;
        int err = kvs_change_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &change);
        if (err)
            return err;
        bool wanted = change.writer_id == r->writer_id &&
                      kvs_dot_life(change.writer_seq) == r->run->life &&
                      kvs_dot_count(change.writer_seq) > r->to;
        if (!wanted)
            continue;
        if (kvs_dot_count(change.writer_seq) != r->to + 1)
            return 0;
        err = add_change(r, &change);
        if (err)
            return err == KVS_ERR_NOT_FOUND || err == KVS_ERR_CORRUPT ? 0 : err;
        r->to++;
    }
    return kvs_store_iter_error(iter);
}

static int read_run(struct run_read *r)
{
    struct kvs_node *node = r->items.node;
    uint64_t log_seq = 0;
    r->writer_id = kvs_writers_find_node(node->writers, &r->run->node);
    if (r->writer_id == 0 ||
        !kvs_ledger_find_dot(node->ledger, r->writer_id, kvs_dot_seq(r->run->life, r->run->from),
                             &log_seq))
        return 0;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_LOG, &options);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(64);
    kvs_change_encode_key(&key, log_seq);
    if (!iter || key.err)
        return KVS_ERR_NOMEM;
    kvs_store_iter_seek(iter, kvs_buf_slice(&key));
    return read_changes(r, iter);
}

static void read_log(struct items *items, const struct kvs_repl_action *action,
                     struct kvs_repl_read *ret_read)
{
    struct run_read r = {.items = *items,
                         .run = &action->read_log.run,
                         .watermark_ms = action->read_log.watermark_ms,
                         .to = action->read_log.run.from};
    r.items.bytes_max = action->read_log.size_max;
    ret_read->token = action->read_log.token;
    ret_read->err = read_run(&r);
    ret_read->to = r.to;
    ret_read->overrun = r.to == r.run->from;
    ret_read->more = !ret_read->overrun && r.to < r.run->to;
    *items = r.items;
}

// ---- Keys, pages

static void read_keys(struct items *items, const struct kvs_repl_action *action,
                      struct kvs_repl_read *ret_read)
{
    struct kvs_store_iter *iters[2] = {NULL, NULL};
    items->bytes_max = action->read_keys.size_max;
    ret_read->token = action->read_keys.token;
    while (ret_read->to < action->read_keys.key_count && !is_full(items) && !ret_read->err) {
        struct kvs_slice key;
        int err = 0;
        if (kvs_tagged_key(action->read_keys.keys[ret_read->to], &key)) {
            struct kvs_store_iter **iter = &iters[kvs_key_is_system(key)];
            if (!*iter)
                *iter = versions_iter(items->node, key);
            err = *iter ? add_current(items, *iter, key) : KVS_ERR_NOMEM;
        }
        ret_read->damaged |= err == KVS_ERR_CORRUPT;
        ret_read->err = err == KVS_ERR_NOT_FOUND || err == KVS_ERR_CORRUPT ? 0 : err;
        ret_read->to++;
    }
    kvs_store_iter_free(iters[0]);
    kvs_store_iter_free(iters[1]);
}

// A key's current version if it is the one that was written then.
static int add_if_current(struct items *items, struct kvs_store_iter *versions,
                          struct kvs_slice key, int64_t timestamp)
{
    size_t before = items->count;
    size_t bytes_before = items->bytes;
    int err = add_current(items, versions, key);
    if (err == KVS_ERR_NOT_FOUND || err == KVS_ERR_CORRUPT)
        return 0;
    if (!err && items->list[before].version.timestamp != timestamp) {
        items->count = before;
        items->bytes = bytes_before;
    }
    return err;
}

static int walk_page(struct items *items, struct kvs_store_iter *times,
                     struct kvs_store_iter *versions, const struct kvs_repl_action *action,
                     struct kvs_slice from)
{
    bool system = action->read_page.family == KVS_REPL_TAG_SYSTEM;
    kvs_store_iter_seek_before(times, from);
    for (; kvs_store_iter_valid(times) && !is_full(items); kvs_store_iter_prev(times)) {
        int64_t timestamp = 0;
        struct kvs_slice key;
        if (kvs_slice_eq(kvs_store_iter_key(times), from))
            continue;
        if (!kvs_time_key_decode(kvs_store_iter_key(times), &timestamp, &key) ||
            key.size > KVS_KEY_SIZE_MAX)
            continue;
        if (kvs_key_is_system(key) != system)
            break; // users' lie before the system's
        int err = add_if_current(items, versions, key, timestamp);
        if (err)
            return err;
    }
    return kvs_store_iter_error(times);
}

static void read_page(struct items *items, const struct kvs_repl_action *action,
                      struct kvs_repl_read *ret_read)
{
    static const char system_byte = KVS_SYSTEM_KEY_BYTE;
    // Each entry is read once: clients' blocks stay in the cache.
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .skip_cache_fill = true};
    bool system = action->read_page.family == KVS_REPL_TAG_SYSTEM;
    struct kvs_slice before = action->read_page.before_key;
    struct kvs_slice key = KVS_SLICE_EMPTY;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf from = KVS_BUF_INIT(KVS_KEY_SIZE_MAX + 64);
    ret_read->token = action->read_page.token;
    items->bytes_max = action->read_page.size_max;
    if (before.size > 0 && !kvs_tagged_key(before, &key)) {
        ret_read->err = KVS_ERR_INVALID;
        return;
    }
    // To begin: the tag alone, which no key is.
    if (key.size == 0)
        key = system ? kvs_slice(&system_byte, 1) : KVS_SLICE("\xff");
    kvs_by_time_key_encode(&from, action->read_page.before_ms, key);
    struct kvs_store_iter *times =
        kvs_store_iter_new(items->node->store, KVS_FAMILY_BY_TIME, &options);
    struct kvs_store_iter *versions = versions_iter(items->node, key);
    if (times && versions && !from.err)
        ret_read->err = walk_page(items, times, versions, action, kvs_buf_slice(&from));
    else
        ret_read->err = KVS_ERR_NOMEM;
    ret_read->more = is_full(items);
    kvs_store_iter_free(times);
    kvs_store_iter_free(versions);
}

// ---- Ranges of the digest

static int range_fingerprint(void *ctx, struct kvs_slice first, struct kvs_slice end,
                             struct kvs_fingerprint *ret_fingerprint)
{
    const struct kvs_node *node = ctx;
    return kvs_ledger_range(node->ledger, first, end, ret_fingerprint);
}

static int range_split(void *ctx, struct kvs_slice first, struct kvs_slice end, uint32_t parts,
                       kvs_digest_part_fn *visit, void *visit_ctx)
{
    const struct kvs_node *node = ctx;
    return kvs_ledger_split(node->ledger, first, end, parts, visit, visit_ctx);
}

struct listing {
    bool (*visit)(void *visit_ctx, struct kvs_slice key, const struct kvs_version *version);
    void *visit_ctx;
};

static bool list_one(void *ctx, const struct kvs_current *current)
{
    const struct listing *listing = ctx;
    return listing->visit(listing->visit_ctx, current->tagged, &current->version);
}

static int range_list(void *ctx, struct kvs_slice first, struct kvs_slice end,
                      bool (*visit)(void *visit_ctx, struct kvs_slice key,
                                    const struct kvs_version *version),
                      void *visit_ctx)
{
    struct listing listing = {visit, visit_ctx};
    return kvs_node_each_current(ctx, first, end, list_one, &listing);
}

static void compare(struct kvs_node *node, const struct kvs_repl_action *action,
                    struct kvs_arena *arena, struct kvs_repl_compare_done *ret_done)
{
    const struct kvs_repl_ranges ranges = {node, range_fingerprint, range_split, range_list};
    struct kvs_repl_compared *answers = NULL;
    ret_done->token = action->compare.token;
    ret_done->err = kvs_repl_compare(&ranges, action->compare.ranges, action->compare.range_count,
                                     KVS_REPL_LIST_MAX, arena, &answers);
    ret_done->answers = answers;
    ret_done->answer_count = ret_done->err ? 0 : action->compare.range_count;
}

void kvs_replica_read(struct kvs_node *node, const struct kvs_repl_action *action,
                      struct kvs_arena *arena, struct kvs_repl_event *ret_event)
{
    struct items items = {.node = node, .arena = arena, .value = KVS_BUF_INIT(VALUE_MAX)};
    *ret_event = (struct kvs_repl_event){.type = KVS_REPL_EVENT_READ};
    switch (action->type) {
    case KVS_REPL_ACTION_READ_LOG:
        read_log(&items, action, &ret_event->read);
        break;
    case KVS_REPL_ACTION_READ_KEYS:
        read_keys(&items, action, &ret_event->read);
        break;
    case KVS_REPL_ACTION_READ_PAGE:
        read_page(&items, action, &ret_event->read);
        break;
    default:
        ret_event->type = KVS_REPL_EVENT_COMPARED;
        compare(node, action, arena, &ret_event->compared);
        return;
    }
    ret_event->read.items = items.list;
    ret_event->read.item_count = items.count;
    kvs_buf_done(&items.value);
}

// ---- For another thread

static int copy_slice(struct kvs_arena *arena, struct kvs_slice *slice)
{
    *slice = kvs_arena_copy(arena, *slice);
    return slice->data ? 0 : KVS_ERR_NOMEM;
}

static int copy_keys(struct kvs_arena *arena, struct kvs_repl_action *action)
{
    size_t count = action->read_keys.key_count;
    struct kvs_slice *keys = kvs_arena_alloc(arena, (count + 1) * sizeof(*keys));
    if (!keys)
        return KVS_ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        keys[i] = action->read_keys.keys[i];
        if (copy_slice(arena, &keys[i]) != 0)
            return KVS_ERR_NOMEM;
    }
    action->read_keys.keys = keys;
    return 0;
}

static int copy_ranges(struct kvs_arena *arena, struct kvs_repl_action *action)
{
    size_t count = action->compare.range_count;
    struct kvs_repl_range *ranges = kvs_arena_alloc(arena, (count + 1) * sizeof(*ranges));
    if (!ranges)
        return KVS_ERR_NOMEM;
    for (size_t i = 0; i < count; i++) {
        ranges[i] = action->compare.ranges[i];
        if (copy_slice(arena, &ranges[i].first) != 0 || copy_slice(arena, &ranges[i].end) != 0)
            return KVS_ERR_NOMEM;
    }
    action->compare.ranges = ranges;
    return 0;
}

int kvs_replica_copy_read(const struct kvs_repl_action *action, struct kvs_arena *arena,
                          struct kvs_repl_action *ret_action)
{
    *ret_action = *action;
    switch (action->type) {
    case KVS_REPL_ACTION_READ_KEYS:
        return copy_keys(arena, ret_action);
    case KVS_REPL_ACTION_READ_PAGE:
        return copy_slice(arena, &ret_action->read_page.before_key);
    case KVS_REPL_ACTION_COMPARE:
        return copy_ranges(arena, ret_action);
    default:
        return 0;
    }
}

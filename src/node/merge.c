// SPDX-License-Identifier: Apache-2.0
// What the replication core wants done, as entries of a group: versions from peers are judged
// against what is current (repl/judge.h) and merged, `seen` moves with them, deferred versions come
// due, dead ones go. Commit thread only.
//
// A version kept aside lies in META under "deferred/" timestamp u64be | uuid 16: flags u8 | node
// uuid 16 | joined_timestamp u64be | writer_seq uvarint | expires_at uvarint | key bytes | JSON.
#include "base/assert.h"
#include "codec/json.h"
#include "node/cluster.h"
#include "node/group.h"
#include "node/ledger.h"
#include "node/replica_op.h"
#include "node/screen.h"
#include "repl/judge.h"

#include <stdlib.h>

enum {
    OP_ARENA_MAX = 1 << 30,
    FLAGS_FROM_PEERS = KVS_VERSION_TOMBSTONE | KVS_VERSION_STUB,
    DEFERRED_ENTRY_MAX = KVS_REPL_KEY_MAX + 256,
    DUE_BYTES_MAX = 16 << 20, // merged at once; the rest is asked for again
    DAMAGED_MAX = 64,         // dropped at once, likewise
};

struct kvs_replica_op *kvs_replica_op_new(enum kvs_replica_op_type type, uint64_t token)
{
    struct kvs_replica_op *op = calloc(1, sizeof(*op));
    if (!op)
        return NULL;
    op->type = type;
    op->token = token;
    op->write.op = KVS_WRITE_REPLICA;
    op->write.replica_op = op;
    kvs_arena_init(&op->arena, OP_ARENA_MAX);
    return op;
}

void kvs_replica_op_free(struct kvs_replica_op *op)
{
    if (!op)
        return;
    free(op->event);
    kvs_seen_done(&op->seen);
    kvs_arena_done(&op->arena);
    free(op);
}

// ---- One version

struct merging {
    struct kvs_group *group;
    struct kvs_replica_op *op;
    struct kvs_ledger *ledger;
    int64_t watermark_ms;
    uint64_t sender_has_us;
    bool due;
};

static struct kvs_effect *next_effect(struct merging *m, struct kvs_slice key)
{
    struct kvs_replica_op *op = m->op;
    if (op->effect_count == op->effect_capacity)
        return NULL;
    struct kvs_effect *effect = &op->effects[op->effect_count++];
    *effect = (struct kvs_effect){.key = key};
    return effect;
}

// Two a version: the version, and the loser that it makes known.
static int reserve_effects(struct kvs_replica_op *op, size_t version_count)
{
    op->effect_capacity = 2 * version_count;
    op->effects = kvs_arena_alloc(&op->arena, (op->effect_capacity + 1) * sizeof(*op->effects));
    return op->effects ? 0 : KVS_ERR_NOMEM;
}

static bool is_seen(const struct merging *m, const struct kvs_version *version)
{
    bool ours = kvs_uuid_cmp(&version->writer.node, &m->group->node->identity.self.node) == 0 &&
                kvs_dot_life(version->writer_seq) == m->ledger->life;
    if (ours)
        return version->writer_seq <= m->group->state.writer_seq;
    return kvs_seen_covers_version(&m->ledger->seen, version);
}

static void log_conflict(const struct merging *m, struct kvs_slice key,
                         const struct kvs_judgement *j, bool incoming_wins)
{
    const struct kvs_version *winner = incoming_wins ? j->incoming : j->current;
    const struct kvs_version *loser = incoming_wins ? j->current : j->incoming;
    char winner_text[KVS_UUID_TEXT_SIZE];
    char loser_text[KVS_UUID_TEXT_SIZE];
    kvs_metrics_add(m->group->node->options.metrics, KVS_METRIC_CONFLICTS, 1);
    if (j->rule == KVS_VERSION_BY_TIMESTAMP)
        return;
    kvs_uuid_format(&winner->uuid, winner_text);
    kvs_uuid_format(&loser->uuid, loser_text);
    kvs_log(m->group->node->options.log, KVS_LOG_INFO, "Conflict resolved", KVS_F_SLICE("key", key),
            KVS_F_SLICE("winner", kvs_slice(winner_text, sizeof(winner_text))),
            KVS_F_SLICE("loser", kvs_slice(loser_text, sizeof(loser_text))),
            KVS_F_STR("rule", kvs_version_rule_name(j->rule)));
}

// The current version lost against a concurrent one: its entry is marked, and the log says so.
static int mark_loser(struct merging *m, struct kvs_slice key, const struct kvs_record *loser)
{
    struct kvs_effect *effect = next_effect(m, key);
    struct kvs_version version = loser->version;
    if (!effect)
        return KVS_ERR_NOMEM;
    version.flags |= KVS_VERSION_CONFLICT_LOSER;
    struct kvs_slice json = kvs_record_json(loser);
    return kvs_group_put_history(m->group, effect, &version, loser->writer_id, json,
                                 KVS_VERSION_HISTORY);
}

static int put_version(struct merging *m, struct kvs_slice key, const struct kvs_repl_item *item,
                       const struct kvs_record *current, const struct kvs_judgement *j,
                       enum kvs_verdict verdict)
{
    struct kvs_node *node = m->group->node;
    struct kvs_version version = item->version;
    uint32_t writer_id = 0;
    version.flags &= FLAGS_FROM_PEERS;
    int err = kvs_node_put_writer(node, m->group->batch, &version.writer, &writer_id);
    if (err)
        return err;
    struct kvs_effect *effect = next_effect(m, key);
    if (!effect)
        return KVS_ERR_NOMEM;
    if (verdict == KVS_VERDICT_LOSE) {
        if (j->conflict)
            version.flags |= KVS_VERSION_CONFLICT_LOSER;
        return kvs_group_put_history(m->group, effect, &version, writer_id, item->value,
                                     KVS_VERSION_HISTORY);
    }
    kvs_stamp_clock_observe(&node->clock, m->group->now_ms, version.timestamp);
    effect->created = !current || !kvs_version_is_visible(&current->version, m->group->now_ms);
    err = kvs_group_put_current(m->group, effect, &version, writer_id, item->value, current);
    if (!err && j->conflict && current)
        err = mark_loser(m, key, current);
    return err;
}

static void put_deferred_key(struct kvs_group *group, const struct kvs_version *version)
{
    kvs_buf_append_slice(&group->key, KVS_META_DEFERRED);
    kvs_wire_put_u64be(&group->key, (uint64_t)version->timestamp);
    kvs_wire_put_uuid(&group->key, &version->uuid);
}

// An operation that failed behind it may have kept it before. Its key is in group->key.
static bool is_new_deferred(struct kvs_group *group)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(KVS_NODE_ENTRY_SIZE_MAX);
    return kvs_store_get(group->node->store, KVS_FAMILY_META, kvs_buf_slice(&group->key),
                         KVS_READ_DISK, &value) == KVS_ERR_NOT_FOUND;
}

static int defer(struct merging *m, const struct kvs_repl_item *item)
{
    struct kvs_group *group = m->group;
    const struct kvs_version *v = &item->version;
    if (!kvs_buf_reserve(&group->value, DEFERRED_ENTRY_MAX + item->value.size)) {
        kvs_buf_clear(&group->value);
        return KVS_ERR_NOMEM;
    }
    put_deferred_key(group, v);
    bool is_new = is_new_deferred(group);
    kvs_wire_put_u8(&group->value, v->flags & FLAGS_FROM_PEERS);
    kvs_wire_put_uuid(&group->value, &v->writer.node);
    kvs_wire_put_u64be(&group->value, (uint64_t)v->writer.joined_timestamp);
    kvs_wire_put_uvarint(&group->value, v->writer_seq);
    kvs_wire_put_uvarint(&group->value, (uint64_t)v->expires_at);
    kvs_wire_put_bytes(&group->value, item->key);
    kvs_buf_append_slice(&group->value, item->value);
    kvs_group_put_meta(group);
    if (is_new)
        atomic_fetch_add(&m->ledger->deferred_count, 1);
    if (v->timestamp < group->deferred_first_ms)
        group->deferred_first_ms = v->timestamp;
    if (v->timestamp < atomic_load(&m->ledger->deferred_first_ms))
        atomic_store(&m->ledger->deferred_first_ms, v->timestamp);
    return 0;
}

static void warn_quarantined(const struct merging *m, struct kvs_slice key,
                             const struct kvs_version *version)
{
    char writer[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(&version->writer.node, writer);
    kvs_metrics_add(m->group->node->options.metrics, KVS_METRIC_QUARANTINED, 1);
    kvs_log(m->group->node->options.log, KVS_LOG_WARN,
            "version from more than a day ahead kept aside until then: set its writer's clock",
            KVS_F_SLICE("key", key), KVS_F_INT("timestamp", version->timestamp),
            KVS_F_SLICE("writer", kvs_slice(writer, sizeof(writer))));
}

// What becomes of it beside `current` (NULL: absent).
static struct kvs_judgement judgement_of(const struct merging *m, const struct kvs_repl_item *item,
                                         const struct kvs_version *current)
{
    const struct kvs_node *node = m->group->node;
    return (struct kvs_judgement){
        .current = current,
        .incoming = &item->version,
        .watermark_ms = m->watermark_ms,
        .forgotten_ms = m->op->forgotten_ms,
        .wall_ms = m->group->now_ms,
        .skew_max_ms = node->options.cluster->skew_max_ms,
        .seen = is_seen(m, &item->version),
        .self = node->identity.self.node,
        .sender_has_us = m->sender_has_us,
        .due = m->due,
    };
}

static int carry_out(struct merging *m, const struct kvs_repl_item *item, struct kvs_slice key,
                     const struct kvs_record *current, const struct kvs_judgement *j,
                     enum kvs_verdict verdict)
{
    if (j->conflict)
        log_conflict(m, key, j, verdict != KVS_VERDICT_LOSE);
    m->op->commit.revived |= j->revived;
    switch (verdict) {
    case KVS_VERDICT_APPLY:
    case KVS_VERDICT_LOSE:
        return put_version(m, key, item, current, j, verdict);
    case KVS_VERDICT_REMOVE: {
        struct kvs_effect *effect = next_effect(m, key);
        return effect ? kvs_group_remove(m->group, effect, current) : KVS_ERR_NOMEM;
    }
    case KVS_VERDICT_QUARANTINE:
        warn_quarantined(m, key, &item->version);
        return defer(m, item);
    case KVS_VERDICT_DEFER:
        return defer(m, item);
    case KVS_VERDICT_DUPLICATE:
    case KVS_VERDICT_IGNORE:
        break;
    }
    return 0;
}

// The record under the key fails its checksum. Its entry key still says which version it is: the
// same one takes its place, unless that would have gone by now; any other is judged as ever.
static int heal(struct merging *m, const struct kvs_repl_item *item, struct kvs_slice key)
{
    struct kvs_version damaged;
    int err = kvs_group_find_damaged(m->group, key, &damaged);
    if (err)
        return err;
    struct kvs_judgement j = judgement_of(m, item, &damaged);
    bool same = kvs_version_cmp(&item->version, &damaged, NULL) == 0;
    enum kvs_verdict verdict = KVS_VERDICT_APPLY;
    if (same && kvs_version_is_removable(&item->version, m->watermark_ms))
        verdict = KVS_VERDICT_REMOVE;
    else if (!same)
        verdict = kvs_judge(&j);
    size_t at = m->op->effect_count;
    err = carry_out(m, item, key, NULL, &j, verdict);
    if (err || (verdict != KVS_VERDICT_APPLY && verdict != KVS_VERDICT_REMOVE))
        return err;
    if (verdict == KVS_VERDICT_APPLY && !same)
        kvs_group_drop_damaged(m->group, key, &damaged);
    m->op->effects[at].uncertain = true;
    kvs_metrics_add(m->group->node->options.metrics, KVS_METRIC_REPAIRED_RECORDS, 1);
    kvs_log(m->group->node->options.log, KVS_LOG_WARN, "damaged record repaired from a peer",
            KVS_F_SLICE("key", key));
    return 0;
}

static int judge_and_merge(struct merging *m, const struct kvs_repl_item *item,
                           struct kvs_slice key, const struct kvs_record *current)
{
    struct kvs_version version = {0};
    if (current) {
        version = current->version;
        if (!kvs_writers_get(m->group->node->writers, current->writer_id, &version.writer))
            return heal(m, item, key); // as good as damaged
    }
    struct kvs_judgement j = judgement_of(m, item, current ? &version : NULL);
    enum kvs_verdict verdict = kvs_judge(&j);
    return carry_out(m, item, key, current, &j, verdict);
}

static int merge(struct merging *m, const struct kvs_repl_item *item)
{
    struct kvs_slice key;
    bool valid = kvs_tagged_key(item->key, &key);
    kvs_assert(valid); // has been checked
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *current = NULL;
    int err = kvs_group_find_current(m->group, key, &current);
    if (err == KVS_ERR_CORRUPT)
        return heal(m, item, key);
    return err ? err : judge_and_merge(m, item, key, current);
}

// ---- The operations

static int apply(struct kvs_group *group, struct kvs_replica_op *op)
{
    struct kvs_ledger *ledger = group->node->ledger;
    struct merging m = {group, op, ledger, op->watermark_ms, op->sender_has_us, false};
    int err = reserve_effects(op, op->item_count);
    for (size_t i = 0; !err && i < op->item_count; i++)
        err = kvs_item_is_sane(&op->items[i]) ? 0 : KVS_ERR_SYNTAX;
    // A version that is merged stays merged even when a later one fails: merging it again changes
    // nothing, and `seen` does not speak of it.
    for (size_t i = 0; !err && i < op->item_count; i++)
        if ((err = merge(&m, &op->items[i])) != 0)
            op->refused = &op->items[i];
    for (size_t i = 0; !err && i < op->item_count; i++)
        err = kvs_seen_note(&ledger->seen, &op->items[i].version);
    if (!err)
        err = kvs_seen_advance(&ledger->seen, &op->run);
    ledger->seen_changed = true;
    group->change_count++;
    return err;
}

static int adopt(struct kvs_group *group, struct kvs_replica_op *op)
{
    struct kvs_ledger *ledger = group->node->ledger;
    ledger->seen_changed = true;
    group->change_count++;
    return kvs_seen_adopt(&ledger->seen, &op->seen);
}

// `ret_item->version` has its timestamp and uuid, from the key.
static bool decode_deferred(struct kvs_slice value, struct kvs_repl_item *ret_item)
{
    struct kvs_cursor v = kvs_cursor(value);
    struct kvs_version *version = &ret_item->version;
    version->flags = kvs_wire_get_u8(&v);
    version->writer.node = kvs_wire_get_uuid(&v);
    version->writer.joined_timestamp = (int64_t)kvs_wire_get_u64be(&v);
    version->writer_seq = kvs_wire_get_uvarint(&v, UINT64_MAX);
    version->expires_at = (int64_t)kvs_wire_get_uvarint(&v, INT64_MAX);
    ret_item->key = kvs_wire_get_bytes(&v, KVS_REPL_KEY_MAX);
    ret_item->value = kvs_wire_get_rest(&v);
    return !v.bad && kvs_item_is_sane(ret_item);
}

struct due_list {
    struct kvs_repl_item *items;
    size_t count, capacity;
    size_t bytes;
    struct kvs_slice damaged[DAMAGED_MAX]; // keys in META of those that cannot be read
    size_t damaged_count;
};

static int keep_due(struct due_list *list, struct kvs_arena *arena,
                    const struct kvs_repl_item *item)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        struct kvs_repl_item *items = kvs_arena_alloc(arena, capacity * sizeof(*items));
        if (!items)
            return KVS_ERR_NOMEM;
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof(*items));
        list->items = items;
        list->capacity = capacity;
    }
    struct kvs_repl_item *kept = &list->items[list->count++];
    *kept = *item;
    kept->key = kvs_arena_copy(arena, item->key);
    kept->value = kvs_arena_copy(arena, item->value);
    list->bytes += sizeof(*item) + item->key.size + item->value.size;
    return kept->key.data && kept->value.data ? 0 : KVS_ERR_NOMEM;
}

static int keep_damaged(struct due_list *list, struct kvs_arena *arena, struct kvs_slice key)
{
    struct kvs_slice kept = kvs_arena_copy(arena, key);
    list->damaged[list->damaged_count++] = kept;
    return kept.data ? 0 : KVS_ERR_NOMEM;
}

// Reads what is due, as much as one operation takes; *ret_next_ms is when the next one is, of those
// that the group itself has put aside too: the iterator does not see them yet.
static int read_due(struct kvs_group *group, struct kvs_replica_op *op, int64_t upto_ms,
                    struct due_list *ret_list, int64_t *ret_next_ms)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(group->node->store, KVS_FAMILY_META, &options);
    *ret_next_ms = group->deferred_first_ms;
    if (!iter)
        return KVS_ERR_NOMEM;
    for (kvs_store_iter_seek(iter, KVS_META_DEFERRED);
         kvs_store_iter_valid(iter) &&
         kvs_slice_starts_with(kvs_store_iter_key(iter), KVS_META_DEFERRED);
         kvs_store_iter_next(iter)) {
        struct kvs_slice key = kvs_store_iter_key(iter);
        struct kvs_repl_item item = {0};
        bool known = kvs_deferred_key_decode(key, &item.version.timestamp, &item.version.uuid);
        if (item.version.timestamp > upto_ms || ret_list->bytes >= DUE_BYTES_MAX ||
            ret_list->damaged_count == DAMAGED_MAX) {
            if (item.version.timestamp < *ret_next_ms)
                *ret_next_ms = item.version.timestamp;
            break;
        }
        int err = known && decode_deferred(kvs_store_iter_value(iter), &item)
                      ? keep_due(ret_list, &op->arena, &item)
                      : keep_damaged(ret_list, &op->arena, key);
        if (err)
            return err;
    }
    return kvs_store_iter_error(iter);
}

// Nobody knows any more which key it is of. But it has been counted as seen, so it must come back
// while its peers still think that it is missing here: all are compared with, at once, and nothing
// is claimed meanwhile. Long before the watermark, which is later by the retention, comes to it.
static void drop_damaged(struct merging *m, const struct due_list *list)
{
    struct kvs_node *node = m->group->node;
    for (size_t i = 0; i < list->damaged_count; i++) {
        int64_t due_ms = 0;
        (void)kvs_deferred_key_decode(list->damaged[i], &due_ms, NULL); // 0: not even that is known
        kvs_store_batch_delete(m->group->batch, KVS_FAMILY_META, list->damaged[i]);
        m->group->change_count++;
        kvs_metrics_add(node->options.metrics, KVS_METRIC_DEFERRED_DAMAGED, 1);
        kvs_log(node->options.log, KVS_LOG_ERROR,
                "a version that was kept aside is damaged: dropped, and looked for at all members",
                KVS_F_INT("timestamp", due_ms));
    }
    m->op->commit.revived |= list->damaged_count > 0;
}

// It is taken off with its merge, and not before: one that cannot be merged must not be lost.
static int merge_due_one(struct merging *m, const struct kvs_repl_item *item)
{
    struct kvs_group *group = m->group;
    int err = merge(m, item);
    if (err)
        return err;
    put_deferred_key(group, &item->version);
    kvs_store_batch_delete(group->batch, KVS_FAMILY_META, kvs_buf_slice(&group->key));
    kvs_buf_clear(&group->key);
    group->change_count++;
    return 0;
}

static void note_deferred(struct kvs_ledger *ledger, size_t gone, int64_t next_ms)
{
    uint32_t count = atomic_load(&ledger->deferred_count);
    uint32_t left = next_ms == INT64_MAX ? 0 : count > gone ? (uint32_t)(count - gone) : 1;
    atomic_store(&ledger->deferred_count, left);
    atomic_store(&ledger->deferred_first_ms, next_ms);
}

// One that this node's own records refuse stays, and holds up the promises, but nothing else.
// *ret_left_ms: when the first of those is due.
static int merge_all_due(struct merging *m, const struct due_list *list, size_t *ret_merged,
                         int64_t *ret_left_ms)
{
    int refusal = 0;
    *ret_merged = 0;
    *ret_left_ms = INT64_MAX;
    for (size_t i = 0; i < list->count; i++) {
        int err = merge_due_one(m, &list->items[i]);
        if (err && !kvs_screen_is_for_good(err))
            return err;
        *ret_merged += !err;
        if (!err || refusal)
            continue;
        refusal = err;
        m->op->refused = &list->items[i];
        *ret_left_ms = list->items[i].version.timestamp;
    }
    return refusal;
}

// *ret_next_ms: when the next one is due that still waits.
static int merge_due(struct kvs_group *group, struct kvs_replica_op *op, int64_t upto_ms,
                     int64_t *ret_next_ms)
{
    struct kvs_ledger *ledger = group->node->ledger;
    struct merging m = {group, op, ledger, op->watermark_ms, 0, true};
    struct due_list list = {0};
    *ret_next_ms = INT64_MAX;
    if (ledger->deferred_count == 0)
        return 0;
    int err = read_due(group, op, upto_ms, &list, ret_next_ms);
    if (!err)
        err = reserve_effects(op, list.count);
    if (err)
        return err;
    size_t merged = 0;
    int64_t left_ms = INT64_MAX;
    err = merge_all_due(&m, &list, &merged, &left_ms);
    op->took_deferred = merged + list.damaged_count > 0;
    if (err && !kvs_screen_is_for_good(err))
        return err;
    if (left_ms < *ret_next_ms)
        *ret_next_ms = left_ms;
    drop_damaged(&m, &list);
    note_deferred(ledger, merged + list.damaged_count, *ret_next_ms);
    return err;
}

static void put_clock(struct kvs_group *group)
{
    group->state.clock_floor = group->node->clock.floor_ms;
    group->change_count++; // the state goes with every group that changes anything
}

static int promise(struct kvs_group *group, struct kvs_replica_op *op)
{
    struct kvs_stamp_clock *clock = &group->node->clock;
    int64_t next_ms = INT64_MAX;
    int64_t promise_ms = 0;
    if (op->upto_ms < group->now_ms) { // our clock is not to be trusted
        kvs_stamp_clock_raise(clock, op->upto_ms - 1);
        promise_ms = clock->floor_ms;
    } else {
        promise_ms = kvs_stamp_clock_promise(clock, group->now_ms);
    }
    int err = merge_due(group, op, promise_ms, &next_ms);
    // No more is promised than what has been merged.
    if (!err)
        op->commit.promise_ms = promise_ms < next_ms ? promise_ms : next_ms - 1;
    put_clock(group);
    return err;
}

static int drop(struct kvs_group *group, struct kvs_replica_op *op)
{
    struct kvs_slice key;
    KVS_CLEANUP(kvs_record_unrefp) struct kvs_record *current = NULL;
    if (!kvs_tagged_key(op->stub.key, &key))
        return KVS_ERR_INVALID;
    int err = kvs_group_find_current(group, key, &current);
    if (!err)
        err = reserve_effects(op, 1);
    if (err || !current || kvs_version_cmp(&current->version, &op->stub.version, NULL) != 0)
        return err;
    op->effects[0] = (struct kvs_effect){.key = key};
    op->effect_count = 1;
    return kvs_group_remove(group, &op->effects[0], current);
}

static int persist(struct kvs_group *group, const struct kvs_replica_op *op, struct kvs_slice key)
{
    kvs_store_batch_put(group->batch, KVS_FAMILY_META, key, op->bytes);
    group->change_count++;
    return 0;
}

int kvs_group_replica(struct kvs_group *group, struct kvs_replica_op *op)
{
    int64_t next_ms = 0;
    kvs_assert(group->node->ledger);
    switch (op->type) {
    case KVS_OP_APPLY:
        return apply(group, op);
    case KVS_OP_ADOPT:
        return adopt(group, op);
    case KVS_OP_PROMISE:
        return promise(group, op);
    case KVS_OP_PURGED:
        kvs_stamp_clock_raise(&group->node->clock, op->watermark_ms);
        put_clock(group);
        return 0;
    case KVS_OP_DROP:
        return drop(group, op);
    case KVS_OP_DUE:
        return merge_due(group, op, op->upto_ms, &next_ms);
    case KVS_OP_REKEY:
        group->node->ledger->wanted = op->key; // should the group fail
        group->change_count++;
        return 0;
    case KVS_OP_LEAVE:
        return 0;
    case KVS_OP_PERSIST:
        return persist(group, op, KVS_META_REPLICA);
    case KVS_OP_KEEP:
        return persist(group, op, op->meta_key);
    }
    return KVS_ERR_INTERNAL;
}

// SPDX-License-Identifier: Apache-2.0
// What the ledger leaves in the store between two runs (KVS_FAMILY_META, docs/formats/record.md):
//
//   "seen"                                   ->  docs/formats/replication-state.md
//   "due"                                    ->  empty: deletions are due at their timestamp
//   "deferred/"  timestamp u64be | uuid 16   ->  codec in merge.c
//   "digest"                                 ->  check of the PRF key u64be | checkpoint
//                                                (docs/formats/digest-checkpoint.md)
//
// `seen` is written with the versions it speaks of. The checkpoint is written at a clean end; what
// the log holds behind it is recomputed block by block, and since removals are not in the log, the
// first of them takes the checkpoint away.
#include "base/assert.h"
#include "node/ledger.h"
#include "repl/repl.h"

#include <stdlib.h>
#include <xxhash.h>

enum {
    ENTRY_MAX = 256,
    SEEN_SIZE_MAX = 4 << 20,
    CHECKPOINT_MAX = 1 << 30,
    REPLAYED_MAX = 1 << 20,
    MIGRATION_BATCH = 1000
};

// ---- Seen, and what is deferred

int kvs_ledger_put_seen(struct kvs_ledger *ledger, struct kvs_store_batch *batch)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(SEEN_SIZE_MAX);
    kvs_seen_encode(&ledger->seen, &value);
    if (value.err)
        return value.err;
    kvs_store_batch_put(batch, KVS_FAMILY_META, KVS_META_SEEN, kvs_buf_slice(&value));
    ledger->seen_changed = false;
    return 0;
}

static int load_seen(struct kvs_ledger *ledger)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(SEEN_SIZE_MAX);
    kvs_seen_done(&ledger->seen);
    int err =
        kvs_store_get(ledger->node->store, KVS_FAMILY_META, KVS_META_SEEN, KVS_READ_DISK, &value);
    if (err)
        return err == KVS_ERR_NOT_FOUND ? 0 : err;
    return kvs_seen_decode(kvs_buf_slice(&value), &ledger->seen);
}

bool kvs_deferred_key_decode(struct kvs_slice key, int64_t *ret_due_ms, struct kvs_uuid *ret_uuid)
{
    struct kvs_cursor cursor =
        kvs_cursor(kvs_slice(key.data + KVS_META_DEFERRED.size, key.size - KVS_META_DEFERRED.size));
    uint64_t due_ms = kvs_wire_get_u64be(&cursor);
    struct kvs_uuid uuid = kvs_wire_get_uuid(&cursor);
    if (!kvs_cursor_finished(&cursor) || due_ms > INT64_MAX)
        return false;
    *ret_due_ms = (int64_t)due_ms;
    if (ret_uuid)
        *ret_uuid = uuid;
    return true;
}

// How many deferred versions there are, and when the first one is due. One whose key cannot be read
// is due at once: merge.c reports it.
static int load_deferred(struct kvs_ledger *ledger)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter =
        kvs_store_iter_new(ledger->node->store, KVS_FAMILY_META, &options);
    uint32_t count = 0;
    int64_t first_ms = INT64_MAX;
    if (!iter)
        return KVS_ERR_NOMEM;
    for (kvs_store_iter_seek(iter, KVS_META_DEFERRED);
         kvs_store_iter_valid(iter) &&
         kvs_slice_starts_with(kvs_store_iter_key(iter), KVS_META_DEFERRED);
         kvs_store_iter_next(iter), count++) {
        int64_t due_ms = 0;
        if (!kvs_deferred_key_decode(kvs_store_iter_key(iter), &due_ms, NULL))
            due_ms = 0;
        if (due_ms < first_ms)
            first_ms = due_ms;
    }
    atomic_store(&ledger->deferred_count, count);
    atomic_store(&ledger->deferred_first_ms, first_ms);
    return kvs_store_iter_error(iter);
}

static int load(struct kvs_ledger *ledger)
{
    int err = load_seen(ledger);
    return err ? err : load_deferred(ledger);
}

// ---- Due entries of a node that was alone

struct migration {
    struct kvs_ledger *ledger;
    struct kvs_store_batch *batch;
    struct kvs_buf key;
    size_t count;
};

static int flush_migration(struct migration *m)
{
    int err =
        m->count > 0 ? kvs_store_write(m->ledger->node->store, m->batch, KVS_DURABILITY_SYNC) : 0;
    kvs_store_batch_clear(m->batch);
    m->count = 0;
    return err;
}

// Alone, a deletion is due when its retention has passed; in a cluster when the watermark has.
static int migrate_entry(struct migration *m, struct kvs_slice entry_key)
{
    struct kvs_node *node = m->ledger->node;
    int64_t due_ms = 0;
    struct kvs_slice key;
    struct kvs_current current;
    if (!kvs_time_key_decode(entry_key, &due_ms, &key) || key.size > KVS_KEY_SIZE_MAX)
        return 0; // looking at it reports the damage
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .prefix_only = true};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, kvs_node_family(key), &options);
    int err = iter ? kvs_node_current_at(node, iter, key, &current) : KVS_ERR_NOMEM;
    if (err == KVS_ERR_NOMEM || err == KVS_ERR_IO)
        return err;
    if (err || current.damaged || !kvs_version_is_tombstone(&current.version) ||
        due_ms == current.version.timestamp)
        return 0;
    kvs_buf_clear(&m->key);
    kvs_due_key_encode(&m->key, current.version.timestamp, key);
    if (m->key.err)
        return m->key.err;
    kvs_store_batch_put(m->batch, KVS_FAMILY_DUE, kvs_buf_slice(&m->key), KVS_SLICE_EMPTY);
    kvs_store_batch_delete(m->batch, KVS_FAMILY_DUE, entry_key);
    return ++m->count < MIGRATION_BATCH ? 0 : flush_migration(m);
}

static int migrate_all(struct migration *m)
{
    struct kvs_store *store = m->ledger->node->store;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(store, KVS_FAMILY_DUE, &options);
    if (!iter || !m->batch)
        return KVS_ERR_NOMEM;
    for (kvs_store_iter_seek(iter, KVS_SLICE_EMPTY); kvs_store_iter_valid(iter);
         kvs_store_iter_next(iter)) {
        int err = migrate_entry(m, kvs_store_iter_key(iter));
        if (err)
            return err;
    }
    int err = kvs_store_iter_error(iter);
    kvs_store_batch_put(m->batch, KVS_FAMILY_META, KVS_META_DUE, KVS_SLICE_EMPTY);
    m->count++;
    return err ? err : flush_migration(m);
}

static int migrate_due(struct kvs_ledger *ledger)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(ENTRY_MAX);
    int err =
        kvs_store_get(ledger->node->store, KVS_FAMILY_META, KVS_META_DUE, KVS_READ_DISK, &value);
    if (err != KVS_ERR_NOT_FOUND)
        return err;
    struct migration m = {.ledger = ledger,
                          .batch = kvs_store_batch_new(ledger->node->store),
                          .key = KVS_BUF_INIT(KVS_REPL_KEY_MAX + 64)};
    err = migrate_all(&m);
    kvs_store_batch_free(m.batch);
    kvs_buf_done(&m.key);
    return err;
}

// ---- A new life

// The life that ended is a writer like any other from now on.
static int close_life(struct kvs_ledger *ledger)
{
    const struct kvs_commit_state *state = &ledger->node->state;
    uint32_t count = kvs_dot_count(state->writer_seq);
    struct kvs_uuid self = ledger->node->identity.self.node;
    struct kvs_version newest = {
        .timestamp = state->newest, .writer.node = self, .writer_seq = state->writer_seq};
    struct kvs_seen_run run = {self, kvs_dot_life(state->writer_seq), 0, count};
    if (count == 0)
        return 0;
    int err = kvs_seen_note(&ledger->seen, &newest);
    return err ? err : kvs_seen_advance(&ledger->seen, &run);
}

static int begin_life(struct kvs_ledger *ledger)
{
    struct kvs_node *node = ledger->node;
    int err = close_life(ledger);
    if (err)
        return err;
    ledger->life = kvs_repl_next_life(kvs_dot_life(node->state.writer_seq),
                                      kvs_clock_wall_ms(node->options.clock),
                                      kvs_random_u64(node->options.random));
    node->state.writer_seq = kvs_dot_seq(ledger->life, 0);
    struct kvs_store_batch *batch = kvs_store_batch_new(node->store);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(ENTRY_MAX);
    if (!batch || !kvs_buf_reserve(&value, ENTRY_MAX))
        err = KVS_ERR_NOMEM;
    if (!err)
        err = kvs_ledger_put_seen(ledger, batch);
    if (!err) {
        kvs_node_put_state(batch, &value, &node->state);
        err = kvs_store_write(node->store, batch, KVS_DURABILITY_SYNC);
    }
    kvs_store_batch_free(batch);
    return err;
}

int kvs_ledger_new(struct kvs_node *node, struct kvs_ledger **ret_ledger)
{
    struct kvs_ledger *ledger = calloc(1, sizeof(*ledger));
    if (!ledger)
        return KVS_ERR_NOMEM;
    ledger->node = node;
    ledger->purged_ms = INT64_MIN;
    kvs_buf_init(&ledger->scrub_cursor, 2 * KVS_DIGEST_RECORD_KEY_MAX);
    (void)pthread_mutex_init(&ledger->lock, NULL); // cannot fail with default attributes
    int err = load(ledger);
    if (!err)
        err = migrate_due(ledger);
    if (!err)
        err = begin_life(ledger);
    if (err) {
        kvs_ledger_free(ledger);
        return err;
    }
    *ret_ledger = ledger;
    return 0;
}

int kvs_ledger_forget(struct kvs_node *node)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(CHECKPOINT_MAX);
    int due = kvs_store_get(node->store, KVS_FAMILY_META, KVS_META_DUE, KVS_READ_DISK, &value);
    kvs_buf_clear(&value);
    int digest =
        kvs_store_get(node->store, KVS_FAMILY_META, KVS_META_DIGEST, KVS_READ_DISK, &value);
    if (due == KVS_ERR_NOT_FOUND && digest == KVS_ERR_NOT_FOUND)
        return 0; // it has been alone all the time: nothing is written
    struct kvs_store_batch *batch = kvs_store_batch_new(node->store);
    if (!batch)
        return KVS_ERR_NOMEM;
    kvs_store_batch_delete(batch, KVS_FAMILY_META, KVS_META_DUE);
    kvs_store_batch_delete(batch, KVS_FAMILY_META, KVS_META_DIGEST);
    int err = kvs_store_write(node->store, batch, KVS_DURABILITY_SYNC);
    kvs_store_batch_free(batch);
    return err;
}

// ---- The digest's checkpoint

static const struct kvs_digest_options digest_options = {0};

static uint64_t key_check(const struct kvs_digest_key *key)
{
    return XXH3_64bits(key->bytes, sizeof(key->bytes));
}

int kvs_ledger_checkpoint(struct kvs_ledger *ledger)
{
    struct kvs_node *node = ledger->node;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(CHECKPOINT_MAX);
    kvs_wire_put_u64be(&value, key_check(&ledger->key));
    kvs_digest_checkpoint(ledger->digest, node->state.log_seq, &value);
    struct kvs_store_batch *batch = value.err ? NULL : kvs_store_batch_new(node->store);
    if (!batch)
        return value.err ? value.err : KVS_ERR_NOMEM;
    kvs_store_batch_put(batch, KVS_FAMILY_META, KVS_META_DIGEST, kvs_buf_slice(&value));
    int err = kvs_store_write(node->store, batch, node->options.durability);
    kvs_store_batch_free(batch);
    return err;
}

void kvs_ledger_spoil_checkpoint(struct kvs_ledger *ledger, struct kvs_store_batch *batch)
{
    if (ledger->checkpointed)
        kvs_store_batch_delete(batch, KVS_FAMILY_META, KVS_META_DIGEST);
}

// The keys of the log's tail, to recompute the blocks they lie in.
struct tail {
    struct kvs_arena arena;
    struct kvs_slice *keys; // tagged
    size_t count, capacity;
};

static bool tail_add(struct tail *tail, struct kvs_slice key)
{
    struct kvs_tagged tagged;
    if (tail->count == tail->capacity) {
        size_t capacity = tail->capacity ? tail->capacity * 2 : 1024;
        struct kvs_slice *keys = realloc(tail->keys, capacity * sizeof(*keys));
        if (!keys)
            return false;
        tail->keys = keys;
        tail->capacity = capacity;
    }
    kvs_tagged_set(&tagged, key);
    struct kvs_slice copy = kvs_arena_copy(&tail->arena, kvs_tagged_slice(&tagged));
    tail->keys[tail->count++] = copy;
    return copy.data != NULL;
}

// KVS_ERR_AGAIN: too much, or not there any more.
static int read_tail(struct kvs_ledger *ledger, uint64_t behind, struct tail *tail)
{
    struct kvs_node *node = ledger->node;
    uint64_t newest = node->state.log_seq;
    if (behind + 1 < atomic_load(&node->log_floor) || behind > newest ||
        newest - behind > REPLAYED_MAX)
        return KVS_ERR_AGAIN;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_LOG, &options);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(ENTRY_MAX);
    kvs_change_encode_key(&key, behind + 1);
    if (!iter || key.err)
        return KVS_ERR_NOMEM;
    for (kvs_store_iter_seek(iter, kvs_buf_slice(&key)); kvs_store_iter_valid(iter);
         kvs_store_iter_next(iter)) {
        struct kvs_change change;
        int err = kvs_change_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &change);
        if (err)
            return err;
        if (change.key.size > KVS_KEY_SIZE_MAX)
            return KVS_ERR_CORRUPT;
        if (!tail_add(tail, change.key))
            return KVS_ERR_NOMEM;
    }
    return kvs_store_iter_error(iter);
}

static int cmp_keys(const void *a, const void *b)
{
    return kvs_slice_cmp(*(const struct kvs_slice *)a, *(const struct kvs_slice *)b);
}

// Blocks touched since the checkpoint are recomputed, each once.
static int replay_tail(struct kvs_ledger *ledger, const struct tail *tail)
{
    struct kvs_digest_source records = kvs_ledger_source(ledger);
    struct kvs_buf *cursor = &ledger->scrub_cursor;
    bool mismatch = false; // is what is expected here
    kvs_buf_clear(cursor);
    for (size_t i = 0; i < tail->count; i++) {
        bool done =
            i > 0 && (cursor->size == 0 || kvs_slice_cmp(tail->keys[i], kvs_buf_slice(cursor)) < 0);
        if (done)
            continue; // its block was recomputed with an earlier key
        kvs_buf_clear(cursor);
        kvs_buf_append_slice(cursor, tail->keys[i]);
        int err = kvs_digest_scrub(ledger->digest, &records, cursor, &mismatch);
        if (err)
            return err;
    }
    return 0;
}

// KVS_ERR_AGAIN: there is none that helps.
static int restore(struct kvs_ledger *ledger)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(CHECKPOINT_MAX);
    int err =
        kvs_store_get(ledger->node->store, KVS_FAMILY_META, KVS_META_DIGEST, KVS_READ_DISK, &value);
    ledger->checkpointed = err != KVS_ERR_NOT_FOUND; // whether it helps or not
    struct kvs_cursor cursor = kvs_cursor(kvs_buf_slice(&value));
    if (err || kvs_wire_get_u64be(&cursor) != key_check(&ledger->key) || cursor.bad)
        return KVS_ERR_AGAIN;
    uint64_t behind = 0;
    err = kvs_digest_restore(&digest_options, kvs_wire_get_rest(&cursor), &behind, &ledger->digest);
    if (err)
        return KVS_ERR_AGAIN; // it can be made anew
    struct tail tail = {0};
    kvs_arena_init(&tail.arena, (size_t)REPLAYED_MAX * KVS_REPL_KEY_MAX);
    err = read_tail(ledger, behind, &tail);
    if (!err && tail.count > 0)
        qsort(tail.keys, tail.count, sizeof(tail.keys[0]), cmp_keys);
    if (!err)
        err = replay_tail(ledger, &tail);
    free(tail.keys);
    kvs_arena_done(&tail.arena);
    return err;
}

int kvs_ledger_open_digest(struct kvs_ledger *ledger, const struct kvs_digest_key *key)
{
    ledger->key = *key;
    ledger->wanted = *key;
    int64_t start_ms = kvs_clock_mono_ms(ledger->node->options.clock);
    int err = restore(ledger);
    bool rebuilt = err != 0;
    if (rebuilt) {
        kvs_digest_free(KVS_TAKE(ledger->digest));
        err = kvs_ledger_rekey(ledger, key);
    }
    struct kvs_digest_stats stats = {0};
    if (!err)
        kvs_digest_stats(ledger->digest, &stats);
    kvs_log(ledger->node->options.log, KVS_LOG_DEBUG, "digest ready",
            KVS_F_UINT("records", stats.records), KVS_F_BOOL("rebuilt", rebuilt),
            KVS_F_INT("duration_ms", kvs_clock_mono_ms(ledger->node->options.clock) - start_ms));
    return err;
}

int kvs_ledger_reload(struct kvs_ledger *ledger)
{
    // What the failed group may have left is in the log, or else gone; a group is small.
    (void)pthread_mutex_lock(&ledger->lock);
    kvs_dots_clear(&ledger->dots);
    (void)pthread_mutex_unlock(&ledger->lock);
    int err = load(ledger);
    return err ? err : kvs_ledger_rekey(ledger, &ledger->wanted);
}

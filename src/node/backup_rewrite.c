// SPDX-License-Identifier: Apache-2.0
// --as-new-writes: every value that a reader would see in a restored store becomes a new version,
// of now, written by this node, so that it wins over whatever the cluster has. The old version
// stays below it as history. Deletions and accounts stay as they were: what must win are values.
//
// A version's number must never be used twice, and the node went on counting after the backup. So
// the rewriting is a life of its own (docs/decisions/0020-lives.md): numbers above all that the
// node can have given.
#include "node/backup_internal.h"

#include "codec/index.h"
#include "codec/wire.h"
#include "repl/clock.h"
#include "repl/repl.h"
#include "repl/seen.h"

enum {
    SELF_WRITER_ID = 1,
    BATCH_SIZE_MAX = 4 << 20,
    SCRATCH_SIZE_MAX = 1 << 30,
    SEEN_SIZE_MAX = 4 << 20,
    WATCH_EVERY = 32,
};

struct rewriter {
    const struct kvs_backup_restore_options *options;
    struct kvs_store *store;
    struct kvs_store_batch *batch;
    size_t batch_size;
    struct kvs_commit_state state;
    struct kvs_stamp_clock clock;
    struct kvs_writer self;
    int64_t now_ms;
    struct kvs_buf key;
    struct kvs_buf value;
    struct kvs_buf last_key;
    uint64_t rewritten;
    uint64_t total;
};

static int get_meta(struct kvs_store *store, const char *key, struct kvs_buf *ret_value)
{
    kvs_buf_clear(ret_value);
    return kvs_store_get(store, KVS_FAMILY_META, kvs_slice_from_str(key), KVS_READ_DISK, ret_value);
}

// The life that ended with the backup is a writer like any other from now on, as at each start
// (ledger_store.c): what the node itself wrote in it belongs to what it has seen.
static int close_life(struct rewriter *rewriter, struct kvs_seen *seen)
{
    const struct kvs_commit_state *state = &rewriter->state;
    uint32_t count = kvs_dot_count(state->writer_seq);
    const struct kvs_version newest = {
        .timestamp = state->newest, .writer = rewriter->self, .writer_seq = state->writer_seq};
    const struct kvs_seen_run run = {rewriter->self.node, kvs_dot_life(state->writer_seq), 0,
                                     count};
    if (count == 0)
        return 0;
    int err = kvs_seen_note(seen, &newest);
    return err ? err : kvs_seen_advance(seen, &run);
}

static int put_seen(struct rewriter *rewriter, struct kvs_seen *seen)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(SEEN_SIZE_MAX);
    int err = close_life(rewriter, seen);
    kvs_seen_encode(seen, &bytes);
    if (err || bytes.err)
        return err ? err : bytes.err;
    kvs_store_batch_put(rewriter->batch, KVS_FAMILY_META, KVS_META_SEEN, kvs_buf_slice(&bytes));
    return 0;
}

static int begin_life(struct rewriter *rewriter)
{
    struct kvs_commit_state *state = &rewriter->state;
    struct kvs_seen seen;
    kvs_seen_init(&seen);
    int err = get_meta(rewriter->store, "seen", &rewriter->value);
    if (!err)
        err = kvs_seen_decode(kvs_buf_slice(&rewriter->value), &seen);
    else if (err == KVS_ERR_NOT_FOUND)
        err = 0;
    if (!err)
        err = put_seen(rewriter, &seen);
    kvs_seen_done(&seen);
    uint32_t life = kvs_repl_next_life(kvs_dot_life(state->writer_seq), rewriter->now_ms,
                                       kvs_random_u64(rewriter->options->random));
    state->writer_seq = kvs_dot_seq(life, 0);
    return err;
}

static int begin(struct rewriter *rewriter)
{
    struct kvs_identity identity;
    int err = get_meta(rewriter->store, "identity", &rewriter->value);
    if (!err)
        err = kvs_identity_decode(kvs_buf_slice(&rewriter->value), &identity);
    if (err)
        return err;
    rewriter->self = identity.self;
    err = get_meta(rewriter->store, "state", &rewriter->value);
    if (!err)
        err = kvs_commit_state_decode(kvs_buf_slice(&rewriter->value), &rewriter->state);
    else if (err == KVS_ERR_NOT_FOUND)
        err = 0;
    kvs_stamp_clock_init(&rewriter->clock, rewriter->state.clock_floor, 0);
    rewriter->clock.latest_ms = rewriter->state.clock;
    return err ? err : begin_life(rewriter);
}

static void put(struct rewriter *rewriter, enum kvs_family family)
{
    kvs_store_batch_put(rewriter->batch, family, kvs_buf_slice(&rewriter->key),
                        kvs_buf_slice(&rewriter->value));
    rewriter->batch_size += rewriter->key.size + rewriter->value.size;
    kvs_buf_clear(&rewriter->key);
    kvs_buf_clear(&rewriter->value);
}

// The same entries that a commit makes of a put.
static void put_version(struct rewriter *rewriter, struct kvs_slice key,
                        const struct kvs_version *version, struct kvs_slice json)
{
    kvs_record_encode_key(&rewriter->key, key, version);
    kvs_record_encode_value(&rewriter->value, kvs_buf_slice(&rewriter->key), version,
                            SELF_WRITER_ID, json);
    put(rewriter, KVS_FAMILY_DATA);
    kvs_by_time_key_encode(&rewriter->key, version->timestamp, key);
    put(rewriter, KVS_FAMILY_BY_TIME);
    const struct kvs_change change = {.seq = ++rewriter->state.log_seq,
                                      .key = key,
                                      .timestamp = version->timestamp,
                                      .uuid = version->uuid,
                                      .writer_id = SELF_WRITER_ID,
                                      .writer_seq = version->writer_seq,
                                      .flags = version->flags};
    kvs_change_encode_key(&rewriter->key, change.seq);
    kvs_change_encode_value(&rewriter->value, &change);
    put(rewriter, KVS_FAMILY_LOG);
}

static int write_batch(struct rewriter *rewriter)
{
    kvs_buf_clear(&rewriter->key);
    kvs_buf_clear(&rewriter->value);
    kvs_buf_append_str(&rewriter->key, "state");
    kvs_commit_state_encode(&rewriter->value, &rewriter->state);
    int err = rewriter->key.err ? rewriter->key.err : rewriter->value.err;
    if (err)
        return err;
    put(rewriter, KVS_FAMILY_META);
    err = kvs_store_write(rewriter->store, rewriter->batch, KVS_DURABILITY_ASYNC);
    kvs_store_batch_clear(rewriter->batch);
    rewriter->batch_size = 0;
    return err;
}

static int rewrite_record(struct rewriter *rewriter, const struct kvs_record_view *view)
{
    if (!kvs_version_is_visible(&view->version, rewriter->now_ms))
        return 0;
    if (view->version.timestamp == INT64_MAX)
        return KVS_ERR_CORRUPT;
    kvs_buf_clear(&rewriter->key);
    kvs_buf_clear(&rewriter->value);
    if (!kvs_buf_reserve(&rewriter->key, KVS_KEY_SIZE_MAX + KVS_RECORD_SUFFIX_SIZE) ||
        !kvs_buf_reserve(&rewriter->value, view->json.size + KVS_KEY_SIZE_MAX + 128))
        return KVS_ERR_NOMEM;
    struct kvs_commit_state *state = &rewriter->state;
    struct kvs_version version = {
        .timestamp =
            kvs_stamp_clock_next(&rewriter->clock, rewriter->now_ms, view->version.timestamp),
        .uuid = kvs_uuid_new(rewriter->options->random),
        .writer = rewriter->self,
        .writer_seq = ++state->writer_seq,
        .expires_at = view->version.expires_at,
    };
    state->clock = rewriter->clock.latest_ms;
    state->clock_floor = rewriter->clock.floor_ms;
    if (state->newest < version.timestamp)
        state->newest = version.timestamp;
    put_version(rewriter, view->key, &version, view->json);
    if (version.expires_at != 0) {
        kvs_due_key_encode(&rewriter->key, version.expires_at, view->key);
        kvs_buf_append_char(&rewriter->value, KVS_DUE_EXPIRY);
        put(rewriter, KVS_FAMILY_DUE);
    }
    rewriter->rewritten++;
    return rewriter->batch_size >= BATCH_SIZE_MAX ? write_batch(rewriter) : 0;
}

// What the iterator shows is as of its making: new versions do not get in its way.
static int rewrite_all(struct rewriter *rewriter, struct kvs_store_iter *iter,
                       struct kvs_message *ret_message)
{
    int err = 0;
    uint64_t seen = 0;
    for (kvs_store_iter_seek(iter, KVS_SLICE_EMPTY); !err && kvs_store_iter_valid(iter);
         kvs_store_iter_next(iter)) {
        struct kvs_record_view view;
        err = kvs_record_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), &view);
        if (err || kvs_slice_eq(view.key, kvs_buf_slice(&rewriter->last_key)))
            continue; // an error ends it; an older version is history
        kvs_buf_clear(&rewriter->last_key);
        kvs_buf_append_slice(&rewriter->last_key, view.key);
        err = rewriter->last_key.err ? rewriter->last_key.err : rewrite_record(rewriter, &view);
        if (!err && seen++ % WATCH_EVERY == 0 &&
            !kvs_backup_go_on(rewriter->options->watch, KVS_BACKUP_REWRITING, rewriter->rewritten,
                              rewriter->total))
            return kvs_backup_fail_stopped(ret_message);
    }
    if (!err)
        err = kvs_store_iter_error(iter);
    if (!err)
        err = write_batch(rewriter);
    if (!err)
        err = kvs_store_flush(rewriter->store);
    return err ? kvs_fail(ret_message, err, "write the values anew: %s", kvs_err_text(err)) : 0;
}

static int rewrite_store(struct rewriter *rewriter, struct kvs_message *ret_message)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .skip_cache_fill = true};
    rewriter->batch = kvs_store_batch_new(rewriter->store);
    int err = rewriter->batch ? begin(rewriter) : KVS_ERR_NOMEM;
    if (err) {
        kvs_store_batch_free(rewriter->batch);
        return kvs_fail(ret_message, err, "read the node's own state: %s", kvs_err_text(err));
    }
    struct kvs_store_iter *iter = kvs_store_iter_new(rewriter->store, KVS_FAMILY_DATA, &options);
    err = iter ? rewrite_all(rewriter, iter, ret_message)
               : kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    if (iter)
        kvs_store_iter_free(iter);
    kvs_store_batch_free(rewriter->batch);
    return err;
}

int kvs_backup_rewrite(const struct kvs_backup_restore_options *options, const char *path,
                       uint64_t total, uint64_t *ret_rewritten, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_store_closep) struct kvs_store *store = NULL;
    int err = kvs_backup_open_store(path, &store, ret_message);
    if (err)
        return err;
    struct rewriter rewriter = {.options = options,
                                .store = store,
                                .now_ms = kvs_clock_wall_ms(options->clock),
                                .total = total,
                                .key = KVS_BUF_INIT(SCRATCH_SIZE_MAX),
                                .value = KVS_BUF_INIT(SCRATCH_SIZE_MAX),
                                .last_key = KVS_BUF_INIT(KVS_KEY_SIZE_MAX)};
    err = rewrite_store(&rewriter, ret_message);
    kvs_buf_done(&rewriter.key);
    kvs_buf_done(&rewriter.value);
    kvs_buf_done(&rewriter.last_key);
    *ret_rewritten = rewriter.rewritten;
    return err;
}

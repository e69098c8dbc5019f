// SPDX-License-Identifier: Apache-2.0
// The digest side of the ledger: its records are the store's current versions; a reader that meets
// a commit half told (the store shows it, the digest does not yet) looks again.
#include "node/ledger.h"

#include "base/assert.h"

#include <sched.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    LOOKS = 64,          // at a range, while commits run
    MAINTAIN_BLOCKS = 4, // a call
};

// ---- Items

static struct kvs_digest_sum item_of(const struct kvs_digest_key *prf, struct kvs_slice key,
                                     const struct kvs_version *version, struct kvs_slice json)
{
    struct kvs_tagged tagged;
    kvs_tagged_set(&tagged, key);
    uint64_t checksum = version->expires_at == 0 ? XXH3_64bits(json.data, json.size) : 0;
    return kvs_digest_item(prf, kvs_tagged_slice(&tagged), version, checksum);
}

struct kvs_digest_sum kvs_ledger_item_of(const struct kvs_ledger *ledger,
                                         const struct kvs_record *record)
{
    struct kvs_version version = record->version;
    bool known = kvs_writers_get(ledger->node->writers, record->writer_id, &version.writer);
    kvs_assert(known); // or it would not have been decoded
    return item_of(&ledger->key, kvs_record_key(record), &version, kvs_record_json(record));
}

// ---- The records behind the digest

struct records {
    struct kvs_node *node;
    const struct kvs_digest_key *prf;
};

struct scan {
    const struct kvs_digest_key *prf;
    kvs_digest_visit_fn *visit;
    void *visit_ctx;
};

static bool visit_record(void *ctx, const struct kvs_current *current)
{
    const struct scan *scan = ctx;
    struct kvs_digest_sum item = item_of(scan->prf, current->key, &current->version, current->json);
    return scan->visit(scan->visit_ctx, current->tagged, item);
}

static int scan_records(void *ctx, struct kvs_slice first, struct kvs_slice end,
                        kvs_digest_visit_fn *visit, void *visit_ctx)
{
    const struct records *records = ctx;
    struct scan scan = {records->prf, visit, visit_ctx};
    return kvs_node_each_current(records->node, first, end, visit_record, &scan);
}

static int scan_as_kept(void *ctx, struct kvs_slice first, struct kvs_slice end,
                        kvs_digest_visit_fn *visit, void *visit_ctx)
{
    const struct kvs_ledger *ledger = ctx;
    struct records records = {ledger->node, &ledger->key};
    return scan_records(&records, first, end, visit, visit_ctx);
}

struct kvs_digest_source kvs_ledger_source(struct kvs_ledger *ledger)
{
    return (struct kvs_digest_source){ledger, scan_as_kept};
}

static void lock(struct kvs_ledger *ledger)
{
    (void)pthread_mutex_lock(&ledger->lock); // a plain mutex that we never lock twice
}

static void unlock(struct kvs_ledger *ledger)
{
    (void)pthread_mutex_unlock(&ledger->lock);
}

// ---- Keeping it true

void kvs_ledger_note(struct kvs_ledger *ledger, struct kvs_effect *effect)
{
    struct kvs_tagged tagged;
    lock(ledger);
    if (effect->log_seq != 0)
        kvs_dots_note(&ledger->dots, effect->writer_id, effect->writer_seq, effect->log_seq);
    if (!effect->uncertain && (effect->had_item || effect->has_item)) {
        kvs_tagged_set(&tagged, effect->key);
        int err = kvs_digest_update(ledger->digest, kvs_tagged_slice(&tagged),
                                    effect->had_item ? &effect->old_item : NULL,
                                    effect->has_item ? &effect->new_item : NULL);
        if (err) {
            kvs_metrics_add(ledger->node->options.metrics, KVS_METRIC_DIGEST_MISMATCHES, 1);
            effect->uncertain = true;
        }
    }
    unlock(ledger);
}

void kvs_ledger_settle(struct kvs_ledger *ledger, const struct kvs_effect *effect)
{
    if (!effect->uncertain)
        return;
    struct kvs_tagged tagged;
    struct kvs_digest_source records = kvs_ledger_source(ledger);
    bool mismatch = false;
    kvs_tagged_set(&tagged, effect->key);
    lock(ledger);
    kvs_buf_clear(&ledger->scrub_cursor);
    kvs_buf_append_slice(&ledger->scrub_cursor, kvs_tagged_slice(&tagged));
    int err = kvs_digest_scrub(ledger->digest, &records, &ledger->scrub_cursor, &mismatch);
    unlock(ledger);
    if (err)
        kvs_log(ledger->node->options.log, KVS_LOG_ERROR, "digest not repaired",
                KVS_F_STR("error", kvs_err_text(err)));
}

void kvs_ledger_trim(struct kvs_ledger *ledger, uint64_t log_floor)
{
    lock(ledger);
    kvs_dots_trim(&ledger->dots, log_floor);
    unlock(ledger);
}

bool kvs_ledger_find_dot(struct kvs_ledger *ledger, uint32_t writer_id, uint64_t writer_seq,
                         uint64_t *ret_log_seq)
{
    lock(ledger);
    bool found = kvs_dots_find(&ledger->dots, writer_id, writer_seq, ret_log_seq);
    unlock(ledger);
    return found;
}

void kvs_ledger_maintain(struct kvs_ledger *ledger)
{
    struct kvs_digest_source records = kvs_ledger_source(ledger);
    bool more = false;
    lock(ledger);
    int err = kvs_digest_maintain(ledger->digest, &records, MAINTAIN_BLOCKS, &more);
    unlock(ledger);
    if (err)
        kvs_log(ledger->node->options.log, KVS_LOG_WARN, "digest block not cut",
                KVS_F_STR("error", kvs_err_text(err)));
}

struct kvs_fingerprint kvs_ledger_root(struct kvs_ledger *ledger)
{
    lock(ledger);
    struct kvs_fingerprint root = kvs_digest_root(ledger->digest);
    unlock(ledger);
    return root;
}

struct kvs_digest_key kvs_ledger_key(struct kvs_ledger *ledger)
{
    lock(ledger);
    struct kvs_digest_key key = ledger->key;
    unlock(ledger);
    return key;
}

// ---- Reading it

int kvs_ledger_range(struct kvs_ledger *ledger, struct kvs_slice first, struct kvs_slice end,
                     struct kvs_fingerprint *ret_fingerprint)
{
    struct kvs_digest_source records = kvs_ledger_source(ledger);
    int err = KVS_ERR_CORRUPT;
    for (int look = 0; err == KVS_ERR_CORRUPT && look < LOOKS; look++) {
        lock(ledger);
        err = kvs_digest_range(ledger->digest, &records, first, end, ret_fingerprint);
        unlock(ledger);
        if (err == KVS_ERR_CORRUPT)
            (void)sched_yield();
    }
    return err;
}

// The parts of one look, kept until it is known to have been a good one.
struct parts {
    struct kvs_arena arena;
    struct part {
        struct kvs_slice first;
        struct kvs_fingerprint fingerprint;
    } * list;
    size_t count, max;
};

static bool keep_part(void *ctx, struct kvs_slice first, struct kvs_fingerprint fingerprint)
{
    struct parts *parts = ctx;
    struct kvs_slice copy = kvs_arena_copy(&parts->arena, first);
    if (parts->count == parts->max || !copy.data)
        return false;
    parts->list[parts->count++] = (struct part){copy, fingerprint};
    return true;
}

static int look_at_parts(struct kvs_ledger *ledger, struct kvs_slice first, struct kvs_slice end,
                         uint32_t count, struct parts *parts)
{
    struct kvs_digest_source records = kvs_ledger_source(ledger);
    int err = KVS_ERR_CORRUPT;
    for (int look = 0; err == KVS_ERR_CORRUPT && look < LOOKS; look++) {
        parts->count = 0;
        lock(ledger);
        err = kvs_digest_split(ledger->digest, &records, first, end, count, keep_part, parts);
        unlock(ledger);
        if (err == KVS_ERR_CORRUPT)
            (void)sched_yield();
    }
    return err;
}

int kvs_ledger_split(struct kvs_ledger *ledger, struct kvs_slice first, struct kvs_slice end,
                     uint32_t count, kvs_digest_part_fn *visit, void *visit_ctx)
{
    struct parts parts = {.max = 2 * (size_t)count + 2};
    kvs_arena_init(&parts.arena, 16 << 20);
    parts.list = kvs_arena_alloc(&parts.arena, parts.max * sizeof(parts.list[0]));
    int err = parts.list ? look_at_parts(ledger, first, end, count, &parts) : KVS_ERR_NOMEM;
    for (size_t i = 0; !err && i < parts.count; i++)
        if (!visit(visit_ctx, parts.list[i].first, parts.list[i].fingerprint))
            break;
    kvs_arena_done(&parts.arena);
    return err;
}

// ---- Life

// Beside the old digest, which readers go on with: to read all records takes its time.
int kvs_ledger_rekey(struct kvs_ledger *ledger, const struct kvs_digest_key *key)
{
    static const struct kvs_digest_options options = {0};
    struct records records = {ledger->node, key};
    const struct kvs_digest_source source = {&records, scan_records};
    KVS_CLEANUP(kvs_digest_freep) struct kvs_digest *digest = NULL;
    ledger->wanted = *key;
    int err = kvs_digest_new(&options, &digest);
    if (!err)
        err = kvs_digest_rebuild(digest, &source);
    if (err)
        return err;
    lock(ledger);
    struct kvs_digest *old = ledger->digest;
    ledger->digest = digest;
    ledger->key = *key;
    unlock(ledger);
    digest = old;
    return 0;
}

void kvs_ledger_free(struct kvs_ledger *ledger)
{
    if (!ledger)
        return;
    kvs_digest_free(ledger->digest);
    kvs_dots_done(&ledger->dots);
    kvs_seen_done(&ledger->seen);
    kvs_buf_done(&ledger->scrub_cursor);
    (void)pthread_mutex_destroy(&ledger->lock); // nobody holds it
    free(ledger);
}

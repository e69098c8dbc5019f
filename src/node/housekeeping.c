// SPDX-License-Identifier: Apache-2.0
// What a node does when nobody asks: reclaims expired records and old tombstones, trims the change
// log, compacts the time index when most of it is stale, and looks after a failed store. One thread
// that mostly sleeps; it changes nothing itself but asks the commit thread (INV-5). Nothing due,
// nothing written: an idle node stays idle.
#include "base/assert.h"
#include "node/audit_internal.h"
#include "node/replica_op.h"

#include <pthread.h>
#include <time.h>

enum {
    PERIOD_S = 10,
    FAILED_PERIOD_S = 1,
    LOG_SLACK = 100000,         // trim in steps of this many changes
    TIME_INDEX_SLACK = 1000000, // stale entries that are not worth a compaction
    PURGES_MAX = 100000,        // a round, so that a flood of expiries cannot starve the rest
    DUE_KEY_SIZE_MAX = 8 + KVS_KEY_SIZE_MAX,
};

struct kvs_housekeeper {
    struct kvs_node *node;
    pthread_t thread;
    pthread_mutex_t lock; // guards `woken`; `stopping` is set under it
    pthread_cond_t wake;
    _Atomic bool stopping;
    bool woken;
    struct kvs_replica_op *purges; // wanted, in order; guarded by `lock`
    // In a cluster: up to where expired payloads have been dropped since the start.
    char stubbed_bytes[DUE_KEY_SIZE_MAX + 1];
    size_t stubbed_size;
};

// ---- Waiting for the commit thread

// An executor that only counts: the waiting thread runs nothing.
struct waiter {
    struct kvs_executor executor;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t outstanding;
};

static void waiter_post(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    struct waiter *waiter = KVS_CONTAINER_OF(executor, struct waiter, executor);
    (void)pthread_mutex_lock(&waiter->lock);
    waiter->outstanding--;
    (void)pthread_cond_signal(&waiter->wake);
    (void)pthread_mutex_unlock(&waiter->lock);
}

static void wait_until_none(struct waiter *waiter)
{
    (void)pthread_mutex_lock(&waiter->lock);
    while (waiter->outstanding > 0)
        (void)pthread_cond_wait(&waiter->wake, &waiter->lock);
    (void)pthread_mutex_unlock(&waiter->lock);
}

static void wait_for(struct kvs_node *node, struct kvs_write *writes, size_t count)
{
    struct waiter waiter = {
        {.post = waiter_post}, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, count};
    for (size_t i = 0; i < count; i++) {
        writes[i].executor = &waiter.executor;
        writes[i].effect.pending = NULL;
        writes[i].with_next = false;
        kvs_committer_submit(node->committer, &writes[i], &writes[i], 1);
    }
    wait_until_none(&waiter);
}

void kvs_node_write_group_wait(struct kvs_node *node, struct kvs_write *writes, size_t count)
{
    struct waiter waiter = {
        {.post = waiter_post}, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, count};
    for (size_t i = 0; i < count; i++)
        writes[i].executor = &waiter.executor;
    kvs_node_write_group(node, writes, count);
    wait_until_none(&waiter);
}

int kvs_node_write_wait(struct kvs_node *node, struct kvs_write *write)
{
    write->err = kvs_node_refusal(node, write);
    if (!write->err)
        wait_for(node, write, 1);
    return write->err;
}

// ---- The rounds' parts

struct purge {
    int64_t until_ms;    // entries due by then are looked at
    bool expiries_alone; // not deletions
    int64_t watermark_ms;
    size_t count_max;
};

struct due_batch {
    char next_bytes[DUE_KEY_SIZE_MAX + 1];
    struct kvs_slice next; // where the batch after this one begins
    size_t count;
    struct kvs_write writes[KVS_NODE_PURGE_BATCH];
    char keys[KVS_NODE_PURGE_BATCH][KVS_KEY_SIZE_MAX];
};

static void set_next(struct due_batch *batch, struct kvs_slice entry_key)
{
    memcpy(batch->next_bytes, entry_key.data, entry_key.size);
    batch->next_bytes[entry_key.size] = '\0'; // the first key behind it
    batch->next = kvs_slice(batch->next_bytes, entry_key.size + 1);
}

// The due entries from batch->next on, oldest first. A round goes over each entry once: one that
// cannot be dealt with stays and holds up no other.
static int collect_due(struct kvs_node *node, const struct purge *purge, struct due_batch *batch)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_DUE, &options);
    if (!iter)
        return KVS_ERR_NOMEM;
    batch->count = 0;
    for (kvs_store_iter_seek(iter, batch->next);
         batch->count < KVS_NODE_PURGE_BATCH && kvs_store_iter_valid(iter);
         kvs_store_iter_next(iter)) {
        int64_t due_ms = 0;
        struct kvs_slice key;
        if (!kvs_time_key_decode(kvs_store_iter_key(iter), &due_ms, &key) ||
            key.size > KVS_KEY_SIZE_MAX) {
            kvs_node_report_corrupt(node, kvs_store_iter_key(iter));
            continue;
        }
        if (due_ms > purge->until_ms)
            break;
        set_next(batch, kvs_store_iter_key(iter));
        struct kvs_slice kind = kvs_store_iter_value(iter);
        if (purge->expiries_alone && (kind.size != 1 || kind.data[0] != KVS_DUE_EXPIRY))
            continue;
        size_t i = batch->count++;
        memcpy(batch->keys[i], key.data, key.size);
        batch->writes[i] = (struct kvs_write){
            .op = KVS_WRITE_PURGE,
            .key = kvs_slice(batch->keys[i], key.size),
            .due_ms = due_ms,
            .watermark_ms = purge->watermark_ms,
        };
    }
    return kvs_store_iter_error(iter);
}

// Not when the node closes, nor when the store takes no writes.
static bool may_go_on(struct kvs_node *node)
{
    return atomic_load(&node->writable) && !atomic_load(&node->housekeeper->stopping);
}

static int purge_from(struct kvs_node *node, const struct purge *purge, struct due_batch *batch)
{
    size_t seen = 0;
    int first_err = 0;
    do {
        int err = collect_due(node, purge, batch);
        if (err)
            return err;
        wait_for(node, batch->writes, batch->count);
        for (size_t i = 0; i < batch->count; i++)
            first_err = first_err ? first_err : batch->writes[i].err;
        seen += batch->count;
    } while (batch->count == KVS_NODE_PURGE_BATCH && seen < purge->count_max && may_go_on(node));
    if (!first_err && !may_go_on(node))
        first_err = KVS_ERR_SHUTDOWN;
    return first_err;
}

// Alone: what is due goes, for good. In a cluster only its payload does: the rest waits for the
// watermark, and need not be looked at again before.
static int purge_due(struct kvs_node *node)
{
    KVS_CLEANUP(kvs_freep) struct due_batch *batch = malloc(sizeof(*batch));
    struct kvs_housekeeper *housekeeper = node->housekeeper;
    int64_t now_ms = kvs_clock_wall_ms(node->options.clock);
    const struct purge purge = {now_ms, node->ledger != NULL, INT64_MIN, PURGES_MAX};
    if (!batch)
        return KVS_ERR_NOMEM;
    batch->next = KVS_SLICE_EMPTY;
    if (!node->ledger)
        return purge_from(node, &purge, batch);
    if (housekeeper->stubbed_size > 0)
        set_next(batch, kvs_slice(housekeeper->stubbed_bytes, housekeeper->stubbed_size - 1));
    int err = purge_from(node, &purge, batch);
    if (!err && batch->next.size > 0) {
        memcpy(housekeeper->stubbed_bytes, batch->next.data, batch->next.size);
        housekeeper->stubbed_size = batch->next.size;
    }
    return err;
}

static int purge_below(struct kvs_node *node, int64_t watermark_ms)
{
    KVS_CLEANUP(kvs_freep) struct due_batch *batch = malloc(sizeof(*batch));
    const struct purge purge = {watermark_ms, false, watermark_ms, SIZE_MAX};
    if (!batch)
        return KVS_ERR_NOMEM;
    batch->next = KVS_SLICE_EMPTY;
    return purge_from(node, &purge, batch);
}

// Whoever runs a round takes it for the time: two may do so at once.
static struct kvs_replica_op *take_purge(struct kvs_housekeeper *housekeeper)
{
    (void)pthread_mutex_lock(&housekeeper->lock);
    struct kvs_replica_op *op = housekeeper->purges;
    if (op)
        housekeeper->purges = KVS_TAKE(op->next);
    (void)pthread_mutex_unlock(&housekeeper->lock);
    return op;
}

static void run_purges(struct kvs_node *node)
{
    struct kvs_housekeeper *housekeeper = node->housekeeper;
    struct kvs_replica_op *op = NULL;
    while ((op = take_purge(housekeeper))) {
        if (purge_below(node, op->watermark_ms) == 0) {
            kvs_committer_submit(node->committer, &op->write, &op->write, 1);
            continue;
        }
        (void)pthread_mutex_lock(&housekeeper->lock);
        op->next = housekeeper->purges;
        housekeeper->purges = op; // again in a while
        (void)pthread_mutex_unlock(&housekeeper->lock);
        return;
    }
}

static int trim_log(struct kvs_node *node)
{
    uint64_t newest = atomic_load(&node->log_seq);
    uint64_t floor = atomic_load(&node->log_floor);
    if (newest < floor + KVS_NODE_LOG_ENTRIES_KEPT + LOG_SLACK)
        return 0;
    struct kvs_write write = {.op = KVS_WRITE_TRIM_LOG,
                              .log_floor = newest - KVS_NODE_LOG_ENTRIES_KEPT};
    return kvs_node_write_wait(node, &write);
}

static int compact_time_index(struct kvs_node *node)
{
    struct kvs_store_stats stats;
    int err = kvs_store_stats(node->store, &stats);
    if (err || stats.keys_estimate[KVS_FAMILY_BY_TIME] <
                   2 * stats.keys_estimate[KVS_FAMILY_DATA] + TIME_INDEX_SLACK)
        return err;
    return kvs_store_compact(node->store, KVS_FAMILY_BY_TIME);
}

int kvs_node_housekeep(struct kvs_node *node)
{
    if (!atomic_load(&node->writable)) {
        struct kvs_write write = {.op = KVS_WRITE_RESUME};
        return kvs_node_write_wait(node, &write);
    }
    // Each part does what it can: a damaged record must not let the log grow for ever.
    int first_err = purge_due(node);
    if (may_go_on(node))
        run_purges(node);
    int err = may_go_on(node) ? trim_log(node) : 0;
    first_err = first_err ? first_err : err;
    err = may_go_on(node) ? kvs_node_audit_seal_if_due(node) : 0;
    first_err = first_err ? first_err : err;
    err = may_go_on(node) ? compact_time_index(node) : 0;
    return first_err ? first_err : err;
}

// ---- The thread

static bool sleep_until_next_round(struct kvs_housekeeper *housekeeper)
{
    bool writable = atomic_load(&housekeeper->node->writable);
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); // cannot fail for this clock
    until.tv_sec += writable ? PERIOD_S : FAILED_PERIOD_S;
    (void)pthread_mutex_lock(&housekeeper->lock);
    int waited = 0;
    while (!housekeeper->stopping && !housekeeper->woken && waited == 0)
        waited = pthread_cond_timedwait(&housekeeper->wake, &housekeeper->lock, &until);
    housekeeper->woken = false;
    bool stopping = housekeeper->stopping;
    (void)pthread_mutex_unlock(&housekeeper->lock);
    return !stopping;
}

static void *run(void *opaque)
{
    struct kvs_housekeeper *housekeeper = opaque;
    struct kvs_node *node = housekeeper->node;
    (void)pthread_setname_np(pthread_self(), "kvs-housekeep"); // for people with a debugger only
    int last_err = 0;
    while (sleep_until_next_round(housekeeper)) {
        int err = kvs_node_housekeep(node);
        if (err && err != last_err) // once, not every second while a disk stays full
            kvs_log(node->options.log, KVS_LOG_WARN, "housekeeping failed",
                    KVS_F_STR("error", kvs_err_text(err)));
        last_err = err;
    }
    return NULL;
}

int kvs_housekeeper_start(struct kvs_node *node, struct kvs_housekeeper **ret_housekeeper)
{
    struct kvs_housekeeper *housekeeper = calloc(1, sizeof(*housekeeper));
    if (!housekeeper)
        return KVS_ERR_NOMEM;
    housekeeper->node = node;
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic); // none of these fails with these arguments
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&housekeeper->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&housekeeper->lock, NULL);
    *ret_housekeeper = housekeeper; // the thread looks for itself there
    if (pthread_create(&housekeeper->thread, NULL, run, housekeeper) != 0) {
        *ret_housekeeper = NULL;
        (void)pthread_cond_destroy(&housekeeper->wake);
        (void)pthread_mutex_destroy(&housekeeper->lock);
        free(housekeeper);
        return KVS_ERR_NOMEM;
    }
    return 0;
}

void kvs_housekeeper_purge(struct kvs_housekeeper *housekeeper, struct kvs_replica_op *op)
{
    (void)pthread_mutex_lock(&housekeeper->lock);
    struct kvs_replica_op **last = &housekeeper->purges;
    while (*last)
        last = &(*last)->next;
    *last = op;
    housekeeper->woken = true;
    (void)pthread_mutex_unlock(&housekeeper->lock);
    (void)pthread_cond_signal(&housekeeper->wake);
}

void kvs_housekeeper_wake(struct kvs_housekeeper *housekeeper)
{
    (void)pthread_mutex_lock(&housekeeper->lock);
    housekeeper->woken = true;
    (void)pthread_mutex_unlock(&housekeeper->lock);
    (void)pthread_cond_signal(&housekeeper->wake);
}

void kvs_housekeeper_stop(struct kvs_housekeeper *housekeeper)
{
    if (!housekeeper)
        return;
    (void)pthread_mutex_lock(&housekeeper->lock);
    atomic_store(&housekeeper->stopping, true);
    (void)pthread_mutex_unlock(&housekeeper->lock);
    (void)pthread_cond_signal(&housekeeper->wake);
    kvs_assert(pthread_join(housekeeper->thread, NULL) == 0);
}

void kvs_housekeeper_free(struct kvs_housekeeper *housekeeper)
{
    if (!housekeeper)
        return;
    while (housekeeper->purges) {
        struct kvs_replica_op *next = housekeeper->purges->next;
        kvs_replica_op_free(housekeeper->purges);
        housekeeper->purges = next;
    }
    (void)pthread_cond_destroy(&housekeeper->wake);
    (void)pthread_mutex_destroy(&housekeeper->lock);
    free(housekeeper);
}

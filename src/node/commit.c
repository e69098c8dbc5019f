// SPDX-License-Identifier: Apache-2.0
// The commit thread. Writers queue; it takes all that is waiting, prepares it into one batch,
// commits that with one sync, and only then publishes and answers. A group is as large as what
// arrived while the one before it was being synced: no timer, no fixed size.
//
//   queued --take--> prepared --sync ok--> cached, answered
//                        '-----sync failed--> all answered with the error; the store counts as
//                        failed
//
// Failed: every write is refused with the error until housekeeping's RESUME finds the store
// writable again. What a failed sync left behind is unknown, so the state is then read anew and the
// cache emptied.
#include "base/assert.h"
#include "node/audit_internal.h"
#include "node/backup.h"
#include "node/group.h"
#include "node/ledger.h"
#include "node/replica.h"
#include "node/replica_op.h"

#include <pthread.h>

enum {
    GROUP_COUNT_MAX = 4096,
    GROUP_BYTES_MAX = 16 << 20, // of the batch; the write that reaches it is the group's last
    QUEUED_MANY = 256,          // is enough of a group to begin with it at once
};

struct kvs_committer {
    struct kvs_node *node;
    pthread_t thread;
    pthread_mutex_t lock; // guards the queue and `stopping`
    pthread_cond_t wake;
    struct kvs_write *first;
    struct kvs_write **last;
    size_t queued;
    bool asleep; // waits, and nobody has woken it yet
    bool stopping;
    // The commit thread's own.
    struct kvs_group group;
    int failed; // 0, or why the store takes no writes
    // For the replication core: what was committed, and whether it has not been told yet.
    struct kvs_repl_commit committed;
    bool untold;
    uint32_t own_count; // of this life
    bool left;          // the cluster: what is committed now would reach nobody
};

static void release(struct kvs_write *write)
{
    kvs_record_unref(KVS_TAKE(write->effect.pending));
    struct kvs_replica_op *op = write->op == KVS_WRITE_REPLICA ? write->replica_op : NULL;
    for (size_t i = 0; op && i < op->effect_count; i++)
        kvs_record_unref(KVS_TAKE(op->effects[i].pending));
}

// Those that go to one executor in a row go there in one piece: a loop is woken once for a batch of
// a thousand. A write that has been posted may be gone.
static void answer_all(struct kvs_write *first)
{
    while (first) {
        struct kvs_executor *executor = first->executor;
        struct kvs_task *first_task = &first->done;
        struct kvs_task *last_task = first_task;
        release(first);
        for (first = first->next; executor->post_list && first && first->executor == executor;
             first = first->next) {
            release(first);
            first->done.next = last_task;
            last_task = &first->done;
        }
        if (executor->post_list)
            executor->post_list(executor, last_task, first_task);
        else
            kvs_executor_post(executor, first_task);
    }
}

// ---- The queue

static void wake(void *opaque)
{
    struct kvs_committer *committer = opaque;
    (void)pthread_mutex_lock(&committer->lock); // a plain mutex that we never lock twice
    bool asleep = committer->asleep && committer->first;
    if (asleep)
        committer->asleep = false;
    (void)pthread_mutex_unlock(&committer->lock);
    if (asleep)
        (void)pthread_cond_signal(&committer->wake);
}

// A thread that sleeps and is woken by a loop's first request would commit that one alone, and on
// one core at once: so a loop wakes it when it has read all the requests that are there, or many.
void kvs_committer_submit(struct kvs_committer *committer, struct kvs_write *first,
                          struct kvs_write *last, size_t count)
{
    // Once queued, writes may be gone, and their executor with them unless it is a loop.
    struct kvs_executor *loop = first->executor->call_idle ? first->executor : NULL;
    last->next = NULL;
    (void)pthread_mutex_lock(&committer->lock);
    bool accepted = !committer->stopping;
    if (accepted) {
        *committer->last = first;
        committer->last = &last->next;
        committer->queued += count;
    }
    bool asleep = committer->asleep;
    bool many = committer->queued >= QUEUED_MANY;
    (void)pthread_mutex_unlock(&committer->lock);
    if (!accepted) {
        for (struct kvs_write *write = first; write; write = write->next)
            write->err = KVS_ERR_SHUTDOWN;
        answer_all(first);
    } else if (asleep && (many || !loop || !loop->call_idle(loop, wake, committer))) {
        wake(committer);
    }
}

// Waits for work and takes at most a group's worth of it; NULL when stopping and nothing is left.
static struct kvs_write *take(struct kvs_committer *committer)
{
    (void)pthread_mutex_lock(&committer->lock);
    while (!committer->first && !committer->stopping) {
        committer->asleep = true;
        (void)pthread_cond_wait(&committer->wake, &committer->lock);
    }
    committer->asleep = false;
    struct kvs_write *first = committer->first;
    struct kvs_write **link = &committer->first;
    size_t count = 0;
    bool together = false; // with the one before
    for (; *link && (count < GROUP_COUNT_MAX || together); count++) {
        together = (*link)->with_next;
        link = &(*link)->next;
    }
    struct kvs_write *rest = *link;
    *link = NULL; // when the link is the queue's head itself, there was nothing to take
    committer->first = rest;
    if (!rest)
        committer->last = &committer->first;
    committer->queued -= count;
    size_t waiting = committer->queued;
    (void)pthread_mutex_unlock(&committer->lock);
    kvs_metrics_set(committer->node->options.metrics, KVS_METRIC_WRITE_QUEUE_LENGTH,
                    (double)waiting);
    return first;
}

// ---- A failed store

static void fail_store(struct kvs_committer *committer, int err)
{
    struct kvs_node *node = committer->node;
    committer->failed = err;
    atomic_store(&node->writable, false);
    kvs_metrics_add(node->options.metrics, KVS_METRIC_COMMIT_FAILURES, 1);
    kvs_log(node->options.log, KVS_LOG_ERROR, "writes refused: the store cannot make them durable",
            KVS_F_STR("error", kvs_err_text(err)), KVS_F_STR("data_dir", node->data_dir));
    kvs_housekeeper_wake(node->housekeeper);
}

static int resume_store(struct kvs_committer *committer)
{
    struct kvs_node *node = committer->node;
    if (!committer->failed)
        return 0;
    // Reopened without syncs, the store may have lost what the cache still holds: until that is
    // emptied, compaction filters ask the store alone.
    atomic_store(&node->filter.cache, NULL);
    int err = kvs_store_resume(node->store);
    struct kvs_commit_state state;
    if (!err)
        err = kvs_node_load_state(node, &state);
    if (!err)
        err = kvs_node_audit_reload(node->audit);
    if (err)
        return err;
    node->state = state; // the clock in memory has only risen, whatever was lost
    atomic_store(&node->log_seq, state.log_seq);
    kvs_cache_clear(node->cache);
    atomic_store(&node->filter.cache, node->cache);
    err = kvs_node_load_writers(node);
    if (!err && node->ledger)
        err = kvs_ledger_reload(node->ledger);
    if (err)
        return err;
    committer->untold = node->ledger != NULL;
    committer->own_count = kvs_dot_count(state.writer_seq);
    if (node->options.observer) {
        node->options.observer->restart(node->options.observer->ctx);
        err = kvs_node_observe_all(node);
        if (err)
            return err;
        node->options.observer->restarted(node->options.observer->ctx);
    }
    committer->failed = 0;
    atomic_store(&node->writable, true);
    kvs_log(node->options.log, KVS_LOG_INFO, "writes accepted again",
            KVS_F_STR("data_dir", node->data_dir));
    return 0;
}

// ---- One group

static void begin_group(struct kvs_committer *committer)
{
    struct kvs_group *group = &committer->group;
    group->state = committer->node->state;
    group->now_ms = kvs_clock_wall_ms(committer->node->options.clock);
    group->change_count = 0;
    group->bytes = 0;
    group->deferred_first_ms = INT64_MAX;
    memset(group->overlay, 0, sizeof(group->overlay));
    kvs_store_batch_clear(group->batch);
    kvs_node_audit_begin(committer->node->audit, group);
}

// Looking up what a write replaces is three cache misses in a row (processor's caches), and after
// the sync they are cold again: those of many writes are waited for together.
static void prefetch(const struct kvs_committer *committer, const struct kvs_write *write)
{
    struct kvs_slice keys[KVS_CACHE_PREFETCH_MAX];
    size_t count = 0;
    for (size_t i = 0; write && i < KVS_CACHE_PREFETCH_MAX; i++, write = write->next)
        if (write->op < KVS_WRITE_PURGE && (!write->effect.pending || !write->created))
            keys[count++] = write->key;
    kvs_cache_prefetch(committer->node->cache, keys, count);
}

static void prepare(struct kvs_committer *committer, struct kvs_write *write)
{
    if (write->op == KVS_WRITE_RESUME) {
        // Nothing has been prepared while the store was failing, so the group may begin anew with
        // the state that was read.
        bool failed = committer->failed != 0;
        write->err = resume_store(committer);
        if (failed && !write->err)
            begin_group(committer);
    } else if (committer->failed) {
        write->err = committer->failed;
    } else if (committer->left && write->op < KVS_WRITE_PURGE) {
        write->err = KVS_ERR_SHUTDOWN; // it came in while the leave did
    } else {
        committer->left |=
            write->op == KVS_WRITE_REPLICA && write->replica_op->type == KVS_OP_LEAVE;
        if (write->op != KVS_WRITE_AUDIT && write->op != KVS_WRITE_AUDIT_SEAL)
            kvs_group_prepare(&committer->group, write);
        kvs_node_audit_prepare(committer->node->audit, write);
    }
}

// Parts of the digest are then read from what is committed, so nothing may follow it: with a new
// key, and where it is not known what was replaced. What waits until it is due is read likewise.
static bool ends_group(const struct kvs_write *write)
{
    const struct kvs_replica_op *op = write->op == KVS_WRITE_REPLICA ? write->replica_op : NULL;
    bool ends = op ? op->type == KVS_OP_REKEY || op->took_deferred
                   : write->op < KVS_WRITE_PURGE && !write->err && write->effect.uncertain;
    for (size_t i = 0; op && i < op->effect_count && !ends; i++)
        ends = op->effects[i].uncertain;
    return ends;
}

// Prepares one write after another until the batch is full, and cuts the list there. Returns what
// is left for the next group.
static struct kvs_write *prepare_group(struct kvs_committer *committer, struct kvs_write *first)
{
    begin_group(committer);
    struct kvs_write *last = first;
    prefetch(committer, first);
    prepare(committer, last);
    bool ends = ends_group(last);
    for (size_t count = 1;
         last->next && ((!ends && committer->group.bytes < GROUP_BYTES_MAX) || last->with_next);
         count++) {
        last = last->next;
        if (count % KVS_CACHE_PREFETCH_MAX == 0)
            prefetch(committer, last);
        prepare(committer, last);
        ends = ends || ends_group(last);
    }
    kvs_store_iter_free(KVS_TAKE(committer->group.data_iter));
    kvs_store_iter_free(KVS_TAKE(committer->group.system_iter));
    return KVS_TAKE(last->next);
}

static int commit(struct kvs_committer *committer)
{
    struct kvs_group *group = &committer->group;
    struct kvs_node *node = committer->node;
    if (group->change_count == 0)
        return 0;
    int err = 0;
    if (node->ledger && node->ledger->seen_changed)
        err = kvs_ledger_put_seen(node->ledger, group->batch);
    kvs_node_put_state(group->batch, &group->key, &group->state);
    if (!err)
        err = kvs_node_audit_finish(node->audit);
    int64_t start_ns = kvs_clock_mono_ns(node->options.clock);
    if (!err)
        err = kvs_store_write(node->store, group->batch,
                              kvs_node_audit_needs_sync(node->audit) ? KVS_DURABILITY_SYNC
                                                                     : node->options.durability);
    if (err) {
        fail_store(committer, err);
        return err;
    }
    kvs_node_audit_committed(node->audit);
    kvs_metrics_observe_ns(node->options.metrics, KVS_METRIC_COMMIT_DURATION,
                           kvs_clock_mono_ns(node->options.clock) - start_ns);
    kvs_metrics_add(node->options.metrics, KVS_METRIC_COMMITS, 1);
    node->state = group->state;
    atomic_store(&node->log_seq, group->state.log_seq);
    return 0;
}

static void observe(const struct kvs_node_observer *observer, const struct kvs_effect *effect)
{
    static const struct kvs_version gone = {.flags = KVS_VERSION_TOMBSTONE};
    if (!observer || !kvs_key_is_system(effect->key))
        return;
    const struct kvs_record *record = effect->pending;
    if (record)
        observer->record(observer->ctx, effect->key, &record->version, kvs_record_json(record));
    else if (effect->removed)
        observer->record(observer->ctx, effect->key, &gone, KVS_SLICE_EMPTY);
}

static void publish_effect(struct kvs_committer *committer, struct kvs_effect *effect)
{
    struct kvs_node *node = committer->node;
    observe(node->options.observer, effect);
    if (effect->pending) {
        bool tombstone = kvs_version_is_tombstone(&effect->pending->version);
        kvs_metrics_add(node->options.metrics,
                        tombstone ? KVS_METRIC_WRITES_DELETE : KVS_METRIC_WRITES_PUT, 1);
        kvs_cache_publish(node->cache, effect->pending, effect->created);
    } else if (effect->removed) {
        kvs_cache_remove(node->cache, effect->key);
        kvs_metrics_add(node->options.metrics, KVS_METRIC_EXPIRED_RECORDS, 1);
    } else if (effect->stubbed) {
        kvs_cache_remove(node->cache, effect->key);
    }
    if (node->ledger) {
        kvs_ledger_note(node->ledger, effect);
        committer->untold = true;
    }
}

// What the core is told of everything up to here.
static void note_committed(struct kvs_committer *committer)
{
    const struct kvs_node *node = committer->node;
    committer->committed = (struct kvs_repl_commit){
        .own_count = committer->own_count,
        .own_newest_ms = node->state.newest,
        .root = kvs_ledger_root(node->ledger),
        .deferred_count = node->ledger->deferred_count,
        .purged_ms = node->ledger->purged_ms,
    };
}

static void publish_op(struct kvs_committer *committer, struct kvs_replica_op *op, int err)
{
    struct kvs_node *node = committer->node;
    for (size_t i = 0; i < op->effect_count; i++)
        publish_effect(committer, &op->effects[i]);
    for (size_t i = 0; i < op->effect_count; i++)
        kvs_ledger_settle(node->ledger, &op->effects[i]);
    if (!err && op->type == KVS_OP_PURGED)
        node->ledger->purged_ms = op->watermark_ms;
    if (op->type == KVS_OP_REKEY) {
        node->ledger->wanted = op->key; // the core says it once, and a group may have failed
        err = err ? err : kvs_ledger_rekey(node->ledger, &op->key);
    }
    note_committed(committer);
    struct kvs_repl_commit commit = committer->committed;
    commit.token = op->token;
    commit.promise_ms = op->commit.promise_ms;
    commit.revived = op->commit.revived;
    commit.err = err;
    op->commit = commit;
    // Of a PERSIST only its end is waited for: what it would have said is said behind the group.
    if (op->type != KVS_OP_PERSIST)
        committer->untold = false;
}

// Makes the group visible, in order: a later write of a key replaces an earlier one. What a failed
// operation of the core had put into the batch already is committed, too.
static void publish(struct kvs_committer *committer, struct kvs_write *first)
{
    struct kvs_node *node = committer->node;
    size_t count = 0;
    for (struct kvs_write *write = first; write; write = write->next) {
        if (count++ % KVS_CACHE_PREFETCH_MAX == 0)
            prefetch(committer, write);
        if (write->op == KVS_WRITE_REPLICA) {
            publish_op(committer, write->replica_op, write->err);
        } else if (write->op == KVS_WRITE_TRIM_LOG && !write->err) {
            atomic_store(&node->log_floor, write->log_floor);
            if (node->ledger)
                kvs_ledger_trim(node->ledger, write->log_floor);
        } else if (write->op == KVS_WRITE_AUDIT || write->op == KVS_WRITE_AUDIT_SEAL) {
            continue; // nothing but entries
        } else if (!write->err) {
            if (write->effect.pending)
                committer->own_count = kvs_dot_count(write->effect.writer_seq);
            publish_effect(committer, &write->effect);
        }
    }
    for (struct kvs_write *write = first; node->ledger && write; write = write->next)
        if (write->op != KVS_WRITE_REPLICA && !write->err)
            kvs_ledger_settle(node->ledger, &write->effect);
    kvs_metrics_set(node->options.metrics, KVS_METRIC_LOG_SEQ, (double)node->state.log_seq);
}

// Nothing of it is durable.
static void fail_op(struct kvs_committer *committer, const struct kvs_write *write)
{
    struct kvs_replica_op *op = write->replica_op;
    note_committed(committer);
    uint64_t token = op->token;
    op->commit = committer->committed;
    op->commit.token = token;
    op->commit.err = write->err;
}

// Returns what did not fit into the group.
static struct kvs_write *run_group(struct kvs_committer *committer, struct kvs_write *first)
{
    struct kvs_write *rest = prepare_group(committer, first);
    int err = commit(committer);
    if (!err) {
        publish(committer, first);
        kvs_changes_tell(committer->node);
    } else {
        kvs_node_audit_dropped(committer->node->audit);
        for (struct kvs_write *write = first; write; write = write->next) {
            write->err = write->err ? write->err : err;
            write->audited = false;
            if (write->op == KVS_WRITE_REPLICA)
                fail_op(committer, write);
            else if (write->op == KVS_WRITE_VIEW) // who is told of an error takes nothing over
                kvs_backup_view_done(write->view);
        }
    }
    bool untold = committer->untold && !err;
    if (untold)
        note_committed(committer);
    answer_all(first);
    if (untold) { // behind the operations, which were before it
        committer->untold = false;
        kvs_replica_committed(committer->node->replica, &committer->committed);
    }
    if (!err && committer->node->ledger)
        kvs_ledger_maintain(committer->node->ledger);
    return rest;
}

static void *run(void *opaque)
{
    struct kvs_committer *committer = opaque;
    (void)pthread_setname_np(pthread_self(), "kvs-commit"); // for people with a debugger only
    struct kvs_write *first = NULL;
    while ((first = take(committer)))
        while (first)
            first = run_group(committer, first);
    if (committer->node->ledger && !committer->failed) {
        int err = kvs_ledger_checkpoint(committer->node->ledger);
        if (err) // the next start takes longer
            kvs_log(committer->node->options.log, KVS_LOG_WARN, "digest not kept",
                    KVS_F_STR("error", kvs_err_text(err)));
    }
    return NULL;
}

// ---- Life

static void done(struct kvs_committer *committer)
{
    kvs_store_batch_free(committer->group.batch);
    kvs_buf_done(&committer->group.key);
    kvs_buf_done(&committer->group.value);
    (void)pthread_cond_destroy(&committer->wake);  // nobody waits any more
    (void)pthread_mutex_destroy(&committer->lock); // nor holds it
    free(committer);
}

int kvs_committer_start(struct kvs_node *node, struct kvs_committer **ret_committer)
{
    struct kvs_committer *committer = calloc(1, sizeof(*committer));
    if (!committer)
        return KVS_ERR_NOMEM;
    committer->node = node;
    committer->last = &committer->first;
    committer->group.node = node;
    kvs_buf_init(&committer->group.key, KVS_GROUP_SCRATCH_SIZE);
    kvs_buf_init(&committer->group.value, KVS_NODE_ENTRY_SIZE_MAX);
    (void)pthread_mutex_init(&committer->lock, NULL); // neither fails with default attributes
    (void)pthread_cond_init(&committer->wake, NULL);
    committer->group.batch = kvs_store_batch_new(node->store);
    // Scratch once and for all: without a payload no entry can fail for want of memory.
    bool has_scratch = kvs_buf_reserve(&committer->group.key, KVS_GROUP_SCRATCH_SIZE) &&
                       kvs_buf_reserve(&committer->group.value, KVS_GROUP_SCRATCH_SIZE);
    if (!has_scratch || !committer->group.batch ||
        pthread_create(&committer->thread, NULL, run, committer) != 0) {
        done(committer);
        return KVS_ERR_NOMEM;
    }
    *ret_committer = committer;
    return 0;
}

void kvs_committer_stop(struct kvs_committer *committer)
{
    if (!committer)
        return;
    (void)pthread_mutex_lock(&committer->lock);
    committer->stopping = true;
    (void)pthread_mutex_unlock(&committer->lock);
    (void)pthread_cond_signal(&committer->wake);
    kvs_assert(pthread_join(committer->thread, NULL) == 0);
    done(committer);
}

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

#include <pthread.h>

enum {
    GROUP_COUNT_MAX = 4096,
    GROUP_BYTES_MAX = 16 << 20, // of the batch; the write that reaches it is the group's last
};

struct kvs_committer {
    struct kvs_node *node;
    pthread_t thread;
    pthread_mutex_t lock; // guards the queue and `stopping`
    pthread_cond_t wake;
    struct kvs_write *first;
    struct kvs_write **last;
    size_t queued;
    bool stopping;
    // The commit thread's own.
    struct kvs_group group;
    int failed; // 0, or why the store takes no writes
};

static void answer(struct kvs_write *write)
{
    kvs_record_unref(KVS_TAKE(write->pending));
    kvs_executor_post(write->executor, &write->done); // `write` may be gone now
}

static void answer_all(struct kvs_write *first)
{
    while (first) {
        struct kvs_write *next = first->next;
        answer(first);
        first = next;
    }
}

// ---- The queue

void kvs_committer_submit(struct kvs_committer *committer, struct kvs_write *first,
                          struct kvs_write *last, size_t count)
{
    last->next = NULL;
    (void)pthread_mutex_lock(&committer->lock); // a plain mutex that we never lock twice
    bool accepted = !committer->stopping;
    bool was_empty = committer->first == NULL;
    if (accepted) {
        *committer->last = first;
        committer->last = &last->next;
        committer->queued += count;
    }
    (void)pthread_mutex_unlock(&committer->lock);
    if (!accepted) {
        for (struct kvs_write *write = first; write; write = write->next)
            write->err = KVS_ERR_SHUTDOWN;
        answer_all(first);
    } else if (was_empty) {
        (void)pthread_cond_signal(&committer->wake);
    }
}

// Waits for work and takes at most a group's worth of it; NULL when stopping and nothing is left.
static struct kvs_write *take(struct kvs_committer *committer)
{
    (void)pthread_mutex_lock(&committer->lock);
    while (!committer->first && !committer->stopping)
        (void)pthread_cond_wait(&committer->wake, &committer->lock);
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
    int err = kvs_store_resume(node->store);
    struct kvs_commit_state state;
    if (!err)
        err = kvs_node_load_state(node, &state);
    if (!err)
        err = kvs_node_audit_reload(node->audit);
    if (err)
        return err;
    // The clock only rises, whatever was lost.
    if (state.clock < node->state.clock)
        state.clock = node->state.clock;
    node->state = state;
    atomic_store(&node->log_seq, state.log_seq);
    kvs_cache_clear(node->cache);
    if (node->options.observer) {
        node->options.observer->restart(node->options.observer->ctx);
        err = kvs_node_observe_all(node);
        if (err)
            return err;
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
    memset(group->overlay, 0, sizeof(group->overlay));
    kvs_store_batch_clear(group->batch);
    kvs_node_audit_begin(committer->node->audit, group);
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
    } else {
        if (write->op != KVS_WRITE_AUDIT && write->op != KVS_WRITE_AUDIT_SEAL)
            kvs_group_prepare(&committer->group, write);
        kvs_node_audit_prepare(committer->node->audit, write);
    }
}

// Prepares one write after another until the batch is full, and cuts the list there. Returns what
// is left for the next group.
static struct kvs_write *prepare_group(struct kvs_committer *committer, struct kvs_write *first)
{
    begin_group(committer);
    struct kvs_write *last = first;
    prepare(committer, last);
    while (last->next && (committer->group.bytes < GROUP_BYTES_MAX || last->with_next)) {
        last = last->next;
        prepare(committer, last);
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
    kvs_node_put_state(group->batch, &group->key, &group->state);
    int err = kvs_node_audit_finish(node->audit);
    if (err)
        return err;
    int64_t start_ns = kvs_clock_mono_ns(node->options.clock);
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

static void observe(const struct kvs_node_observer *observer, const struct kvs_write *write)
{
    if (!observer || !kvs_key_is_system(write->key))
        return;
    const struct kvs_record *record = write->pending;
    if (record)
        observer->record(observer->ctx, write->key, &record->version, kvs_record_json(record));
    else if (write->removed || write->stubbed)
        observer->record(observer->ctx, write->key, &write->version, KVS_SLICE_EMPTY);
}

// Makes the group visible, in order: a later write of a key replaces an earlier one.
static void publish(struct kvs_node *node, struct kvs_write *first)
{
    uint64_t puts = 0;
    uint64_t deletes = 0;
    for (struct kvs_write *write = first; write; write = write->next) {
        observe(node->options.observer, write);
        if (write->pending) {
            bool tombstone = kvs_version_is_tombstone(&write->pending->version);
            puts += !tombstone;
            deletes += tombstone;
            kvs_cache_publish(node->cache, write->pending, write->created);
        } else if (!write->err && write->removed) {
            kvs_cache_remove(node->cache, write->key);
            kvs_metrics_add(node->options.metrics, KVS_METRIC_EXPIRED_RECORDS, 1);
        } else if (!write->err && write->stubbed) {
            kvs_cache_remove(node->cache, write->key);
        } else if (!write->err && write->op == KVS_WRITE_TRIM_LOG) {
            atomic_store(&node->log_floor, write->log_floor);
        }
    }
    kvs_metrics_add(node->options.metrics, KVS_METRIC_WRITES_PUT, puts);
    kvs_metrics_add(node->options.metrics, KVS_METRIC_WRITES_DELETE, deletes);
    kvs_metrics_set(node->options.metrics, KVS_METRIC_LOG_SEQ, (double)node->state.log_seq);
}

// Returns what did not fit into the group.
static struct kvs_write *run_group(struct kvs_committer *committer, struct kvs_write *first)
{
    struct kvs_write *rest = prepare_group(committer, first);
    int err = commit(committer);
    if (!err) {
        publish(committer->node, first);
    } else {
        kvs_node_audit_dropped(committer->node->audit);
        for (struct kvs_write *write = first; write; write = write->next) {
            write->err = write->err ? write->err : err;
            write->audited = false;
        }
    }
    answer_all(first);
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

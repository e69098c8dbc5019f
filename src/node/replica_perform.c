// SPDX-License-Identifier: Apache-2.0
// What the replication core wants done, action by action: changes become operations of the commit
// thread, large reads go to a worker, notices to the log and the metrics. On the replica's thread
// unless said otherwise. Nothing here decides anything about replication.
#include "base/assert.h"
#include "node/ledger.h"
#include "node/replica_internal.h"
#include "node/replica_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    READ_ARENA_MAX = 1 << 30,
    FAILED_RETRY_MS = 500, // housekeeping tries every second whether the store takes writes again
};

static const int64_t lag_max_ms = 365 * 24 * 3600 * 1000LL; // so that no sum overflows

// ---- Operations

static void submit(struct kvs_replica *r, struct kvs_replica_op *op)
{
    op->write.executor = &r->executor;
    op->write.effect.pending = NULL;
    op->write.with_next = false;
    op->write.err = 0;
    kvs_committer_submit(r->node->committer, &op->write, &op->write, 1);
}

static struct kvs_replica_op *op_new(struct kvs_replica *r, enum kvs_replica_op_type type,
                                     uint64_t token)
{
    struct kvs_replica_op *op = kvs_replica_op_new(type, token);
    if (op)
        op->event = calloc(1, sizeof(*op->event));
    if (op && op->event) {
        op->event->type = KVS_REPLICA_EVENT_OP;
        return op;
    }
    kvs_replica_op_free(op);
    kvs_log(r->node->options.log, KVS_LOG_ERROR, "replication held up",
            KVS_F_STR("error", kvs_err_text(KVS_ERR_NOMEM)));
    kvs_replica_give_up(r, KVS_REPL_EVENT_COMMIT, token);
    return NULL;
}

// One that is not begun after all.
static void drop_op(struct kvs_replica *r, struct kvs_replica_op *op)
{
    if (op)
        kvs_replica_give_up(r, KVS_REPL_EVENT_COMMIT, op->token);
    kvs_replica_op_free(op);
}

void kvs_replica_keep(struct kvs_replica *r, struct kvs_slice meta_key, struct kvs_slice bytes)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_KEEP, 0);
    if (!op)
        return;
    op->meta_key = meta_key;
    op->bytes = kvs_arena_copy(&op->arena, bytes);
    if (op->bytes.data)
        submit(r, op);
    else
        kvs_replica_op_free(op);
}

// From here on clients' writes are refused; those acknowledged before come to the core first.
void kvs_node_leave(struct kvs_node *node)
{
    struct kvs_replica_op *op = op_new(node->replica, KVS_OP_LEAVE, 0);
    if (op && !atomic_exchange(&node->leaving, true))
        submit(node->replica, op);
    else
        kvs_replica_op_free(op);
}

// Every payload is copied: the core's actions are gone when the commit thread comes to them.
static bool copy_items(struct kvs_replica_op *op, const struct kvs_repl_item *items, size_t count)
{
    op->items = kvs_arena_alloc(&op->arena, (count + 1) * sizeof(*op->items));
    for (size_t i = 0; op->items && i < count; i++) {
        op->items[i] = items[i];
        op->items[i].key = kvs_arena_copy(&op->arena, items[i].key);
        op->items[i].value = kvs_arena_copy(&op->arena, items[i].value);
        if (!op->items[i].key.data || !op->items[i].value.data)
            return false;
    }
    op->item_count = count;
    return op->items != NULL;
}

// The clock of another node minus ours, as far as it has been measured.
static int64_t clock_offset_of(const struct kvs_replica *r, const struct kvs_uuid *node)
{
    struct kvs_repl_view view;
    kvs_repl_view(r->core, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(r->core, i, &member);
        if (kvs_uuid_cmp(&member.record.node, node) == 0)
            return member.clock_offset_ms;
    }
    return 0;
}

// What was pushed or pulled is durable and readable from here on: how old is it?
void kvs_replica_observe_lag(const struct kvs_replica *r, const struct kvs_replica_op *op)
{
    if (op->type != KVS_OP_APPLY || op->commit.err || op->run.to <= op->run.from)
        return;
    int64_t writers_now_ms = kvs_clock_wall_ms(r->node->options.clock) + op->offset_ms;
    for (size_t i = 0; i < op->item_count; i++) {
        int64_t lag_ms = writers_now_ms - op->items[i].version.timestamp;
        int64_t bounded_ms = lag_ms < 0 ? 0 : lag_ms > lag_max_ms ? lag_max_ms : lag_ms;
        kvs_metrics_observe_ns(r->node->options.metrics, KVS_METRIC_REPLICATION_LAG,
                               bounded_ms * 1000000);
    }
}

static void perform_apply(struct kvs_replica *r, const struct kvs_repl_apply *apply)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_APPLY, apply->token);
    if (!op || !copy_items(op, apply->items, apply->item_count)) {
        drop_op(r, op);
        return;
    }
    op->run = apply->run;
    op->offset_ms = clock_offset_of(r, &apply->run.node);
    op->watermark_ms = apply->watermark_ms;
    op->forgotten_ms = apply->forgotten_ms;
    op->sender_has_us = apply->sender_has_us;
    submit(r, op);
}

static void perform_adopt(struct kvs_replica *r, uint64_t token, const struct kvs_seen *seen)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_ADOPT, token);
    if (op && kvs_seen_copy(&op->seen, seen) == 0)
        submit(r, op);
    else
        drop_op(r, op);
}

static void perform_drop(struct kvs_replica *r, const struct kvs_repl_stub *stub)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_DROP, 0);
    if (!op)
        return;
    op->stub = *stub;
    op->stub.key = kvs_arena_copy(&op->arena, stub->key);
    if (op->stub.key.data)
        submit(r, op);
    else
        kvs_replica_op_free(op);
}

static void perform_due(struct kvs_replica *r, int64_t upto_ms)
{
    struct kvs_repl_view view;
    struct kvs_replica_op *op = op_new(r, KVS_OP_DUE, 0);
    if (!op)
        return;
    kvs_repl_view(r->core, &view);
    op->upto_ms = upto_ms;
    op->watermark_ms = view.watermark_ms;
    r->dues++;
    submit(r, op);
}

void kvs_replica_perform_own_due(struct kvs_replica *r, const struct kvs_repl_event *event)
{
    int64_t upto_ms = event->wall_ms + r->options->skew_max_ms;
    if (r->dues == 0 && event->now_ms >= r->due_next_ms &&
        atomic_load(&r->node->ledger->deferred_first_ms) <= upto_ms)
        perform_due(r, upto_ms);
}

void kvs_replica_due_done(struct kvs_replica *r, const struct kvs_replica_op *op)
{
    r->dues--;
    if (op->commit.err)
        r->due_next_ms = kvs_clock_mono_ms(r->node->options.clock) + FAILED_RETRY_MS;
    else if (atomic_load(&r->node->ledger->deferred_first_ms) <= op->upto_ms)
        perform_due(r, op->upto_ms);
}

static void perform_purge(struct kvs_replica *r, uint64_t token, int64_t watermark_ms)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_PURGED, token);
    if (!op)
        return;
    op->watermark_ms = watermark_ms;
    op->write.executor = &r->executor;
    kvs_housekeeper_purge(r->node->housekeeper, op);
}

static bool wait_a_while(struct kvs_replica *r);

// The core takes it for done with what comes behind it, so it is not left out.
static void perform_rekey(struct kvs_replica *r, const struct kvs_digest_key *key)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_REKEY, 0);
    while (!op && wait_a_while(r))
        op = op_new(r, KVS_OP_REKEY, 0);
    if (!op)
        return;
    op->key = *key;
    submit(r, op);
}

// A promise is never taken back: one that was given by a clock far ahead would hold this node's
// timestamps there when the clock has long been set right. So where a peer that is there says that
// our clock is off, no more is promised than its own clock allows. To promise less is always right.
static int64_t promise_limit(struct kvs_replica *r, const struct kvs_repl_view *view)
{
    int64_t ahead_ms = r->options->skew_max_ms;
    for (size_t i = 0; i < view->member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(r->core, i, &member);
        bool is_there =
            member.record.state == KVS_MEMBER_ALIVE || member.record.state == KVS_MEMBER_SUSPECT;
        if (is_there && -member.clock_offset_ms > ahead_ms)
            ahead_ms = -member.clock_offset_ms;
    }
    if (ahead_ms == r->options->skew_max_ms)
        return INT64_MAX;
    return kvs_clock_wall_ms(r->node->options.clock) - ahead_ms;
}

static void perform_promise(struct kvs_replica *r, uint64_t token)
{
    struct kvs_repl_view view;
    struct kvs_replica_op *op = op_new(r, KVS_OP_PROMISE, token);
    if (!op)
        return;
    kvs_repl_view(r->core, &view);
    op->watermark_ms = view.watermark_ms;
    op->upto_ms = promise_limit(r, &view);
    submit(r, op);
}

// False: it could not be made durable.
static bool persist(struct kvs_replica *r, struct kvs_slice state)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_PERSIST, 0);
    if (!op)
        return false;
    op->bytes = state; // outlives the wait
    (void)pthread_mutex_lock(&r->lock);
    r->persisted = false;
    (void)pthread_mutex_unlock(&r->lock);
    submit(r, op);
    (void)pthread_mutex_lock(&r->lock);
    while (!r->persisted)
        (void)pthread_cond_wait(&r->wake, &r->lock);
    bool durable = r->persist_err == 0;
    (void)pthread_mutex_unlock(&r->lock);
    kvs_replica_op_free(op);
    return durable;
}

// False: the thread is to end.
static bool wait_a_while(struct kvs_replica *r)
{
    struct timespec until = kvs_replica_deadline(FAILED_RETRY_MS);
    (void)pthread_mutex_lock(&r->lock);
    int waited = 0;
    while (!r->stopping && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&r->wake, &r->lock, &until);
    bool stopping = r->stopping;
    (void)pthread_mutex_unlock(&r->lock);
    return !stopping;
}

// Nothing behind it may be said or done before it is durable: a watermark that is forgotten would
// let deleted records come back. While the store takes no writes there is nothing else to do.
static void perform_persist(struct kvs_replica *r, struct kvs_slice state)
{
    r->unsaid = !persist(r, state);
    while (r->unsaid && wait_a_while(r))
        r->unsaid = !persist(r, state);
}

// ---- Reads

static void finish_job(struct kvs_replica_read_job *job)
{
    struct kvs_replica *r = job->replica;
    job->event = (struct kvs_replica_event){.type = KVS_REPLICA_EVENT_READ, .job = job};
    (void)pthread_mutex_lock(&r->lock);
    r->jobs--;
    kvs_replica_push_locked(r, &job->event);
    (void)pthread_cond_broadcast(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
}

static void run_job(struct kvs_task *task)
{
    struct kvs_replica_read_job *job = KVS_CONTAINER_OF(task, struct kvs_replica_read_job, task);
    kvs_replica_read(job->replica->node, &job->action, &job->arena, &job->result);
    finish_job(job);
}

void kvs_replica_job_free(struct kvs_replica_read_job *job)
{
    kvs_arena_done(&job->arena);
    free(job);
}

static void give_up_read(struct kvs_replica *r, const struct kvs_repl_action *action)
{
    switch (action->type) {
    case KVS_REPL_ACTION_READ_LOG:
        kvs_replica_give_up(r, KVS_REPL_EVENT_READ, action->read_log.token);
        break;
    case KVS_REPL_ACTION_READ_KEYS:
        kvs_replica_give_up(r, KVS_REPL_EVENT_READ, action->read_keys.token);
        break;
    case KVS_REPL_ACTION_READ_PAGE:
        kvs_replica_give_up(r, KVS_REPL_EVENT_READ, action->read_page.token);
        break;
    default:
        kvs_replica_give_up(r, KVS_REPL_EVENT_COMPARED, action->compare.token);
        break;
    }
}

// What was just written is read from memory, at once; anything else may take a while.
static void perform_read(struct kvs_replica *r, const struct kvs_repl_action *action)
{
    struct kvs_replica_read_job *job = calloc(1, sizeof(*job));
    if (!job) {
        give_up_read(r, action);
        return;
    }
    job->replica = r;
    job->task.run = run_job;
    kvs_arena_init(&job->arena, READ_ARENA_MAX);
    if (kvs_replica_copy_read(action, &job->arena, &job->action) != 0) {
        kvs_replica_job_free(job);
        give_up_read(r, action);
        return;
    }
    (void)pthread_mutex_lock(&r->lock);
    r->jobs++;
    (void)pthread_mutex_unlock(&r->lock);
    if (action->type == KVS_REPL_ACTION_READ_LOG || !r->options->workers)
        run_job(&job->task);
    else
        kvs_executor_post(r->options->workers, &job->task);
}

// ---- What the core has to say

static void tell_stop(struct kvs_replica *r, const char *reason)
{
    if (!r->stop_told)
        r->options->stop(r->options->ctx, reason);
    r->stop_told = true;
}

static void name_of(const struct kvs_replica *r, const struct kvs_uuid *node,
                    char ret_name[static KVS_REPL_NAME_MAX + 1])
{
    struct kvs_repl_view view;
    kvs_repl_view(r->core, &view);
    ret_name[0] = '\0';
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(r->core, i, &member);
        if (kvs_uuid_cmp(&member.record.node, node) == 0)
            (void)snprintf(ret_name, KVS_REPL_NAME_MAX + 1, "%.*s",
                           KVS_SLICE_FMT(member.record.name));
    }
}

static void note_synced(struct kvs_replica *r, const struct kvs_repl_action *action,
                        const char *peer)
{
    struct kvs_metrics *metrics = r->node->options.metrics;
    kvs_metrics_add(metrics, KVS_METRIC_SYNCS, 1);
    kvs_metrics_add(metrics, KVS_METRIC_SYNC_FETCHED, action->notice.fetched);
    kvs_metrics_add(metrics, KVS_METRIC_SYNC_SENT, action->notice.offered);
    kvs_metrics_add(metrics, KVS_METRIC_SYNC_ROUNDS, action->notice.rounds);
    uint64_t moved = action->notice.fetched + action->notice.offered + action->notice.dropped;
    kvs_log(r->node->options.log, moved > 0 ? KVS_LOG_INFO : KVS_LOG_DEBUG, "synced",
            KVS_F_STR("peer", peer), KVS_F_UINT("rounds", action->notice.rounds),
            KVS_F_UINT("fetched", action->notice.fetched),
            KVS_F_UINT("sent", action->notice.offered),
            KVS_F_UINT("dropped", action->notice.dropped));
}

static void note_serving(struct kvs_replica *r)
{
    bool read_only = r->node->options.read_only;
    atomic_store(&r->syncing, false);
    kvs_log(
        r->node->options.log, KVS_LOG_INFO, "mode changed",
        KVS_F_STR("mode", kvs_node_mode_name(read_only ? KVS_NODE_READ_ONLY : KVS_NODE_NORMAL)));
}

static void perform_notice(struct kvs_replica *r, const struct kvs_repl_action *action)
{
    struct kvs_log *log = r->node->options.log;
    char peer[KVS_REPL_NAME_MAX + 1];
    name_of(r, &action->notice.node, peer);
    switch (action->notice.kind) {
    case KVS_REPL_NOTICE_MEMBER:
        kvs_log(log, action->notice.state == KVS_MEMBER_ALIVE ? KVS_LOG_INFO : KVS_LOG_WARN,
                "member changed", KVS_F_STR("member", peer),
                KVS_F_STR("state", kvs_member_state_name(action->notice.state)));
        kvs_member_roll_note(&r->roll, r->node, &action->notice.node, peer, action->notice.state);
        break;
    case KVS_REPL_NOTICE_DUPLICATE:
        tell_stop(r,
                  "another running process has the identity of this node: its data_dir is a copy; "
                  "empty data_dir to make this a node of its own");
        break;
    case KVS_REPL_NOTICE_NAME_TAKEN:
        tell_stop(r, "another living node of the cluster has this node's node_id: give each node a "
                     "node_id of its own; with a replaced disk wait until the old node is dead");
        break;
    case KVS_REPL_NOTICE_NAME_REFUSED:
        kvs_log(log, KVS_LOG_WARN,
                "node refused: it comes with the node_id of a living one: give each node a node_id "
                "of its own; a node with a replaced disk gets its name when the old one is dead",
                KVS_F_STR("node", peer[0] != '\0' ? peer : r->node->node_id));
        break;
    case KVS_REPL_NOTICE_DIVERGED:
        kvs_metrics_add(r->node->options.metrics, KVS_METRIC_DIVERGENCES, 1);
        kvs_log(log, KVS_LOG_ERROR,
                "this node and a peer have seen the same writes and hold different data: comparing "
                "everything; please report this",
                KVS_F_STR("peer", peer));
        break;
    case KVS_REPL_NOTICE_SYNCED:
        note_synced(r, action, peer);
        break;
    case KVS_REPL_NOTICE_RETURNED:
        kvs_log(log, KVS_LOG_INFO,
                "everything compared, after an absence or a meeting of two clusters: what was "
                "deleted meanwhile is deleted here, too");
        break;
    case KVS_REPL_NOTICE_JOINED:
        kvs_log(log, KVS_LOG_INFO, "joined cluster", KVS_F_STR("through", peer));
        kvs_member_roll_note_self(r->node, true);
        break;
    case KVS_REPL_NOTICE_SERVING:
        note_serving(r);
        break;
    case KVS_REPL_NOTICE_LEFT:
        kvs_log(log, KVS_LOG_INFO, "left cluster");
        kvs_member_roll_note_self(r->node, false);
        tell_stop(r, NULL);
        break;
    case KVS_REPL_NOTICE_CLOCK:
        kvs_log(log, KVS_LOG_WARN, "a peer's clock differs by more than max_clock_skew_ms",
                KVS_F_STR("peer", peer), KVS_F_INT("offset_ms", action->notice.offset_ms));
        break;
    }
}

void kvs_replica_perform(struct kvs_replica *r, const struct kvs_repl_action *action)
{
    if (r->unsaid && action->type != KVS_REPL_ACTION_PERSIST)
        return; // the thread ends: as if the process had died before
    switch (action->type) {
    case KVS_REPL_ACTION_SEND:
        if (!r->paused)
            r->options->send(r->options->ctx, action->send.address, action->send.bytes);
        break;
    case KVS_REPL_ACTION_PERSIST:
        perform_persist(r, action->persist);
        break;
    case KVS_REPL_ACTION_APPLY:
        perform_apply(r, &action->apply);
        break;
    case KVS_REPL_ACTION_ADOPT:
        perform_adopt(r, action->adopt.token, action->adopt.seen);
        break;
    case KVS_REPL_ACTION_PROMISE:
        perform_promise(r, action->promise.token);
        break;
    case KVS_REPL_ACTION_PURGE:
        perform_purge(r, action->purge.token, action->purge.watermark_ms);
        break;
    case KVS_REPL_ACTION_DROP:
        perform_drop(r, &action->drop);
        break;
    case KVS_REPL_ACTION_DUE:
        perform_due(r, action->due.upto_ms);
        break;
    case KVS_REPL_ACTION_REKEY:
        perform_rekey(r, &action->rekey);
        break;
    case KVS_REPL_ACTION_READ_LOG:
    case KVS_REPL_ACTION_READ_KEYS:
    case KVS_REPL_ACTION_READ_PAGE:
    case KVS_REPL_ACTION_COMPARE:
        perform_read(r, action);
        break;
    case KVS_REPL_ACTION_NOTICE:
        perform_notice(r, action);
        break;
    }
}

// SPDX-License-Identifier: Apache-2.0
// One thread, one queue. An event is a message, a completed operation or read, a commit, or a
// command; each is one step of the core, whose actions are performed before the next event is
// looked at. The queue is bounded where strangers fill it: messages beyond the limit are dropped,
// which the core expects of a network.
//
// Nothing here decides anything about replication.
#include "node/replica.h"

#include "base/assert.h"
#include "node/ledger.h"
#include "node/receipts_internal.h"
#include "node/replica_op.h"
#include "node/replica_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    MESSAGES_BYTES_MAX = 256 << 20, // waiting; a single value may be 64 MiB
    READ_ARENA_MAX = 1 << 30,
    BATCH_SIZE_MAX = 1 << 20,
    DAMAGE_RETRY_MS = 5000,
    FAILED_RETRY_MS = 500, // housekeeping tries every second whether the store takes writes again
    STATE_SIZE_MAX = 16 << 20,
};

static const int64_t lag_max_ms = 365 * 24 * 3600 * 1000LL; // so that no sum overflows

enum event_type {
    EVENT_MESSAGE,
    EVENT_OP,
    EVENT_READ,
    EVENT_COMMITTED,
    EVENT_REMOVE,
    EVENT_ADDRESS,
    EVENT_PAUSE,
};

struct event {
    struct event *next;
    enum event_type type;
    struct kvs_replica_op *op;     // OP: owned
    struct read_job *job;          // READ: owned
    struct kvs_repl_commit commit; // COMMITTED
    struct kvs_uuid member;        // REMOVE
    size_t size;                   // MESSAGE, ADDRESS
    char bytes[];
};

// A read that a worker does. Owns its arena.
struct read_job {
    struct kvs_task task;
    struct kvs_replica *replica;
    struct kvs_repl_action action;
    struct kvs_arena arena;
    struct kvs_repl_event result;
    struct event event;
};

struct kvs_replica {
    struct kvs_node *node;
    const struct kvs_cluster_options *options;
    struct kvs_executor executor; // where operations complete: the commit thread posts here
    pthread_t thread;
    bool started;
    // The core: stepped by the thread, looked at by others under the lock.
    pthread_mutex_t core_lock;
    struct kvs_repl *core;
    struct kvs_repl_actions actions;
    _Atomic bool syncing;
    // The queue.
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct event *first, **last;
    struct event *tail; // the last one
    size_t message_bytes;
    bool stopping;
    size_t jobs;    // at work; guarded by `lock`
    bool persisted; // of the PERSIST that is waited for; guarded by `lock`
    int persist_err;
    // The thread's own.
    int64_t next_ms;     // monotonic: a tick is due
    size_t dues;         // DUEs under way
    int64_t due_next_ms; // monotonic: not before, for the last one failed
    bool paused;         // nothing is sent any more
    // Keys whose records are damaged, reported again and again until they are not.
    struct kvs_tagged damaged[KVS_REPL_DAMAGED_MAX]; // guarded by `lock`
    size_t damaged_count;
    int64_t damaged_next_ms;
    bool unsaid; // the state could not be made durable before the end: nothing more is done
    bool stop_told;
    bool system_ready, system_told;
};

// ---- The queue

static void push_locked(struct kvs_replica *r, struct event *event)
{
    event->next = NULL;
    *r->last = event;
    r->last = &event->next;
    r->tail = event;
    (void)pthread_cond_signal(&r->wake);
}

static void push(struct kvs_replica *r, struct event *event)
{
    (void)pthread_mutex_lock(&r->lock); // a plain mutex that we never lock twice
    push_locked(r, event);
    (void)pthread_mutex_unlock(&r->lock);
}

static struct event *event_new(enum event_type type)
{
    struct event *event = calloc(1, sizeof(*event));
    if (event)
        event->type = type;
    return event;
}

void kvs_replica_committed(struct kvs_replica *r, const struct kvs_repl_commit *commit)
{
    (void)pthread_mutex_lock(&r->lock);
    if (r->tail && r->tail->type == EVENT_COMMITTED) {
        r->tail->commit = *commit; // it says all that the one before said
    } else {
        struct event *event = event_new(EVENT_COMMITTED);
        if (event) { // else the next one says it
            event->commit = *commit;
            push_locked(r, event);
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static void on_op_done(struct kvs_executor *executor, struct kvs_task *task)
{
    struct kvs_replica *r = KVS_CONTAINER_OF(executor, struct kvs_replica, executor);
    struct kvs_write *write = KVS_CONTAINER_OF(task, struct kvs_write, done);
    struct kvs_replica_op *op = write->replica_op;
    (void)pthread_mutex_lock(&r->lock);
    if (op->type == KVS_OP_PERSIST) { // is waited for
        r->persisted = true;
        r->persist_err = write->err;
        (void)pthread_cond_broadcast(&r->wake);
    } else {
        struct event *event = event_new(EVENT_OP);
        // Out of memory: the core never hears of it, as if its messages had been lost.
        if (event) {
            event->op = op;
            push_locked(r, event);
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
}

void kvs_node_peer_message(struct kvs_node *node, struct kvs_slice message)
{
    struct kvs_replica *r = node->replica;
    struct event *event = r ? malloc(sizeof(*event) + message.size) : NULL;
    if (!event)
        return; // as if it had been lost
    *event = (struct event){.type = EVENT_MESSAGE, .size = message.size};
    memcpy(event->bytes, message.data, message.size);
    (void)pthread_mutex_lock(&r->lock);
    size_t size = sizeof(*event) + message.size; // an empty one takes room, too
    bool taken = !r->stopping && r->message_bytes + size <= MESSAGES_BYTES_MAX;
    if (taken) {
        r->message_bytes += size;
        push_locked(r, event);
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (!taken) {
        kvs_metrics_add(node->options.metrics, KVS_METRIC_REPLICA_DROPPED, 1);
        free(event);
    }
}

static void command(struct kvs_replica *r, enum event_type type, const struct kvs_uuid *member)
{
    struct event *event = event_new(type);
    if (!event)
        return;
    if (member)
        event->member = *member;
    push(r, event);
}

void kvs_node_set_address(struct kvs_node *node, const char *address)
{
    size_t size = strlen(address);
    struct event *event = malloc(sizeof(*event) + size);
    if (!event)
        return; // it stays what it was
    *event = (struct event){.type = EVENT_ADDRESS, .size = size};
    memcpy(event->bytes, address, size);
    push(node->replica, event);
}

void kvs_node_pause(struct kvs_node *node)
{
    if (node->replica)
        command(node->replica, EVENT_PAUSE, NULL);
}

static struct timespec deadline(int64_t delay_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); // cannot fail for this clock
    until.tv_sec += delay_ms / 1000;
    until.tv_nsec += delay_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return until;
}

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
    if (!op)
        kvs_log(r->node->options.log, KVS_LOG_ERROR, "replication held up",
                KVS_F_STR("error", kvs_err_text(KVS_ERR_NOMEM)));
    return op;
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
static void observe_lag(const struct kvs_replica *r, const struct kvs_replica_op *op)
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
        kvs_replica_op_free(op);
        return;
    }
    op->run = apply->run;
    op->offset_ms = clock_offset_of(r, &apply->run.node);
    op->watermark_ms = apply->watermark_ms;
    op->sender_has_us = apply->sender_has_us;
    submit(r, op);
}

static void perform_adopt(struct kvs_replica *r, uint64_t token, const struct kvs_seen *seen)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_ADOPT, token);
    if (op && kvs_seen_copy(&op->seen, seen) == 0)
        submit(r, op);
    else
        kvs_replica_op_free(op);
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

// What is due by this node's own clock.
static void perform_own_due(struct kvs_replica *r, const struct kvs_repl_event *event)
{
    int64_t upto_ms = event->wall_ms + r->options->skew_max_ms;
    if (r->dues == 0 && event->now_ms >= r->due_next_ms &&
        atomic_load(&r->node->ledger->deferred_first_ms) <= upto_ms)
        perform_due(r, upto_ms);
}

// One takes only so much at once.
static void on_due_done(struct kvs_replica *r, const struct kvs_replica_op *op)
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

static void perform_rekey(struct kvs_replica *r, const struct kvs_digest_key *key)
{
    struct kvs_replica_op *op = op_new(r, KVS_OP_REKEY, 0);
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
    struct timespec until = deadline(FAILED_RETRY_MS);
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

static void finish_job(struct read_job *job)
{
    struct kvs_replica *r = job->replica;
    job->event = (struct event){.type = EVENT_READ, .job = job};
    (void)pthread_mutex_lock(&r->lock);
    r->jobs--;
    push_locked(r, &job->event);
    (void)pthread_cond_broadcast(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
}

static void run_job(struct kvs_task *task)
{
    struct read_job *job = KVS_CONTAINER_OF(task, struct read_job, task);
    kvs_replica_read(job->replica->node, &job->action, &job->arena, &job->result);
    finish_job(job);
}

static void job_free(struct read_job *job)
{
    kvs_arena_done(&job->arena);
    free(job);
}

// What was just written is read from memory, at once; anything else may take a while.
static void perform_read(struct kvs_replica *r, const struct kvs_repl_action *action)
{
    struct read_job *job = calloc(1, sizeof(*job));
    if (!job)
        return;
    job->replica = r;
    job->task.run = run_job;
    kvs_arena_init(&job->arena, READ_ARENA_MAX);
    if (kvs_replica_copy_read(action, &job->arena, &job->action) != 0) {
        job_free(job);
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

static void set_syncing(struct kvs_replica *r, bool syncing)
{
    if (atomic_exchange(&r->syncing, syncing) == syncing)
        return;
    kvs_log(r->node->options.log, KVS_LOG_INFO, "mode changed",
            KVS_F_STR("mode", syncing ? "syncing" : "normal"));
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
        kvs_log(log, KVS_LOG_INFO, "returned after an absence beyond tombstone_retention_hours");
        break;
    case KVS_REPL_NOTICE_JOINED:
        kvs_log(log, KVS_LOG_INFO, "joined cluster", KVS_F_STR("through", peer));
        break;
    case KVS_REPL_NOTICE_SYNCING:
        set_syncing(r, true);
        break;
    case KVS_REPL_NOTICE_SERVING:
        set_syncing(r, false);
        break;
    case KVS_REPL_NOTICE_LEFT:
        kvs_log(log, KVS_LOG_INFO, "left cluster");
        tell_stop(r, NULL);
        break;
    case KVS_REPL_NOTICE_CLOCK:
        kvs_log(log, KVS_LOG_WARN, "a peer's clock differs by more than max_clock_skew_ms",
                KVS_F_STR("peer", peer), KVS_F_INT("offset_ms", action->notice.offset_ms));
        break;
    }
}

static void perform(struct kvs_replica *r, const struct kvs_repl_action *action)
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

// ---- Damage

void kvs_replica_report_damage(struct kvs_replica *r, struct kvs_slice key)
{
    struct kvs_tagged tagged;
    if (key.size == 0 || key.size > KVS_KEY_SIZE_MAX)
        return;
    kvs_tagged_set(&tagged, key);
    (void)pthread_mutex_lock(&r->lock);
    bool known = false;
    for (size_t i = 0; i < r->damaged_count && !known; i++)
        known = kvs_slice_eq(kvs_tagged_slice(&r->damaged[i]), kvs_tagged_slice(&tagged));
    if (!known && r->damaged_count < KVS_REPL_DAMAGED_MAX)
        r->damaged[r->damaged_count++] = tagged; // else it is found again later
    (void)pthread_mutex_unlock(&r->lock);
}

static bool is_damaged(struct kvs_node *node, const struct kvs_tagged *tagged)
{
    struct kvs_slice key;
    struct kvs_current current;
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK, .prefix_only = true};
    if (!kvs_tagged_key(kvs_tagged_slice(tagged), &key))
        return false;
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, kvs_node_family(key), &options);
    bool damaged = iter && kvs_node_current_at(node, iter, key, &current) == 0 && current.damaged;
    kvs_store_iter_free(iter);
    return damaged;
}

static void step(struct kvs_replica *r, struct kvs_repl_event *event);

// Forgets what has been repaired, and asks a peer for the rest.
static void ask_for_damaged(struct kvs_replica *r, int64_t now_ms)
{
    struct kvs_slice keys[KVS_REPL_DAMAGED_MAX];
    (void)pthread_mutex_lock(&r->lock);
    size_t count = r->damaged_count;
    (void)pthread_mutex_unlock(&r->lock);
    if (count == 0 || now_ms < r->damaged_next_ms)
        return;
    r->damaged_next_ms = now_ms + DAMAGE_RETRY_MS;
    size_t left = 0;
    for (size_t i = 0; i < count; i++) { // only this thread takes any away
        bool damaged = is_damaged(r->node, &r->damaged[i]);
        (void)pthread_mutex_lock(&r->lock);
        if (damaged)
            r->damaged[left++] = r->damaged[i];
        (void)pthread_mutex_unlock(&r->lock);
    }
    (void)pthread_mutex_lock(&r->lock);
    memmove(&r->damaged[left], &r->damaged[count],
            (r->damaged_count - count) * sizeof(r->damaged[0]));
    r->damaged_count -= count - left;
    (void)pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < left; i++)
        keys[i] = kvs_tagged_slice(&r->damaged[i]);
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_DAMAGED, .damaged = {keys, left}};
    if (left > 0)
        step(r, &event);
}

// ---- The thread

static void tell_system_ready(struct kvs_replica *r, bool ready)
{
    if (r->options->system_ready && (ready != r->system_ready || !r->system_told))
        r->options->system_ready(r->options->ctx, ready);
    r->system_ready = ready;
    r->system_told = true;
}

static void step(struct kvs_replica *r, struct kvs_repl_event *event)
{
    const struct kvs_clock *clock = r->node->options.clock;
    event->now_ms = kvs_clock_mono_ms(clock);
    event->wall_ms = kvs_clock_wall_ms(clock);
    (void)pthread_mutex_lock(&r->core_lock);
    int err = kvs_repl_step(r->core, event, &r->actions);
    (void)pthread_mutex_unlock(&r->core_lock);
    if (err)
        kvs_log(r->node->options.log, KVS_LOG_ERROR, "replication step incomplete",
                KVS_F_STR("error", kvs_err_text(err)));
    r->next_ms = r->actions.next_ms;
    tell_system_ready(r, !kvs_repl_lacks_system(r->core));
    kvs_receipts_tell(r->node->receipts, r->core);
    for (size_t i = 0; i < r->actions.count; i++)
        perform(r, &r->actions.list[i]);
    perform_own_due(r, event);
}

static void handle(struct kvs_replica *r, struct event *event)
{
    struct kvs_repl_event e = {.type = KVS_REPL_EVENT_TICK};
    struct kvs_repl_event leaving = {.type = KVS_REPL_EVENT_LEAVE};
    bool leave = false;
    switch (event->type) {
    case EVENT_MESSAGE:
        e.type = KVS_REPL_EVENT_MESSAGE;
        e.message = kvs_slice(event->bytes, event->size);
        break;
    case EVENT_OP:
        e.type = KVS_REPL_EVENT_COMMIT;
        e.commit = event->op->commit;
        if (event->op->type == KVS_OP_DUE)
            on_due_done(r, event->op);
        leave = event->op->type == KVS_OP_LEAVE;
        observe_lag(r, event->op);
        kvs_replica_op_free(event->op);
        break;
    case EVENT_READ:
        step(r, &event->job->result);
        job_free(event->job); // the event with it
        return;
    case EVENT_COMMITTED:
        e.type = KVS_REPL_EVENT_COMMIT;
        e.commit = event->commit;
        break;
    case EVENT_REMOVE:
        e.type = KVS_REPL_EVENT_REMOVE;
        e.remove = event->member;
        break;
    case EVENT_ADDRESS:
        e.type = KVS_REPL_EVENT_ADDRESS;
        e.address = kvs_slice(event->bytes, event->size);
        break;
    case EVENT_PAUSE:
        e.type = KVS_REPL_EVENT_PAUSE;
        break;
    }
    step(r, &e);
    if (leave)
        step(r, &leaving);
    r->paused = r->paused || event->type == EVENT_PAUSE;
    free(event);
}

static void wait_until(struct kvs_replica *r, int64_t at_ms)
{
    int64_t delay_ms = at_ms - kvs_clock_mono_ms(r->node->options.clock);
    if (delay_ms <= 0)
        return;
    struct timespec until = deadline(delay_ms);
    int waited = 0;
    while (!r->first && !r->stopping && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&r->wake, &r->lock, &until);
}

// One event, or NULL when a tick is due; *ret_stopping: no more are wanted.
static struct event *next_event(struct kvs_replica *r, bool *ret_stopping)
{
    (void)pthread_mutex_lock(&r->lock);
    if (!r->first && !r->stopping)
        wait_until(r, r->next_ms);
    struct event *event = r->first;
    if (event) {
        r->first = event->next;
        if (!r->first) {
            r->last = &r->first;
            r->tail = NULL;
        }
        if (event->type == EVENT_MESSAGE)
            r->message_bytes -= sizeof(*event) + event->size;
    }
    *ret_stopping = r->stopping;
    (void)pthread_mutex_unlock(&r->lock);
    return event;
}

static void *run(void *opaque)
{
    struct kvs_replica *r = opaque;
    (void)pthread_setname_np(pthread_self(), "kvs-replica"); // for people with a debugger only
    bool stopping = false;
    for (;;) {
        struct event *event = next_event(r, &stopping);
        if (stopping && !event)
            break;
        if (event) {
            handle(r, event);
        } else {
            struct kvs_repl_event tick = {.type = KVS_REPL_EVENT_TICK};
            step(r, &tick);
            ask_for_damaged(r, tick.now_ms);
        }
    }
    return NULL;
}

// ---- Life

static int load_state(struct kvs_node *node, struct kvs_buf *out)
{
    int err = kvs_store_get(node->store, KVS_FAMILY_META, KVS_META_REPLICA, KVS_READ_DISK, out);
    return err == KVS_ERR_NOT_FOUND ? 0 : err;
}

static bool has_key(void *ctx, const struct kvs_current *current)
{
    (void)current;
    *(bool *)ctx = true;
    return false;
}

static int make_core(struct kvs_replica *r, struct kvs_slice state, bool has_data)
{
    struct kvs_node *node = r->node;
    const struct kvs_cluster_options *o = r->options;
    struct kvs_slice seeds[KVS_REPL_SEEDS_MAX];
    size_t seed_count = o->seed_count < KVS_REPL_SEEDS_MAX ? o->seed_count : KVS_REPL_SEEDS_MAX;
    for (size_t i = 0; i < seed_count; i++)
        seeds[i] = kvs_slice_from_str(o->seeds[i]);
    const struct kvs_clock *clock = node->options.clock;
    struct kvs_repl_options options = {
        .node = node->identity.self.node,
        .joined_timestamp = node->identity.self.joined_timestamp,
        .life = node->ledger->life,
        .name = kvs_slice_from_str(node->node_id),
        .address = kvs_slice_from_str(o->address),
        .seeds = seeds,
        .seed_count = seed_count,
        .cluster = {kvs_uuid_new(node->options.random), kvs_clock_wall_ms(clock), false},
        .state = state,
        .seen = &node->ledger->seen,
        .root.count = has_data,
        .random_seed = kvs_random_u64(node->options.random),
        .now_ms = kvs_clock_mono_ms(clock),
        .wall_ms = kvs_clock_wall_ms(clock),
        .probe_interval_ms = o->probe_interval_ms,
        .suspect_timeout_ms = o->suspect_timeout_ms,
        .gossip_min_ms = o->gossip_min_ms,
        .gossip_max_ms = o->gossip_max_ms,
        .status_interval_ms = o->status_interval_ms,
        .sync_interval_ms = o->sync_interval_ms,
        .catchup_interval_ms = o->catchup_interval_ms,
        .promise_interval_ms = o->promise_interval_ms,
        .retention_ms = node->options.tombstone_retention_ms,
        .expire_after_ms = node->options.tombstone_retention_ms,
        .skew_max_ms = o->skew_max_ms,
        .bootstrap_max_age_ms = o->bootstrap_max_age_ms,
        .throttle_delay_ms = o->throttle_delay_ms,
        .fetch_delay_ms = o->fetch_delay_ms,
        .batch_size_max = BATCH_SIZE_MAX,
        .push = o->push,
    };
    kvs_random_fill(node->options.random, &options.digest_key, sizeof(options.digest_key));
    return kvs_repl_new(&options, &r->core);
}

static int init(struct kvs_replica *r, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf state = KVS_BUF_INIT(STATE_SIZE_MAX);
    bool has_data = false;
    struct kvs_repl_view view;
    int err = load_state(r->node, &state);
    if (!err)
        err = kvs_node_each_current(r->node, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, has_key, &has_data);
    if (!err)
        err = make_core(r, kvs_buf_slice(&state), has_data);
    if (err)
        return kvs_fail(ret_message, err, "state of replication: %s", kvs_err_text(err));
    kvs_repl_view(r->core, &view);
    atomic_store(&r->syncing, view.syncing);
    tell_system_ready(r, !view.lacks_system);
    return 0;
}

int kvs_replica_new(struct kvs_node *node, struct kvs_replica **ret_replica,
                    struct kvs_message *ret_message)
{
    struct kvs_replica *r = calloc(1, sizeof(*r));
    if (!r)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    r->node = node;
    r->options = node->options.cluster;
    r->executor.post = on_op_done;
    r->last = &r->first;
    kvs_repl_actions_init(&r->actions);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic); // none of these fails with these arguments
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_mutex_init(&r->core_lock, NULL);
    int err = init(r, ret_message);
    if (err) {
        kvs_replica_free(r);
        return err;
    }
    *ret_replica = r;
    return 0;
}

struct kvs_digest_key kvs_replica_digest_key(struct kvs_replica *r)
{
    struct kvs_repl_view view;
    kvs_repl_view(r->core, &view);
    return view.digest_key;
}

int kvs_replica_start(struct kvs_replica *r)
{
    const struct kvs_ledger *ledger = r->node->ledger;
    const struct kvs_repl_commit now = {
        .root = kvs_ledger_root(r->node->ledger),
        .deferred_count = ledger->deferred_count,
        .purged_ms = INT64_MIN,
    };
    r->next_ms = 0;
    kvs_replica_committed(r, &now);
    if (pthread_create(&r->thread, NULL, run, r) != 0)
        return KVS_ERR_NOMEM;
    r->started = true;
    return 0;
}

void kvs_replica_stop(struct kvs_replica *r)
{
    if (!r || !r->started)
        return;
    (void)pthread_mutex_lock(&r->lock);
    r->stopping = true;
    (void)pthread_cond_broadcast(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
    kvs_assert(pthread_join(r->thread, NULL) == 0);
    (void)pthread_mutex_lock(&r->lock);
    while (r->jobs > 0)
        (void)pthread_cond_wait(&r->wake, &r->lock);
    (void)pthread_mutex_unlock(&r->lock);
    r->started = false;
}

static void event_free(struct event *event)
{
    if (event->type == EVENT_OP)
        kvs_replica_op_free(event->op);
    if (event->type == EVENT_READ)
        job_free(event->job); // the event with it
    else
        free(event);
}

void kvs_replica_free(struct kvs_replica *r)
{
    if (!r)
        return;
    while (r->first) {
        struct event *next = r->first->next;
        event_free(r->first);
        r->first = next;
    }
    kvs_repl_free(r->core);
    kvs_repl_actions_done(&r->actions);
    (void)pthread_cond_destroy(&r->wake); // nobody waits any more
    (void)pthread_mutex_destroy(&r->lock);
    (void)pthread_mutex_destroy(&r->core_lock);
    free(r);
}

bool kvs_replica_is_syncing(const struct kvs_replica *r)
{
    return atomic_load(&r->syncing);
}

void kvs_replica_look(struct kvs_replica *r, void (*look)(void *ctx, const struct kvs_repl *core),
                      void *ctx)
{
    (void)pthread_mutex_lock(&r->core_lock);
    look(ctx, r->core);
    (void)pthread_mutex_unlock(&r->core_lock);
}

void kvs_replica_remove(struct kvs_replica *r, const struct kvs_uuid *member)
{
    command(r, EVENT_REMOVE, member);
}

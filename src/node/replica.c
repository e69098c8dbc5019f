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
#include "node/replica_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    MESSAGES_BYTES_MAX = 256 << 20, // waiting; a single value may be 64 MiB
    BATCH_SIZE_MAX = 1 << 20,
    DAMAGE_RETRY_MS = 5000,
    PAUSE_PATIENCE_MS = 10000,
    STATE_SIZE_MAX = 16 << 20,
};

// ---- The queue

static void append_locked(struct kvs_replica *r, struct kvs_replica_event *event)
{
    event->next = NULL;
    *r->last = event;
    r->last = &event->next;
    r->tail = event;
}

void kvs_replica_push_locked(struct kvs_replica *r, struct kvs_replica_event *event)
{
    append_locked(r, event);
    (void)pthread_cond_broadcast(&r->wake);
}

static void push(struct kvs_replica *r, struct kvs_replica_event *event)
{
    (void)pthread_mutex_lock(&r->lock); // a plain mutex that we never lock twice
    kvs_replica_push_locked(r, event);
    (void)pthread_mutex_unlock(&r->lock);
}

static struct kvs_replica_event *event_new(enum kvs_replica_event_type type)
{
    struct kvs_replica_event *event = calloc(1, sizeof(*event));
    if (event)
        event->type = type;
    return event;
}

// The commit thread, which ends before this object does, wakes the replica's with the lock given
// back: whoever is woken and finds it held goes to sleep again, which on one core is the rule.
void kvs_replica_committed(struct kvs_replica *r, const struct kvs_repl_commit *commit)
{
    (void)pthread_mutex_lock(&r->lock);
    struct kvs_replica_event *event = NULL;
    r->has_late = false;
    if (r->tail && r->tail->type == KVS_REPLICA_EVENT_COMMITTED) {
        r->tail->commit = *commit; // it says all that the one before said
    } else if ((event = event_new(KVS_REPLICA_EVENT_COMMITTED))) {
        event->commit = *commit;
        append_locked(r, event);
    } else { // it is told when nothing else waits, unless a later one comes first
        r->has_late = true;
        r->late = *commit;
    }
    (void)pthread_mutex_unlock(&r->lock);
    (void)pthread_cond_broadcast(&r->wake);
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
    } else {
        struct kvs_replica_event *event = KVS_TAKE(op->event);
        event->op = op;
        r->has_late = false; // this one says it
        append_locked(r, event);
    }
    (void)pthread_mutex_unlock(&r->lock);
    (void)pthread_cond_broadcast(&r->wake); // as above
}

void kvs_node_peer_message(struct kvs_node *node, struct kvs_slice message)
{
    struct kvs_replica *r = node->replica;
    struct kvs_replica_event *event = r ? malloc(sizeof(*event) + message.size) : NULL;
    if (!event)
        return; // as if it had been lost
    *event = (struct kvs_replica_event){.type = KVS_REPLICA_EVENT_MESSAGE, .size = message.size};
    memcpy(event->bytes, message.data, message.size);
    (void)pthread_mutex_lock(&r->lock);
    size_t size = sizeof(*event) + message.size; // an empty one takes room, too
    bool taken = !r->stopping && r->message_bytes + size <= MESSAGES_BYTES_MAX;
    if (taken) {
        r->message_bytes += size;
        kvs_replica_push_locked(r, event);
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (!taken) {
        kvs_metrics_add(node->options.metrics, KVS_METRIC_REPLICA_DROPPED, 1);
        free(event);
    }
}

static bool command(struct kvs_replica *r, enum kvs_replica_event_type type,
                    const struct kvs_uuid *member)
{
    struct kvs_replica_event *event = event_new(type);
    if (!event)
        return false;
    if (member)
        event->member = *member;
    push(r, event);
    return true;
}

void kvs_node_set_address(struct kvs_node *node, const char *address)
{
    size_t size = strlen(address);
    struct kvs_replica_event *event = malloc(sizeof(*event) + size);
    if (!event)
        return; // it stays what it was
    *event = (struct kvs_replica_event){.type = KVS_REPLICA_EVENT_ADDRESS, .size = size};
    memcpy(event->bytes, address, size);
    push(node->replica, event);
}

void kvs_node_pause(struct kvs_node *node)
{
    if (node->replica && command(node->replica, KVS_REPLICA_EVENT_PAUSE, NULL))
        atomic_store(&node->replica->pausing, true);
}

void kvs_node_await_pause(struct kvs_node *node)
{
    struct kvs_replica *r = node->replica;
    if (!r || !atomic_load(&r->pausing))
        return;
    struct timespec until = kvs_replica_deadline(PAUSE_PATIENCE_MS);
    int waited = 0;
    (void)pthread_mutex_lock(&r->lock);
    while (!r->paused && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&r->wake, &r->lock, &until);
    (void)pthread_mutex_unlock(&r->lock);
}

struct timespec kvs_replica_deadline(int64_t delay_ms)
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
static void ask_for_damaged(struct kvs_replica *r)
{
    struct kvs_slice keys[KVS_REPL_DAMAGED_MAX];
    int64_t now_ms = kvs_clock_mono_ms(r->node->options.clock);
    if (now_ms < r->damaged_next_ms || atomic_load(&r->damaged_count) == 0)
        return;
    (void)pthread_mutex_lock(&r->lock);
    size_t count = r->damaged_count;
    (void)pthread_mutex_unlock(&r->lock);
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
        kvs_replica_perform(r, &r->actions.list[i]);
    kvs_replica_perform_own_due(r, event);
}

void kvs_replica_give_up(struct kvs_replica *r, enum kvs_repl_event_type answer, uint64_t token)
{
    if (token != 0 && r->lost_count < KVS_REPLICA_LOST_MAX)
        r->lost[r->lost_count++] = (struct kvs_replica_lost){answer, token};
}

// Those that are there now: what is lost in consequence has to wait for the next time.
static void return_lost(struct kvs_replica *r)
{
    struct kvs_replica_lost lost[8];
    size_t count = r->lost_count < KVS_ARRAY_SIZE(lost) ? r->lost_count : KVS_ARRAY_SIZE(lost);
    memcpy(lost, r->lost, count * sizeof(lost[0]));
    r->lost_count -= count;
    memmove(r->lost, r->lost + count, r->lost_count * sizeof(lost[0]));
    for (size_t i = 0; i < count; i++) {
        struct kvs_repl_event event = {.type = lost[i].answer};
        if (event.type == KVS_REPL_EVENT_COMMIT) {
            event.commit = r->told; // nothing new
            event.commit.token = lost[i].token;
            event.commit.promise_ms = 0;
            event.commit.revived = false;
            event.commit.err = KVS_ERR_NOMEM;
        } else if (event.type == KVS_REPL_EVENT_READ) {
            event.read = (struct kvs_repl_read){.token = lost[i].token, .err = KVS_ERR_NOMEM};
        } else {
            event.compared =
                (struct kvs_repl_compare_done){.token = lost[i].token, .err = KVS_ERR_NOMEM};
        }
        step(r, &event);
    }
}

static void step_message(void *ctx, struct kvs_slice message, const struct kvs_repl_item *page_end)
{
    struct kvs_repl_event event = {
        .type = KVS_REPL_EVENT_MESSAGE, .message = message, .page_end = page_end};
    step(ctx, &event);
}

static void on_message(struct kvs_replica *r, struct kvs_slice message)
{
    int64_t now_ms = kvs_clock_mono_ms(r->node->options.clock);
    struct kvs_repl_view view;
    if (!kvs_screen_is_on(&r->screen, now_ms)) {
        step_message(r, message, NULL);
        return;
    }
    kvs_repl_view(r->core, &view);
    kvs_screen_pass(&r->screen, view.seen, message, now_ms, step_message, r);
}

static void note_refused(struct kvs_replica *r, const struct kvs_replica_op *op)
{
    if (op->type == KVS_OP_APPLY && kvs_screen_is_for_good(op->commit.err))
        kvs_screen_begin(&r->screen, op->refused, kvs_clock_mono_ms(r->node->options.clock));
    else if (op->type == KVS_OP_DUE && op->refused)
        kvs_screen_waits(&r->screen, op->refused);
}

static void note_paused(struct kvs_replica *r)
{
    (void)pthread_mutex_lock(&r->lock);
    r->paused = true;
    (void)pthread_cond_broadcast(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
}

static void handle(struct kvs_replica *r, struct kvs_replica_event *event)
{
    struct kvs_repl_event e = {.type = KVS_REPL_EVENT_TICK};
    struct kvs_repl_event leaving = {.type = KVS_REPL_EVENT_LEAVE};
    bool leave = false;
    switch (event->type) {
    case KVS_REPLICA_EVENT_MESSAGE:
        on_message(r, kvs_slice(event->bytes, event->size));
        free(event);
        return;
    case KVS_REPLICA_EVENT_OP:
        e.type = KVS_REPL_EVENT_COMMIT;
        e.commit = event->op->commit;
        r->told = e.commit;
        if (event->op->type == KVS_OP_DUE)
            kvs_replica_due_done(r, event->op);
        leave = event->op->type == KVS_OP_LEAVE;
        note_refused(r, event->op);
        kvs_replica_observe_lag(r, event->op);
        kvs_replica_op_free(event->op);
        break;
    case KVS_REPLICA_EVENT_READ:
        step(r, &event->job->result);
        kvs_replica_job_free(event->job); // the event with it
        return;
    case KVS_REPLICA_EVENT_COMMITTED:
        e.type = KVS_REPL_EVENT_COMMIT;
        e.commit = event->commit;
        r->told = e.commit;
        break;
    case KVS_REPLICA_EVENT_REMOVE:
        e.type = KVS_REPL_EVENT_REMOVE;
        e.remove = event->member;
        break;
    case KVS_REPLICA_EVENT_ADDRESS:
        e.type = KVS_REPL_EVENT_ADDRESS;
        e.address = kvs_slice(event->bytes, event->size);
        break;
    case KVS_REPLICA_EVENT_PAUSE:
        e.type = KVS_REPL_EVENT_PAUSE;
        break;
    }
    step(r, &e);
    if (leave)
        step(r, &leaving);
    if (event->type == KVS_REPLICA_EVENT_PAUSE)
        note_paused(r);
    free(event);
}

static void wait_until(struct kvs_replica *r, int64_t at_ms)
{
    int64_t delay_ms = at_ms - kvs_clock_mono_ms(r->node->options.clock);
    if (delay_ms <= 0)
        return;
    struct timespec until = kvs_replica_deadline(delay_ms);
    int waited = 0;
    while (!r->first && !r->has_late && !r->stopping && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&r->wake, &r->lock, &until);
}

// One event, or NULL when a tick is due or *ret_tick is another event that stands in for it;
// *ret_stopping: no more are wanted.
static struct kvs_replica_event *next_event(struct kvs_replica *r, struct kvs_repl_event *ret_tick,
                                            bool *ret_stopping)
{
    *ret_tick = (struct kvs_repl_event){.type = KVS_REPL_EVENT_TICK};
    (void)pthread_mutex_lock(&r->lock);
    if (!r->first && !r->has_late && !r->stopping)
        wait_until(r, r->next_ms);
    struct kvs_replica_event *event = r->first;
    if (event) {
        r->first = event->next;
        if (!r->first) {
            r->last = &r->first;
            r->tail = NULL;
        }
        if (event->type == KVS_REPLICA_EVENT_MESSAGE)
            r->message_bytes -= sizeof(*event) + event->size;
    } else if (r->has_late) {
        *ret_tick = (struct kvs_repl_event){.type = KVS_REPL_EVENT_COMMIT, .commit = r->late};
        r->told = r->late;
        r->has_late = false;
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
        struct kvs_repl_event tick;
        struct kvs_replica_event *event = next_event(r, &tick, &stopping);
        if (stopping && !event)
            break;
        if (event)
            handle(r, event);
        else
            step(r, &tick);
        return_lost(r);
        ask_for_damaged(r); // however busy it is
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
    kvs_member_roll_init(&r->roll, r->core);
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
    r->screen.node = node;
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

static void event_free(struct kvs_replica_event *event)
{
    if (event->type == KVS_REPLICA_EVENT_OP)
        kvs_replica_op_free(event->op);
    if (event->type == KVS_REPLICA_EVENT_READ)
        kvs_replica_job_free(event->job); // the event with it
    else
        free(event);
}

void kvs_replica_free(struct kvs_replica *r)
{
    if (!r)
        return;
    while (r->first) {
        struct kvs_replica_event *next = r->first->next;
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
    (void)command(r, KVS_REPLICA_EVENT_REMOVE, member); // out of memory: it is asked for again
}

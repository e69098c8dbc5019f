// SPDX-License-Identifier: Apache-2.0
// A node that is alone in its cluster, and what the replication core asks of its commit thread, one
// operation at a time.
#ifndef KVS_TESTS_UNIT_NODE_MERGING_H
#define KVS_TESTS_UNIT_NODE_MERGING_H

#include "tests/unit/node/fixture.h"

#include "node/cluster.h"
#include "node/ledger.h"
#include "node/replica_op.h"
#include "store/fault.h"

#include <unistd.h>

enum { SKEW_MS = 60000, PATIENCE_MS = 120000 };

static struct kvs_store *faulty; // before the node's own

static inline int wrap(struct kvs_store *inner, struct kvs_store **ret_store)
{
    int err = kvs_fault_new(inner, ret_store);
    if (!err)
        faulty = *ret_store;
    return err;
}

static inline void send_nowhere(void *ctx, struct kvs_slice address, struct kvs_slice message)
{
    (void)ctx;
    (void)address;
    (void)message;
}

static inline void stop_nothing(void *ctx, const char *reason)
{
    (void)ctx;
    (void)reason;
}

static inline int64_t real_mono_ms(const struct kvs_clock *clock)
{
    (void)clock;
    return kvs_clock_mono_ms(kvs_clock_system());
}

// Alone in its cluster, and too slow to do anything by itself.
static const struct kvs_cluster_options cluster_options = {
    .address = "n0:1",
    .push = true,
    .probe_interval_ms = 100,
    .suspect_timeout_ms = 1000,
    .gossip_min_ms = 100,
    .gossip_max_ms = 200,
    .sync_interval_ms = 1000,
    .catchup_interval_ms = 1000,
    .status_interval_ms = 100,
    .promise_interval_ms = INT64_C(1) << 40,
    .skew_max_ms = SKEW_MS,
    .bootstrap_max_age_ms = INT64_C(1) << 40,
    .send = send_nowhere,
    .stop = stop_nothing,
};

static inline int merging_setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    assert_non_null(f);
    fixture_init(f);
    f->clock.base.mono_ms = real_mono_ms;
    f->options.wrap_store = wrap;
    f->options.cluster = &cluster_options;
    fixture_open(f);
    *state = f;
    return 0;
}

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int64_t until_ = kvs_clock_mono_ms(kvs_clock_system()) + PATIENCE_MS;                      \
        while (!(condition)) {                                                                     \
            if (kvs_clock_mono_ms(kvs_clock_system()) > until_)                                    \
                fail_msg("never came true: %s", #condition);                                       \
            (void)usleep(1000);                                                                    \
        }                                                                                          \
    } while (0)

// ---- Operations

static inline struct kvs_repl_item item_at(int64_t timestamp, uint32_t count, const char *tagged,
                                           const char *json)
{
    struct kvs_repl_item item = {
        .key = kvs_slice_from_str(tagged),
        .value = kvs_slice_from_str(json),
        .version = {.timestamp = timestamp,
                    .uuid = kvs_uuid_new(kvs_random_system()),
                    .writer.joined_timestamp = 1,
                    .writer_seq = kvs_dot_seq(1, count)},
    };
    item.version.writer.node.bytes[0] = 7;
    if (!json)
        item.version.flags = KVS_VERSION_TOMBSTONE;
    return item;
}

static inline struct kvs_replica_op *apply_op(struct kvs_repl_item *items, size_t count)
{
    struct kvs_replica_op *op = kvs_replica_op_new(KVS_OP_APPLY, 0);
    assert_non_null(op);
    op->items = items;
    op->item_count = count;
    return op;
}

static inline void submit_op(struct fixture *f, struct kvs_executor *executor,
                             struct kvs_replica_op *op)
{
    op->write.executor = executor;
    kvs_committer_submit(f->node->committer, &op->write, &op->write, 1);
}

struct counter {
    struct kvs_executor executor;
    _Atomic int count;
};

static inline void count_post(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    atomic_fetch_add(&((struct counter *)executor)->count, 1);
}

// Alone in its group; takes it.
static inline int run_op(struct fixture *f, struct kvs_replica_op *op)
{
    struct counter counter = {.executor = {.post = count_post}};
    submit_op(f, &counter.executor, op);
    while (atomic_load(&counter.count) == 0)
        (void)sched_yield();
    int err = op->write.err;
    kvs_replica_op_free(op);
    return err;
}

// The group that waits behind the stall is committed; takes the operations.
static inline void run_group(struct fixture *f, struct kvs_replica_op **ops, int count)
{
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "stall", "1");
    stall_with(f, &stall, &first);
    for (int i = 0; i < count; i++)
        submit_op(f, &stall.executor, ops[i]);
    let_go(&stall, 1 + count);
}

static inline struct kvs_replica_op *due_op(int64_t upto_ms)
{
    struct kvs_replica_op *op = kvs_replica_op_new(KVS_OP_DUE, 0);
    assert_non_null(op);
    op->upto_ms = upto_ms;
    return op;
}

static inline struct kvs_replica_op *promise_op(void)
{
    struct kvs_replica_op *op = kvs_replica_op_new(KVS_OP_PROMISE, 0);
    assert_non_null(op);
    op->upto_ms = INT64_MAX; // the clock is to be trusted
    return op;
}

// Is the digest what the records make it?
static inline void assert_digest_is_true(struct fixture *f)
{
    // What is visible is counted a moment later, before the next group.
    assert_int_equal(run_op(f, due_op(0)), 0);
    struct kvs_fingerprint kept = kvs_ledger_root(f->node->ledger);
    struct kvs_digest_key key = f->node->ledger->key;
    assert_int_equal(kvs_ledger_rekey(f->node->ledger, &key), 0);
    assert_true(kvs_fingerprint_eq(kept, kvs_ledger_root(f->node->ledger)));
}

// ---- Damage

static inline void damage(struct fixture *f, const char *key)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    struct kvs_store *store = f->node->store;
    struct kvs_store_iter *iter = kvs_store_iter_new(store, KVS_FAMILY_DATA, &options);
    struct kvs_store_batch *batch = kvs_store_batch_new(store);
    kvs_store_iter_seek(iter, kvs_slice_from_str(key));
    assert_true(kvs_store_iter_valid(iter));
    kvs_store_batch_put(batch, KVS_FAMILY_DATA, kvs_store_iter_key(iter), KVS_SLICE("damaged"));
    kvs_store_iter_free(iter);
    assert_int_equal(kvs_store_write(store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
}

#endif

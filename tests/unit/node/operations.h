// SPDX-License-Identifier: Apache-2.0
// What the replication core asks of a node's commit thread, asked by a test; and what tests of
// replication share: waiting for what comes by itself, and damage.
#ifndef KVS_TESTS_UNIT_NODE_OPERATIONS_H
#define KVS_TESTS_UNIT_NODE_OPERATIONS_H

#include "tests/unit/node/fixture.h"

#include "node/cluster.h"
#include "node/ledger.h"
#include "node/replica_op.h"

#include <unistd.h>

enum { PATIENCE_MS = 120000 };

#define WAIT_FOR(condition)                                                                        \
    do {                                                                                           \
        int64_t until_ = kvs_clock_mono_ms(kvs_clock_system()) + PATIENCE_MS;                      \
        while (!(condition)) {                                                                     \
            if (kvs_clock_mono_ms(kvs_clock_system()) > until_)                                    \
                fail_msg("never came true: %s", #condition);                                       \
            (void)usleep(1000);                                                                    \
        }                                                                                          \
    } while (0)

// The core's monotonic time is the real one; the wall clock is the test's.
static inline int64_t real_mono_ms(const struct kvs_clock *clock)
{
    (void)clock;
    return kvs_clock_mono_ms(kvs_clock_system());
}

// ---- Operations

// Counts what is done.
struct counter {
    struct kvs_executor executor;
    _Atomic int count;
};

static inline void count_post(struct kvs_executor *executor, struct kvs_task *task)
{
    (void)task;
    atomic_fetch_add(&KVS_CONTAINER_OF(executor, struct counter, executor)->count, 1);
}

static inline void submit_op(struct kvs_node *node, struct kvs_executor *executor,
                             struct kvs_replica_op *op)
{
    op->write.executor = executor;
    kvs_committer_submit(node->committer, &op->write, &op->write, 1);
}

// Alone, not beside other operations; takes it.
static inline int run_op(struct kvs_node *node, struct kvs_replica_op *op)
{
    struct counter counter = {.executor = {.post = count_post}};
    submit_op(node, &counter.executor, op);
    while (atomic_load(&counter.count) == 0)
        (void)sched_yield();
    int err = op->write.err ? op->write.err : op->commit.err;
    kvs_replica_op_free(op);
    return err;
}

// The digest becomes what the records make it.
static inline void recount(struct kvs_node *node)
{
    struct kvs_replica_op *op = kvs_replica_op_new(KVS_OP_REKEY, 0);
    assert_non_null(op);
    op->key = kvs_ledger_key(node->ledger);
    assert_int_equal(run_op(node, op), 0);
}

// ---- Damage

static inline struct kvs_store_iter *iter_at(struct kvs_node *node, const char *key)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    struct kvs_store_iter *iter = kvs_store_iter_new(node->store, KVS_FAMILY_DATA, &options);
    assert_non_null(iter);
    kvs_store_iter_seek(iter, kvs_slice_from_str(key));
    assert_true(kvs_store_iter_valid(iter));
    return iter;
}

// What is stored of the key's current version becomes `value`.
static inline void overwrite(struct kvs_node *node, const char *key, struct kvs_slice value)
{
    struct kvs_store_iter *iter = iter_at(node, key);
    struct kvs_store_batch *batch = kvs_store_batch_new(node->store);
    assert_non_null(batch);
    kvs_store_batch_put(batch, KVS_FAMILY_DATA, kvs_store_iter_key(iter), value);
    kvs_store_iter_free(iter);
    assert_int_equal(kvs_store_write(node->store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
}

static inline void damage(struct kvs_node *node, const char *key)
{
    overwrite(node, key, KVS_SLICE("damaged"));
}

#endif

// SPDX-License-Identifier: Apache-2.0
// A node that is alone in its cluster, and what the replication core asks of its commit thread, one
// operation at a time.
#ifndef KVS_TESTS_UNIT_NODE_MERGING_H
#define KVS_TESTS_UNIT_NODE_MERGING_H

#include "tests/unit/node/faulty.h"
#include "tests/unit/node/operations.h"

enum { SKEW_MS = 60000 };

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

// The group that waits behind the stall is committed; takes the operations.
static inline void run_group(struct fixture *f, struct kvs_replica_op **ops, int count)
{
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "stall", "1");
    stall_with(f, &stall, &first);
    for (int i = 0; i < count; i++)
        submit_op(f->node, &stall.executor, ops[i]);
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
    assert_int_equal(run_op(f->node, due_op(0)), 0);
    struct kvs_fingerprint kept = kvs_ledger_root(f->node->ledger);
    recount(f->node);
    assert_true(kvs_fingerprint_eq(kept, kvs_ledger_root(f->node->ledger)));
}

#endif

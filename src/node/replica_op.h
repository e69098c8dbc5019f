// SPDX-License-Identifier: Apache-2.0
// What the replication core wants done to the store, on its way through the commit thread: made by
// the replica's thread, performed by merge.c in order with client writes, and given back as the
// core's COMMIT event when it is durable.
#ifndef KVS_NODE_REPLICA_OP_H
#define KVS_NODE_REPLICA_OP_H

#include "node/node_internal.h"
#include "repl/repl.h"

enum kvs_replica_op_type {
    KVS_OP_APPLY,
    KVS_OP_ADOPT,
    KVS_OP_PROMISE,
    KVS_OP_PURGED, // housekeeping has removed what lies at or below the watermark
    KVS_OP_DROP,
    KVS_OP_DUE,
    KVS_OP_REKEY,
    KVS_OP_PERSIST,
    KVS_OP_KEEP,  // bytes under a key of META that is none of the core's
    KVS_OP_LEAVE, // nothing: what was acknowledged before it is committed
};

struct kvs_replica_event;

// Everything else that is pointed to lies in the arena.
struct kvs_replica_op {
    enum kvs_replica_op_type type;
    struct kvs_replica_event *event; // owned: what tells the replica's thread of its end
    struct kvs_write write;          // its place in the queue
    struct kvs_replica_op *next;     // PURGED: behind it, while it waits for housekeeping
    struct kvs_arena arena;
    uint64_t token;
    int64_t watermark_ms; // APPLY, PURGED, DUE
    int64_t forgotten_ms; // APPLY
    // In, by type.
    struct kvs_repl_item *items; // APPLY
    size_t item_count;
    struct kvs_seen_run run;
    int64_t offset_ms; // the clock of the run's writer minus ours
    uint64_t sender_has_us;
    struct kvs_seen seen;      // ADOPT: owned
    struct kvs_repl_stub stub; // DROP
    int64_t upto_ms;           // DUE; PROMISE: no more than that
    struct kvs_digest_key key; // REKEY
    struct kvs_slice bytes;    // PERSIST, KEEP
    struct kvs_slice meta_key; // KEEP; static
    // Out.
    struct kvs_effect *effects;
    size_t effect_count, effect_capacity;
    const struct kvs_repl_item *refused; // APPLY, DUE: the one that failed, if it was a certain one
    bool took_deferred;                  // a group shows what waits as it was before it
    struct kvs_repl_commit commit;
};

struct kvs_replica_op *kvs_replica_op_new(enum kvs_replica_op_type type, uint64_t token);
void kvs_replica_op_free(struct kvs_replica_op *op); // NULL is fine

#endif

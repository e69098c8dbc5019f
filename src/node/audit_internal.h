// SPDX-License-Identifier: Apache-2.0
// The audit log's part of the commit pipeline. `struct kvs_node_audit` exists while the log is on;
// every function here takes NULL for a log that is off and does nothing then.
#ifndef KVS_NODE_AUDIT_INTERNAL_H
#define KVS_NODE_AUDIT_INTERNAL_H

#include "audit/log.h"
#include "node/audit.h"
#include "node/group.h"

#include <pthread.h>

// Where the log stands: what the head says, and which key goes on.
struct kvs_audit_state {
    struct kvs_audit_head head;
    uint64_t sealed_size; // entries up to the last root or break
    int64_t sealed_ms;    // when that was, or the log began
};

struct kvs_audit_seal_op;

struct kvs_node_audit {
    struct kvs_node *node;
    char *key_path;
    struct kvs_audit_genesis genesis;
    struct kvs_audit_hash id;
    // The commit thread's own.
    struct kvs_audit_hasher *hasher; // keyed for `pending`
    uint64_t keyed_epoch;            // whose key the hasher has
    struct kvs_audit_state state;    // committed
    struct kvs_audit_state pending;  // with the group being prepared
    struct kvs_audit_seal_op *seal;  // in that group
    bool touched;                    // the group has an entry or a seal
    uint64_t lost_reported;          // by an entry of that group
    struct kvs_group *group;
    struct kvs_buf key, value; // scratch
    // What others see, under the lock.
    pthread_mutex_t lock;
    struct kvs_audit_key secret;
    struct kvs_audit_signer signer;
    struct kvs_audit_state published;
    pthread_mutex_t seal_lock; // one at a time
    _Atomic uint64_t lost;     // events not recorded and not yet confessed
    _Atomic uint64_t notes;    // on their way
};

// A seal on its way through the commit thread.
struct kvs_audit_seal_op {
    struct kvs_write write;
    struct kvs_audit_keys keys;          // current and next
    struct kvs_audit_signer next_signer; // taken over when the seal is committed
};

// audit_open.c: finds or makes the log in the opened store. At start, before the commit thread.
KVS_MUST_CHECK int kvs_node_audit_open(struct kvs_node *node, struct kvs_message *ret_message);
void kvs_node_audit_close(struct kvs_node_audit *audit);
// What a failed commit left behind is unknown: reads the state anew. Commit thread.
KVS_MUST_CHECK int kvs_node_audit_reload(struct kvs_node_audit *audit);
// Housekeeping's: seals when an hour has passed.
KVS_MUST_CHECK int kvs_node_audit_seal_if_due(struct kvs_node *node);
// Takes the state over; the secret and signer too, when `signer` is not NULL (it is left empty).
void kvs_node_audit_publish(struct kvs_node_audit *audit, const struct kvs_audit_key *secret,
                            struct kvs_audit_signer *signer);

// audit.c: the steps of a group.
void kvs_node_audit_begin(struct kvs_node_audit *audit, struct kvs_group *group);
// Adds the entry of a write whose outcome is known, or what an operation of the log's own asks for.
void kvs_node_audit_prepare(struct kvs_node_audit *audit, struct kvs_write *write);
// Adds the head. An error means that nothing of the group may be written.
KVS_MUST_CHECK int kvs_node_audit_finish(struct kvs_node_audit *audit);
// A seal must be on disk before its key is forgotten, whatever `durability` says.
bool kvs_node_audit_needs_sync(const struct kvs_node_audit *audit);
void kvs_node_audit_committed(struct kvs_node_audit *audit);
// Nothing was written, and the store goes on: the group has not happened.
void kvs_node_audit_dropped(struct kvs_node_audit *audit);
// Appends to the batch; the value's key and bytes are in audit->key and audit->value.
void kvs_node_audit_put_head(struct kvs_node_audit *audit, struct kvs_store_batch *batch);

#endif

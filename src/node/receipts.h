// SPDX-License-Identifier: Apache-2.0
// Is it everywhere yet? How many nodes have a write, being told when enough have it, which nodes
// have a version, and how far behind its peers this node may be. All of it by the peers' own word
// (repl/word.c), which they give only for what is durable there. Thread-safe.
#ifndef KVS_NODE_RECEIPTS_H
#define KVS_NODE_RECEIPTS_H

#include "node/cluster.h"

// ---- Waiting. One wait is told once, by posting its task.

enum { KVS_RECEIPT_WAITS_MAX = 4096 };

struct kvs_receipt_wait {
    struct kvs_executor *executor;
    struct kvs_task task; // its run must be set
    uint64_t writer_seq;  // of a version that this node has written since it was opened
    uint32_t nodes;       // so many are to have it, this one included
    // Private to node.
    struct kvs_receipt_wait *prev, *next;
    bool listed;
};

// True: the task is posted when that many have it, at once where that is so already. False: there
// is nothing to wait for, and it is not posted: clustering is off, or KVS_RECEIPT_WAITS_MAX wait.
bool kvs_node_receipt_wait(struct kvs_node *node, struct kvs_receipt_wait *wait);
// True: it is taken back and the task will not be posted. False: it was, and will run or has run.
KVS_MUST_CHECK bool kvs_node_receipt_unwait(struct kvs_node *node, struct kvs_receipt_wait *wait);
// How many nodes have it by now, this one included.
uint32_t kvs_node_receipt_count(struct kvs_node *node, uint64_t writer_seq);

// ---- Who has a version

// So many changes of the log are looked through for a version whose key is not known.
enum { KVS_VERSION_WALK_MAX = 65536 };

// The version of that uuid: among the newest changes of this node's log, or, with a key, among the
// versions that are kept of it. Its key is appended to ret_key (KVS_KEY_SIZE_MAX).
// KVS_ERR_NOT_FOUND; without a key also where the grant may not read it. Reads the disk.
KVS_MUST_CHECK int kvs_node_find_version(struct kvs_node *node, const struct kvs_grant *grant,
                                         const struct kvs_uuid *uuid, struct kvs_slice key,
                                         struct kvs_buf *ret_key, struct kvs_version *ret_version);

struct kvs_holder {
    struct kvs_slice name; // valid during the call
    enum kvs_member_state state;
    bool self;
    enum kvs_repl_has has;
};
// This node first, then its peers but for those that have left.
void kvs_node_holders(struct kvs_node *node, const struct kvs_version *version,
                      void (*visit)(void *ctx, const struct kvs_holder *holder), void *ctx);

// ---- How far behind

// For each peer that has not left: how long ago this node had everything that the peer had then; -1
// never since this node started. `name` is valid during the call. Keep it short.
void kvs_node_staleness(struct kvs_node *node,
                        void (*visit)(void *ctx, struct kvs_slice name, int64_t age_ms), void *ctx);

#endif

// SPDX-License-Identifier: Apache-2.0
// What changed on this node, in its own order (KVS_FAMILY_LOG), own and replicated writes alike,
// and being told that there is more. The log's sequence numbers have no gaps, belong to this node
// alone and go on over restarts; how far back it reaches is housekeeping's business. Thread-safe.
#ifndef KVS_NODE_CHANGES_H
#define KVS_NODE_CHANGES_H

#include "codec/index.h"
#include "node/node.h"

// Return false to stop: this change then counts as not shown.
typedef bool kvs_change_visit_fn(void *ctx, const struct kvs_change *change);

struct kvs_changes_query {
    uint64_t since;          // the change behind this one is the first
    struct kvs_slice prefix; // byte prefix of the keys; empty = all
    uint32_t walk_max;       // look at so many, shown or not; 0 = at all
    kvs_change_visit_fn *visit;
    void *ctx;
};

// Shows changes of users' records, oldest first. *ret_since: everything up to it has been shown or
// is none of the caller's business; *ret_more: there is more behind it. Both are set on
// KVS_ERR_AGAIN too (mode CACHED, maybe behind some): go on from there. KVS_ERR_GONE: the changes
// behind `since` are no longer kept, or `since` lies in the future of this node.
KVS_MUST_CHECK int kvs_node_changes(struct kvs_node *node, const struct kvs_grant *grant,
                                    const struct kvs_changes_query *query, enum kvs_read_mode mode,
                                    uint64_t *ret_since, bool *ret_more);

struct kvs_changes_bounds {
    uint64_t oldest; // that is kept
    uint64_t newest; // 0: there was none yet
};
struct kvs_changes_bounds kvs_node_changes_bounds(struct kvs_node *node);

// ---- Being told. One subscription tells once, by posting its task.

struct kvs_changes_wait {
    struct kvs_executor *executor;
    struct kvs_task task; // its run must be set
    // Private to node.
    struct kvs_changes_wait *prev, *next;
    bool listed;
};

// Posts the task when there is a change behind `since`: at once, where that is so already.
void kvs_node_changes_wait(struct kvs_node *node, struct kvs_changes_wait *wait, uint64_t since);
// True: it is taken back and the task will not be posted. False: it was, and will run or has run.
KVS_MUST_CHECK bool kvs_node_changes_unwait(struct kvs_node *node, struct kvs_changes_wait *wait);

#endif

// SPDX-License-Identifier: Apache-2.0
// Several account records written together. For callers that may block; not thread-safe.
#ifndef KVS_NODE_ACCOUNT_BATCH_H
#define KVS_NODE_ACCOUNT_BATCH_H

#include "auth/account_record.h"
#include "node/node.h"

struct kvs_account_batch {
    struct kvs_node *node;
    const struct kvs_grant *grant;
    struct kvs_arena arena; // keys, JSON and writes
    struct kvs_write *writes;
    size_t count;
    int err; // sticky
    // What the audit log records in the commit of the first record; NULL: nothing.
    const struct kvs_audit_event *audit;
    bool audited; // it has been
};

// `grant`: kvs_auth_open_grant for a client's request, kvs_auth_own_grant for the node's own sake.
void kvs_account_batch_init(struct kvs_account_batch *batch, struct kvs_node *node,
                            const struct kvs_grant *grant);
void kvs_account_batch_done(struct kvs_account_batch *batch);

// `ttl_ms`: KVS_TTL_NONE or > 0.
void kvs_account_batch_put(struct kvs_account_batch *batch, const struct kvs_account_name *name,
                           const struct kvs_account_data *data, int64_t ttl_ms);
// Of something that may be absent.
void kvs_account_batch_delete(struct kvs_account_batch *batch, const struct kvs_account_name *name);

// Writes what was added, all of it or nothing; more than KVS_WRITE_GROUP_MAX records are written in
// parts, in their order. The first error, of adding included.
KVS_MUST_CHECK int kvs_account_batch_commit(struct kvs_account_batch *batch);

#endif

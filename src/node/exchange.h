// SPDX-License-Identifier: Apache-2.0
// A node's user data as a foreign peer compares and reads it over the documented routes (decision
// 0032): fingerprints of ranges of keys, keys, and what changed in a time. System records are not
// part of it. Thread-safe; everything reads the disk, and is KVS_ERR_FORBIDDEN for a grant from
// which anything may be hidden.
//
// A range is [start_key, end_key) of users' keys; an empty bound is open.
#ifndef KVS_NODE_EXCHANGE_H
#define KVS_NODE_EXCHANGE_H

#include "node/node.h"

KVS_MUST_CHECK int kvs_node_fingerprint(struct kvs_node *node, const struct kvs_grant *grant,
                                        struct kvs_slice start_key, struct kvs_slice end_key,
                                        struct kvs_fingerprint *ret_fingerprint);

// One part of a range after the other, as kvs_digest_split cuts it; bounds are valid UTF-8 and
// valid during the call. False stops.
typedef bool kvs_node_part_fn(void *ctx, struct kvs_slice start_key,
                              struct kvs_fingerprint fingerprint);
KVS_MUST_CHECK int kvs_node_split(struct kvs_node *node, const struct kvs_grant *grant,
                                  struct kvs_slice start_key, struct kvs_slice end_key,
                                  uint32_t parts, kvs_node_part_fn *visit, void *ctx);

// Every key in the range in order, deleted ones included. False stops.
typedef bool kvs_node_key_fn(void *ctx, struct kvs_slice key);
KVS_MUST_CHECK int kvs_node_keys(struct kvs_node *node, const struct kvs_grant *grant,
                                 struct kvs_slice start_key, struct kvs_slice end_key,
                                 kvs_node_key_fn *visit, void *ctx);

// Visible records whose version is from [start_ms, end_ms), the newest first.
struct kvs_node_times {
    int64_t start_ms, end_ms;
    struct kvs_slice prefix; // byte prefix of the keys; empty = any
    bool (*visit)(void *ctx, struct kvs_slice key, const struct kvs_version *version);
    // Called now and then on a long way: false ends it with KVS_ERR_SHUTDOWN. NULL = never.
    bool (*go_on)(void *ctx);
    void *ctx;
};
KVS_MUST_CHECK int kvs_node_times(struct kvs_node *node, const struct kvs_grant *grant,
                                  const struct kvs_node_times *times);

#endif

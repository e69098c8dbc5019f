// SPDX-License-Identifier: Apache-2.0
// A node's user data as a foreign peer compares and reads it over the documented routes (decision
// 0032), and as people compare it (decision 0063): fingerprints of ranges of keys, keys and
// versions, and what changed in a time. System records are not part of it. Thread-safe; everything
// reads the disk, and is KVS_ERR_FORBIDDEN for a grant from which anything may be hidden: whoever
// asks for a client has seen to it that the client may read all of the range.
//
// A range is [start_key, end_key) of users' keys; an empty bound is open.
#ifndef KVS_NODE_EXCHANGE_H
#define KVS_NODE_EXCHANGE_H

#include "node/node.h"

KVS_MUST_CHECK int kvs_node_fingerprint(struct kvs_node *node, const struct kvs_grant *grant,
                                        struct kvs_slice start_key, struct kvs_slice end_key,
                                        struct kvs_fingerprint *ret_fingerprint);

// What clients may see of a fingerprint: a one-way hash of it under a key of the cluster, so that
// it can be compared and nothing else. The same on all nodes of a cluster that hold the same.
void kvs_node_fingerprint_tag(struct kvs_node *node, struct kvs_fingerprint fingerprint,
                              struct kvs_uuid *ret_tag);
// Tells whether two nodes' tags can be compared: the same for all nodes with that key. Says nothing
// of the key.
void kvs_node_digest_id(struct kvs_node *node, struct kvs_uuid *ret_id);

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

// The same with the current versions, whole with their writers; of a damaged record only what
// orders versions.
typedef bool kvs_node_version_fn(void *ctx, struct kvs_slice key,
                                 const struct kvs_version *version);
KVS_MUST_CHECK int kvs_node_versions(struct kvs_node *node, const struct kvs_grant *grant,
                                     struct kvs_slice start_key, struct kvs_slice end_key,
                                     kvs_node_version_fn *visit, void *ctx);

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

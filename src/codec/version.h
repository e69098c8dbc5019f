// SPDX-License-Identifier: Apache-2.0
// Versions and their total order (design: "Versions and merging"). Pure.
//
// Order, the same on every node: greater timestamp; then the writer with the earlier
// joined_timestamp; then the smaller uuid. The writer is frozen into the version, so a tie never
// asks who is a member now. Merging is taking the maximum: commutative, associative, idempotent.
#ifndef KVS_CODEC_VERSION_H
#define KVS_CODEC_VERSION_H

#include "base/uuid.h"

struct kvs_writer {
    struct kvs_uuid node;     // the node's identity
    int64_t joined_timestamp; // Unix ms, fixed at the node's first start
};

enum kvs_version_flag {
    KVS_VERSION_TOMBSTONE = 1 << 0,      // a deletion; no value
    KVS_VERSION_STUB = 1 << 1,           // expired, payload reclaimed; reads as absent
    KVS_VERSION_CONFLICT_LOSER = 1 << 2, // lost against a concurrent write; kept for its history
    KVS_VERSION_HISTORY = 1 << 3,        // in the log alone: it never was the current one here
};

struct kvs_version {
    int64_t timestamp; // Unix ms, > 0
    struct kvs_uuid uuid;
    struct kvs_writer writer;
    uint64_t writer_seq; // with writer.node the version's dot: the writer's own count, from 1
    int64_t expires_at;  // Unix ms, 0 = never
    uint8_t flags;       // enum kvs_version_flag
};

// Why one version beats another; also the text of the log field `rule`.
enum kvs_version_rule {
    KVS_VERSION_SAME,
    KVS_VERSION_BY_TIMESTAMP,
    KVS_VERSION_BY_JOINED_TIMESTAMP,
    KVS_VERSION_BY_UUID,
};

// > 0 if `a` wins, < 0 if `b` wins, 0 if they are the same version. `ret_rule` may be NULL.
int kvs_version_cmp(const struct kvs_version *a, const struct kvs_version *b,
                    enum kvs_version_rule *ret_rule);
const char *kvs_version_rule_name(enum kvs_version_rule rule); // "timestamp", "joined_timestamp", …

static inline bool kvs_version_is_tombstone(const struct kvs_version *version)
{
    return (version->flags & KVS_VERSION_TOMBSTONE) != 0;
}

// Does a reader at `now_ms` see a value? (Neither deleted nor expired.)
static inline bool kvs_version_is_visible(const struct kvs_version *version, int64_t now_ms)
{
    return (version->flags & (KVS_VERSION_TOMBSTONE | KVS_VERSION_STUB)) == 0 &&
           (version->expires_at == 0 || version->expires_at > now_ms);
}

#endif

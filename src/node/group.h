// SPDX-License-Identifier: Apache-2.0
// A group of writes on its way into one batch. Used by the commit thread alone: commit.c collects,
// commits and answers; prepare.c decides what each write becomes.
#ifndef KVS_NODE_GROUP_H
#define KVS_NODE_GROUP_H

#include "node/node_internal.h"

enum {
    KVS_GROUP_OVERLAY_SIZE = 2048,                   // a power of two; half of the largest group
    KVS_GROUP_SCRATCH_SIZE = KVS_KEY_SIZE_MAX + 128, // any entry but for its payload
};

struct kvs_group {
    struct kvs_node *node;
    struct kvs_store_batch *batch;
    // Over data and over system records: opened at the first cache miss, closed with the group.
    struct kvs_store_iter *data_iter, *system_iter;
    struct kvs_commit_state state; // becomes the node's when the group is committed
    int64_t now_ms;                // wall clock, read once a group
    size_t change_count;           // entries in the batch that must be committed
    size_t bytes;                  // of the entries put into the batch
    int64_t deferred_first_ms;     // of the versions that the group puts aside; INT64_MAX: none
    struct kvs_buf key;            // scratch of KVS_GROUP_SCRATCH_SIZE
    struct kvs_buf value;          // scratch, at least as much
    // What the group's earlier writes did, newest first: later ones of the same key must see it.
    struct kvs_effect *overlay[KVS_GROUP_OVERLAY_SIZE];
};

// prepare.c: decides `write` against what is current, earlier writes of the group included: sets
// its outputs and adds its entries to the batch. Never fails as a whole: write->err says what
// became of it.
void kvs_group_prepare(struct kvs_group *group, struct kvs_write *write);

// merge.c: the same for what the replication core wants done.
KVS_MUST_CHECK int kvs_group_replica(struct kvs_group *group, struct kvs_replica_op *op);

// ---- entries.c: what both are made of

// Over the versions of the key's kind; borrowed until the group ends. NULL: out of memory.
struct kvs_store_iter *kvs_group_iter(struct kvs_group *group, struct kvs_slice key);
// The version that a write of `key` would replace, whatever its flags; *ret_record NULL when there
// is none.
KVS_MUST_CHECK int kvs_group_find_current(struct kvs_group *group, struct kvs_slice key,
                                          struct kvs_record **ret_record);
// Where that fails with KVS_ERR_CORRUPT: the version that the damaged record is of, as far as its
// entry key tells: timestamp, joined_timestamp and uuid (docs/decisions/0027). Fails likewise when
// not even that can be read.
KVS_MUST_CHECK int kvs_group_find_damaged(struct kvs_group *group, struct kvs_slice key,
                                          struct kvs_version *ret_version);
// Takes the entry of such a version away: behind one that has become current in its place.
void kvs_group_drop_damaged(struct kvs_group *group, struct kvs_slice key,
                            const struct kvs_version *version);
// Makes `version` the key's current one, in place of `current` (NULL: none). `effect->key` is set
// and outlives the group. All or nothing: KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_group_put_current(struct kvs_group *group, struct kvs_effect *effect,
                                         const struct kvs_version *version, uint32_t writer_id,
                                         struct kvs_slice json, const struct kvs_record *current);
// Adds a version below the current one. `log_flags` go to the log beside the version's own.
KVS_MUST_CHECK int kvs_group_put_history(struct kvs_group *group, struct kvs_effect *effect,
                                         const struct kvs_version *version, uint32_t writer_id,
                                         struct kvs_slice json, uint8_t log_flags);
// Takes every version of the key away: all or none, for without the newest the ones below would be
// readable again.
KVS_MUST_CHECK int kvs_group_remove(struct kvs_group *group, struct kvs_effect *effect,
                                    const struct kvs_record *current);
// Replaces the payload by its hash while the version must stay.
void kvs_group_put_stub(struct kvs_group *group, struct kvs_effect *effect,
                        const struct kvs_record *current);
// When housekeeping is to look at the key.
void kvs_group_put_due(struct kvs_group *group, int64_t due_ms, struct kvs_slice key, bool expiry);
void kvs_group_delete_due(struct kvs_group *group, int64_t due_ms, struct kvs_slice key);
// A small entry of META, whose key and value are in group->key and group->value.
void kvs_group_put_meta(struct kvs_group *group);
// When a version is due: its end, or 0.
int64_t kvs_group_due_ms(const struct kvs_group *group, const struct kvs_version *version);

#endif

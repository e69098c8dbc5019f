// SPDX-License-Identifier: Apache-2.0
// A group of writes on its way into one batch. Used by the commit thread alone: commit.c collects,
// commits and answers; prepare.c decides what each write becomes.
#ifndef KVS_NODE_GROUP_H
#define KVS_NODE_GROUP_H

#include "node/node_internal.h"

enum {
    KVS_GROUP_OVERLAY_SIZE = 256,                    // a power of two
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
    struct kvs_buf key;            // scratch of KVS_GROUP_SCRATCH_SIZE
    struct kvs_buf value;          // scratch, at least as much
    // The group's own earlier writes, newest first: later ones of the same key must see them.
    struct kvs_write *overlay[KVS_GROUP_OVERLAY_SIZE];
};

// Decides `write` against what is current, earlier writes of the group included: sets its outputs
// and adds its entries to the batch. Never fails as a whole: write->err says what became of it.
void kvs_group_prepare(struct kvs_group *group, struct kvs_write *write);

#endif

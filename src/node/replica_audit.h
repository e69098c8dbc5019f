// SPDX-License-Identifier: Apache-2.0
// Members that come and go, for the audit log. A member that is down is still one: only the first
// word of it is a join, and only a leave or a removal is a leave. The replica's thread alone.
#ifndef KVS_NODE_REPLICA_AUDIT_H
#define KVS_NODE_REPLICA_AUDIT_H

#include "node/node.h"
#include "repl/repl.h"

struct kvs_member_roll {
    struct kvs_uuid nodes[KVS_REPL_MEMBERS_MAX]; // of those that are members
    size_t count;
};

// What the core remembers of former runs is no news.
void kvs_member_roll_init(struct kvs_member_roll *roll, const struct kvs_repl *core);
// The core told of a state of `member`, whose name is `name`.
void kvs_member_roll_note(struct kvs_member_roll *roll, struct kvs_node *node,
                          const struct kvs_uuid *member, const char *name,
                          enum kvs_member_state state);
// This node itself: has moved into the cluster of another one, or has left.
void kvs_member_roll_note_self(struct kvs_node *node, bool joined);

#endif

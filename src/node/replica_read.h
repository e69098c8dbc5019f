// SPDX-License-Identifier: Apache-2.0
// What the core wants read from the store: runs of the log, keys, pages newest first, ranges of
// the digest. Any thread. Within node/.
#ifndef KVS_NODE_REPLICA_READ_H
#define KVS_NODE_REPLICA_READ_H

#include "node/node_internal.h"
#include "repl/repl.h"

// `action` is a READ_… or COMPARE. The event answers it; everything in it lies in the arena. Never
// fails as a whole: the event says what went wrong.
void kvs_replica_read(struct kvs_node *node, const struct kvs_repl_action *action,
                      struct kvs_arena *arena, struct kvs_repl_event *ret_event);
// Copies what the action points to into the arena, for another thread.
KVS_MUST_CHECK int kvs_replica_copy_read(const struct kvs_repl_action *action,
                                         struct kvs_arena *arena,
                                         struct kvs_repl_action *ret_action);

#endif

// SPDX-License-Identifier: Apache-2.0
// The thread that owns the replication core: it takes events, lets the core decide, and performs
// what it wants done (docs/decisions/0030-the-replica.md). Within node/.
#ifndef KVS_NODE_REPLICA_H
#define KVS_NODE_REPLICA_H

#include "node/cluster.h"
#include "node/node_internal.h"

struct kvs_replica;

// Makes the core from what the store remembers; the ledger exists, its digest does not yet.
KVS_MUST_CHECK int kvs_replica_new(struct kvs_node *node, struct kvs_replica **ret_replica,
                                   struct kvs_message *ret_message);
struct kvs_digest_key kvs_replica_digest_key(struct kvs_replica *replica);
// The commit thread runs.
KVS_MUST_CHECK int kvs_replica_start(struct kvs_replica *replica);
// Ends the thread; the commit thread still runs, and may still tell of commits.
void kvs_replica_stop(struct kvs_replica *replica); // NULL is fine
void kvs_replica_free(struct kvs_replica *replica); // after the commit thread; NULL is fine

// Commit thread: local writes are durable.
void kvs_replica_committed(struct kvs_replica *replica, const struct kvs_repl_commit *commit);
// Looks at the core while it holds still; keep it short.
void kvs_replica_look(struct kvs_replica *replica,
                      void (*look)(void *ctx, const struct kvs_repl *core), void *ctx);
void kvs_replica_remove(struct kvs_replica *replica, const struct kvs_uuid *member);
// Keeps `bytes` under a key of META (static) that is none of the core's: copied; durable some time,
// in the order of the calls. Any thread.
void kvs_replica_keep(struct kvs_replica *replica, struct kvs_slice meta_key,
                      struct kvs_slice bytes);
// The key's current record fails its checksum: a peer is asked for it. Any thread.
void kvs_replica_report_damage(struct kvs_replica *replica, struct kvs_slice key);
bool kvs_replica_is_syncing(const struct kvs_replica *replica);

#endif
